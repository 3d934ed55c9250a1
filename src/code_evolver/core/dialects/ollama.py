"""Ollama's own /api/chat. Its /v1 ignores num_ctx and cuts long prompts without a word, so it is not used."""

from collections.abc import Mapping, Sequence
from typing import Any

from code_evolver.core.budget import estimate
from code_evolver.core.dialects.wire import (
    Answer,
    Capability,
    Failure,
    Request,
    Served,
    at,
    read_failure,
    read_object,
    text_of,
    whole,
    with_schema,
)
from code_evolver.core.llm_config import Backend
from code_evolver.core.question import Ask, Usage

SMALLEST_WINDOW = 4096
LARGEST_WINDOW = 131_072
_TEMPLATE_TOKENS = 256


def _url(backend: Backend, path: str) -> str:
    return f"{backend.base_url.removesuffix('/v1').removesuffix('/api')}/api/{path}"


def window(ask: Ask, capability: Capability) -> int:
    """Size num_ctx to prompt and answer: a power of two, never below an earlier one (each change loads the model anew)."""
    prompt = estimate(ask.system + with_schema(ask), capability.bytes_per_token)
    need = prompt + prompt // 4 + ask.max_tokens + _TEMPLATE_TOKENS
    size = max(SMALLEST_WINDOW, capability.window)
    while size < need and size < LARGEST_WINDOW:
        size *= 2
    return min(size, capability.context or size)


def build(ask: Ask, model: str, backend: Backend, capability: Capability) -> Request:
    """Make the request."""
    body: dict[str, Any] = {
        "model": model,
        "stream": False,
        "messages": [{"role": "system", "content": ask.system}] * bool(ask.system)
        + [{"role": "user", "content": with_schema(ask)}],
        "options": {
            "num_ctx": window(ask, capability),
            "num_predict": ask.max_tokens,
            "temperature": ask.temperature,
        },
    }
    if ask.schema is not None and capability.schema != "none":
        body["format"] = dict(ask.schema) if capability.schema == "schema" else "json"
    return Request("POST", _url(backend, "chat"), {}, body, "authorization", "Bearer ")


def read(status: int, headers: Mapping[str, str], body: bytes) -> Answer | Failure:
    """Read an answer or an error; an error may come as a line under status 200."""
    value = read_object(body)
    if value is not None and "lines" in value:
        value = _joined(value["lines"])
    if status != 200 or (value is not None and value.get("error")):
        return read_failure(500 if status == 200 else status, headers, body if status != 200 else _error(value))
    message = at(value, "message")
    if value is None or not isinstance(message, Mapping):
        return Failure("odd", "the answer has no message", status)
    load = whole(value.get("load_duration"))
    usage = Usage(
        whole(value.get("prompt_eval_count")), whole(value.get("eval_count")), 0.0, None if load is None else load / 1e9
    )
    finish = "length" if value.get("done_reason") == "length" or value.get("done") is False else "stop"
    return Answer(
        text_of(message.get("content")),
        "length" if finish == "length" else "stop",
        usage,
        str(value.get("model") or ""),
        len(text_of(message.get("thinking"))),
    )


def _error(value: Mapping[str, Any] | None) -> bytes:
    return str((value or {}).get("error", "")).encode("utf-8", "replace")


def _joined(lines: Sequence[Any]) -> Mapping[str, Any]:
    """Put a stream, sent by an imitation that overlooks `stream: false`, together; one that does not end is cut."""
    failed = next((line for line in lines if at(line, "error")), None)
    if isinstance(failed, Mapping):
        return failed
    text = "".join(text_of(at(line, "message", "content")) for line in lines)
    last = lines[-1] if isinstance(lines[-1], Mapping) else {}
    return {**last, "message": {"content": text}, "done": last.get("done") is True}


def list_request(backend: Backend) -> Request | None:
    """Ask for the models that have been pulled."""
    return Request("GET", _url(backend, "tags"), {}, None, "authorization", "Bearer ")


def read_models(body: bytes) -> Sequence[Served]:
    """Read them."""
    rows = at(read_object(body), "models")
    names = [at(row, "name") or at(row, "model") for row in rows] if isinstance(rows, list) else []
    return tuple(Served(name) for name in names if isinstance(name, str))


def detail_request(backend: Backend, model: str) -> Request | None:
    """Ask for a model's card."""
    return Request("POST", _url(backend, "show"), {}, {"model": model}, "authorization", "Bearer ")


def read_detail(body: bytes) -> int | None:
    """Read the context length that it was trained with ("llama.context_length", whatever the family)."""
    info = at(read_object(body), "model_info")
    lengths = (
        [whole(value) for key, value in info.items() if key.endswith(".context_length")]
        if isinstance(info, Mapping)
        else []
    )
    return next((length for length in lengths if length), None)
