"""OpenAI's chat completions, as OpenAI, llama.cpp, vLLM, LM Studio, litellm and others speak them."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

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

_CUT = frozenset({"length", "max_tokens", "model_length"})


def base(backend: Backend) -> str:
    """Give the address up to and with /v1; a bare host gets it added."""
    return backend.base_url if urlsplit(backend.base_url).path else f"{backend.base_url}/v1"


def build(ask: Ask, model: str, backend: Backend, capability: Capability) -> Request:
    """Make the request."""
    body = {**({"model": model} if model else {}), **body_of(ask, capability)}
    return Request("POST", f"{base(backend)}/chat/completions", {}, body, "authorization", "Bearer ")


def body_of(ask: Ask, capability: Capability) -> dict[str, Any]:
    """Make the body without the model's name."""
    body: dict[str, Any] = {
        "messages": [{"role": "system", "content": ask.system}] * bool(ask.system)
        + [{"role": "user", "content": with_schema(ask)}],
        capability.cap_key: ask.max_tokens,
        "stream": False,
    }
    if capability.temperature:
        body["temperature"] = ask.temperature
    if ask.schema is not None and capability.schema == "schema":
        schema = {"name": "answer", "schema": dict(ask.schema), "strict": strict_enough(ask.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif ask.schema is not None and capability.schema == "json":
        body["response_format"] = {"type": "json_object"}
    return body


def strict_enough(schema: Any) -> bool:
    """Say whether OpenAI's strict mode takes the schema: every object closed and every key required."""
    if isinstance(schema, Mapping):
        if schema.get("type") == "object":
            keys = schema.get("properties", {})
            if schema.get("additionalProperties") is not False or set(keys) != set(schema.get("required", ())):
                return False
        return all(strict_enough(value) for value in schema.values())
    return all(strict_enough(item) for item in schema) if isinstance(schema, list) else True


def read(status: int, headers: Mapping[str, str], body: bytes) -> Answer | Failure:
    """Read an answer or an error; an error under status 200 is one too."""
    value = read_object(body)
    if status != 200 or (value is not None and value.get("error")):
        return read_failure(400 if status == 200 else status, headers, body)
    if value is None:
        return Failure("odd", "the answer is not JSON", status)
    if "lines" in value:
        value = _joined(value["lines"])
    choice = at(value, "choices", 0)
    message = at(choice, "message")
    if not isinstance(message, Mapping):
        return Failure("odd", "the answer has no choices[0].message", status)
    finish = choice.get("finish_reason") or choice.get("stop_reason")
    if finish == "content_filter" or (message.get("refusal") and not message.get("content")):
        return Failure("filter", text_of(message.get("refusal")) or "finish_reason content_filter", status)
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return Answer(
        text_of(message.get("content")),
        "length" if finish in _CUT else "stop" if finish else "unknown",
        _usage(value.get("usage")),
        str(value.get("model") or ""),
        len(text_of(reasoning)),
    )


def _usage(usage: Any) -> Usage:
    return Usage(whole(at(usage, "prompt_tokens")), whole(at(usage, "completion_tokens")))


def _joined(lines: Sequence[Any]) -> Mapping[str, Any]:
    """Put a stream, sent by a server that overlooks `stream: false`, together."""
    text = "".join(text_of(at(line, "choices", 0, "delta", "content")) for line in lines)
    ends = [at(line, "choices", 0, "finish_reason") for line in lines]
    finish = next((end for end in reversed(ends) if end), "length")
    usage = next((at(line, "usage") for line in reversed(lines) if at(line, "usage")), None)
    return {
        "choices": [{"message": {"content": text}, "finish_reason": finish}],
        "usage": usage,
        "model": at(lines, 0, "model"),
    }


def list_request(backend: Backend) -> Request | None:
    """Ask for the models."""
    return Request("GET", f"{base(backend)}/models", {}, None, "authorization", "Bearer ")


def read_models(body: bytes) -> Sequence[Served]:
    """Read them, with the context where the server says it (llama.cpp, vLLM, LM Studio)."""
    value = read_object(body)
    rows = at(value, "data") or at(value, "models") or []
    found = []
    for row in rows if isinstance(rows, list) else []:
        name = at(row, "id") or at(row, "name")
        context = (
            at(row, "meta", "n_ctx")
            or at(row, "max_model_len")
            or at(row, "loaded_context_length")
            or at(row, "context_length")
        )
        if isinstance(name, str):
            found.append(Served(name, whole(context)))
    return tuple(found)


def detail_request(_backend: Backend, _model: str) -> Request | None:
    """Nothing more to ask: the list says it, or nobody does."""
    return None


def read_detail(_body: bytes) -> int | None:
    """Nothing to read."""
    return None
