"""What the dialects share: requests and answers as values, and one tolerant reader of error bodies."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from code_evolver.core.errors import InputError
from code_evolver.core.llm_config import Backend
from code_evolver.core.question import Ask, Usage
from code_evolver.core.strict_json import escape, loads

SchemaLevel = Literal["schema", "json", "none"]
"""What a server does with a JSON Schema: obeys it, promises JSON only, ignores it."""
FailureKind = Literal[
    "connect", "read", "timeout", "loading", "rate", "server",  # waiting may help
    "quota", "auth", "model", "path", "context", "schema", "parameter", "filter", "request",  # the same request fails again
    "odd", "empty", "mismatch", "truncated", "down", "large",  # an answer that is of no use, or none asked for
]  # fmt: skip
LONGEST_WORDS = 300
LARGEST_COUNT = 1 << 53
"""Above it a number of JSON is no exact one, and sums of many grow beyond what is stored."""


@dataclass(frozen=True, slots=True)
class Capability:
    """What is known of one model of one endpoint: found by asking, cached, corrected by what comes back."""

    schema: SchemaLevel = "schema"
    probed: bool = False
    context: int | None = None
    """Tokens that prompt and answer may take together."""
    first_model: str = ""
    """The server's first model, for a reference that names none."""
    window: int = 0
    """Ollama: the largest num_ctx asked for so far; never made smaller, as each change loads the model anew."""
    cap_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True
    bytes_per_token: float = 3.0
    """Measured from the usage of earlier answers."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, without the key: the edge puts it into `key_header` behind `key_prefix`."""

    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    key_header: str = ""
    key_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, as it stands."""

    text: str
    finish: Literal["stop", "length", "unknown"] = "stop"
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    reasoning: int = 0
    """Characters of reasoning that came in a field of their own."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer to use."""

    kind: FailureKind
    words: str = ""
    """The server's own words, or what went wrong on the way: cut, made safe to show."""
    status: int = 0
    """0: no HTTP answer."""
    retry_after: str = ""
    """As the server sent it: seconds, or a date."""
    detail: str = ""
    """parameter: its name; context: the limit in tokens, where the server said it."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model that a server lists."""

    name: str
    context: int | None = None


class Dialect(Protocol):
    """The functions of a dialect's module."""

    def build(self, ask: Ask, model: str, backend: Backend, capability: Capability) -> Request:
        """Make the request of a question."""

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer | Failure:
        """Read its answer. Header names are in lower case."""

    def list_request(self, backend: Backend) -> Request | None:
        """Make the request for the models that are served; None where the format has none."""

    def read_models(self, body: bytes) -> Sequence[Served]:
        """Read that list; empty where it cannot be read."""

    def detail_request(self, backend: Backend, model: str) -> Request | None:
        """Make the request that tells a model's context length, where the list does not."""

    def read_detail(self, body: bytes) -> int | None:
        """Read the context length."""


def read_object(body: bytes) -> Mapping[str, Any] | None:
    """Read a JSON object; of several lines (a stream that nobody asked for) they are given under "lines". None: neither."""
    try:
        value = loads(body)
    except InputError:
        return _read_lines(body)
    return value if isinstance(value, Mapping) else None


def _read_lines(body: bytes) -> Mapping[str, Any] | None:
    lines = [line.removeprefix(b"data:").strip() for line in body.splitlines()]
    found = []
    for line in lines:
        if not line.startswith(b"{"):
            continue
        try:
            found.append(loads(line))
        except InputError:
            return None
    return {"lines": found} if found else None


def whole(value: Any) -> int | None:
    """Take a count; None for anything that is not one, or that no server can have counted."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_COUNT else None


def text_of(content: Any) -> str:
    """Join what a message holds: text, null, or a list of parts or blocks of which those with text count."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = [
            part if isinstance(part, str) else part.get("text", "")
            for part in content
            if isinstance(part, str | Mapping)
        ]
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def at(value: Any, *path: str | int) -> Any:
    """Follow keys and indexes into JSON; None where the road ends."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Read an error of any server: {"error": {…}}, {"error": "text"}, {"detail": …}, {"message": …}, or plain text."""
    value = read_object(body)
    words, marks = _words(value) if value is not None else ("", "")
    if not words:
        words = " ".join(body[:2000].decode("utf-8", "replace").split())
    kind = classify(status, words, marks)
    limit = whole(at(value, "error", "n_ctx"))
    return Failure(
        kind,
        escape(words[:LONGEST_WORDS]),
        status,
        _retry_after(headers),
        _parameter(words) if kind == "parameter" else str(limit) if kind == "context" and limit else "",
    )


def _words(value: Mapping[str, Any]) -> tuple[str, str]:
    error = value.get("error", value.get("detail", value.get("message")))
    if isinstance(error, str):
        return error, ""
    if isinstance(error, Mapping):
        words = error.get("message")
        inner = at(error, "innererror", "code")
        extra = at(error, "details", "error_code")
        marks = [str(mark) for mark in (error.get("type"), error.get("code"), inner, extra) if mark]
        return (words if isinstance(words, str) else json.dumps(error)[:2000]), " ".join(marks)
    return (json.dumps(error)[:2000] if error else ""), ""


def _retry_after(headers: Mapping[str, str]) -> str:
    millis = headers.get("retry-after-ms", "")
    if millis.isascii() and millis.isdecimal():
        return str(int(millis) / 1000)
    return headers.get("retry-after", "").strip()[:64]


_TABLE: tuple[tuple[FailureKind, frozenset[int], str], ...] = (
    ("loading", frozenset({503, 500, 400}), r"loading model|model is (still )?loading|model (is )?not loaded yet"),
    ("quota", frozenset({400, 402, 403, 429}), r"insufficient_quota|exceeded your current quota|spend_limit|credit balance|payment required|insufficient (funds|credits)"),
    ("context", frozenset({400, 413, 422, 500}), r"exceed_context_size|context_length_exceeded|maximum context length|prompt is too long|context (window|length|size)|input (is )?too long|request_too_large|longer than the (model|maximum)"),
    ("filter", frozenset({400, 403}), r"content_filter|content management policy|responsibleaipolicy|safety"),
    ("parameter", frozenset({400, 422, 500}), r"max_tokens.{0,40}(not supported|is unsupported)|use .?max_completion_tokens|temperature.{0,60}(support|deprecated|only the default)"),
    ("schema", frozenset({400, 422, 500, 501}), r"response_format|json_schema|json schema|json_object|output_config|output_format|structured.output|grammar|invalid format|guided"),
    ("auth", frozenset({401, 403}), r""),
    ("quota", frozenset({402}), r""),
    ("rate", frozenset({429}), r""),
    ("model", frozenset({404, 400, 500}), r"model.{0,120}(not found|does not exist|not exist|not supported|is not available)|deploymentnotfound|deployment.{0,60}does not exist|invalid model name|no such model|model_not_found|not_found_error.{0,3}model|no models? (is |are )?loaded|not a valid model"),
    ("path", frozenset({404, 405, 301, 302, 303, 307, 308}), r""),
    ("context", frozenset({413}), r""),
    ("server", frozenset({408, 409, 425, 500, 502, 503, 504, 529}), r""),
    ("rate", frozenset({400}), r"rate.?limit|overloaded"),
)  # fmt: skip
"""First row that fits status and words wins; no pattern: the status alone."""


def classify(status: int, words: str, marks: str = "") -> FailureKind:
    """Say what kind of failure a status and a server's words mean."""
    said = f"{marks} {words}".lower()
    for kind, statuses, pattern in _TABLE:
        if status in statuses and re.search(pattern, said, re.DOTALL):
            return kind
    return "server" if status >= 500 else "request"


def _parameter(words: str) -> str:
    said = words.lower()
    return next((name for name in ("max_tokens", "temperature") if name in said), "")


def with_schema(ask: Ask) -> str:
    """Give the user's message with the schema in words: also servers that promise to obey one need to be told."""
    if ask.schema is None:
        return ask.user
    return f"{ask.user}\n\nAnswer with one JSON object and nothing else. It must fit this JSON Schema:\n{json.dumps(ask.schema)}"
