"""Anthropic's Messages: the system text at the top level, content in blocks, the key in x-api-key."""

from collections.abc import Mapping, Sequence
from typing import Any

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

_VERSION = {"anthropic-version": "2023-06-01"}
_CUT = frozenset({"max_tokens", "model_context_window_exceeded"})


def _url(backend: Backend, path: str) -> str:
    return f"{backend.base_url.removesuffix('/v1')}/v1/{path}"


def build(ask: Ask, model: str, backend: Backend, capability: Capability) -> Request:
    """Make the request."""
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": ask.max_tokens,
        "messages": [{"role": "user", "content": with_schema(ask)}],
    }
    if ask.system:
        body["system"] = ask.system
    if capability.temperature:
        body["temperature"] = min(1.0, ask.temperature)
    if ask.schema is not None and capability.schema == "schema":
        body["output_config"] = {"format": {"type": "json_schema", "schema": dict(ask.schema)}}
    return Request("POST", _url(backend, "messages"), _VERSION, body, "x-api-key")


def read(status: int, headers: Mapping[str, str], body: bytes) -> Answer | Failure:
    """Read an answer or an error."""
    value = read_object(body)
    if status != 200 or (value is not None and value.get("error")):
        return read_failure(400 if status == 200 else status, headers, body)
    if value is None or not isinstance(value.get("content"), list):
        return Failure("odd", "the answer has no list of content blocks", status)
    if value.get("stop_reason") == "refusal":
        return Failure("filter", "stop_reason refusal", status)
    texts = [block for block in value["content"] if at(block, "type") == "text"]
    thoughts = [at(block, "thinking") for block in value["content"] if at(block, "type") == "thinking"]
    return Answer(
        text_of(texts),
        "length" if value.get("stop_reason") in _CUT else "stop",
        _usage(value.get("usage")),
        str(value.get("model") or ""),
        sum(len(text_of(thought)) for thought in thoughts),
    )


def _usage(usage: Any) -> Usage:
    """Count cached parts of the prompt too: input_tokens leaves them out."""
    fresh = whole(at(usage, "input_tokens"))
    cached = sum(whole(at(usage, key)) or 0 for key in ("cache_read_input_tokens", "cache_creation_input_tokens"))
    return Usage(None if fresh is None else fresh + cached, whole(at(usage, "output_tokens")))


def list_request(backend: Backend) -> Request | None:
    """Ask for the models."""
    return Request("GET", _url(backend, "models"), _VERSION, None, "x-api-key")


def read_models(body: bytes) -> Sequence[Served]:
    """Read them."""
    rows = at(read_object(body), "data")
    names = [at(row, "id") for row in rows] if isinstance(rows, list) else []
    return tuple(Served(name) for name in names if isinstance(name, str))


def detail_request(_backend: Backend, _model: str) -> Request | None:
    """No context length is told."""
    return None


def read_detail(_body: bytes) -> int | None:
    """Nothing to read."""
    return None
