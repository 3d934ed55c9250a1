"""Find out what a server has and does, by asking it: models, context length, and whether it obeys a JSON Schema."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, Literal

from code_evolver.core import tiers
from code_evolver.core.dialects.wire import Answer, Capability, Dialect, Failure, Request
from code_evolver.core.llm_config import Backend, ModelRef
from code_evolver.core.model_desk import DOWN, Desk, Got, Send, Step
from code_evolver.core.question import Ask
from code_evolver.core.reply import strip_reasoning

_PROBE_KEY = "zq7"
PROBE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {_PROBE_KEY: {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": [_PROBE_KEY],
    "additionalProperties": False,
}
_LEVELS: tuple[Literal["schema", "json"], ...] = ("schema", "json")


def look_up(ref: ModelRef, desk: Desk) -> Generator[Step, Any, None]:
    """Ask for the models and the context length. A server that does not tell is no error."""
    backend = desk.config.backends[ref.backend]
    dialect = desk.dialect(backend.type)
    capability = desk.capability(ref)
    request = dialect.list_request(backend)
    if request is not None:
        got: Got = yield Send(backend, request, raw=True)
        served = dialect.read_models(got.answer) if isinstance(got.answer, bytes) else ()
        names = [one.name for one in served]
        name = ref.model or (names[0] if names else "")
        context = next((one.context for one in served if one.name in {name, f"{name}:latest"}), None)
        capability = replace(capability, first_model=names[0] if names else "", context=capability.context or context)
        if isinstance(got.answer, Failure) and got.answer.kind in DOWN:
            return
    detail = dialect.detail_request(backend, ref.model or capability.first_model)
    if detail is not None and capability.context is None:
        got = yield Send(backend, detail, raw=True)
        context = dialect.read_detail(got.answer) if isinstance(got.answer, bytes) else None
        capability = replace(capability, context=context)
    desk.capabilities[ref] = capability
    desk.looked_up.add(ref)


def ping(name: str, desk: Desk) -> Generator[Step, Any, None]:
    """See whether a backend answers at all: any answer but a gateway's will do, a refused key too."""
    backend = desk.config.backends[name]
    request = desk.dialect(backend.type).list_request(backend) or Request("GET", backend.base_url)
    desk.circuits[name] = tiers.asked(desk.circuit(name), desk.now())
    got: Got = yield Send(backend, request, raw=True)
    is_there = isinstance(got.answer, Failure) and got.answer.status in {500, 501, 408, 409}
    desk.note(name, b"" if is_there else got.answer)


def probe(ref: ModelRef, desk: Desk) -> Generator[Step, Any, None]:
    """Ask a tiny question with a schema that the words do not hint at: who obeys it answers with its key."""
    backend = desk.config.backends[ref.backend]
    for level in _LEVELS:
        capability = replace(desk.capability(ref), schema=level)
        words = "Say hello." if level == "schema" else "Say hello. Answer in JSON."
        request = probe_request(
            desk.dialect(backend.type), words, ref.model or capability.first_model, backend, capability
        )
        got: Got = yield Send(backend, request)
        if isinstance(got.answer, Failure) and got.answer.kind not in {"schema", "request"}:
            return
        text = strip_reasoning(got.answer.text).lstrip() if isinstance(got.answer, Answer) else ""
        thinks = isinstance(got.answer, Answer) and not text
        key = "".join(text[:40].split())
        if thinks or (key.startswith(f'{{"{_PROBE_KEY}":') if level == "schema" else text.startswith("{")):
            desk.capabilities[ref] = replace(capability, probed=True)
            return
    desk.capabilities[ref] = replace(desk.capability(ref), schema="none", probed=True)


def probe_request(dialect: Dialect, words: str, model: str, backend: Backend, capability: Capability) -> Request:
    """Make the probe's request; the schema stands in its own field alone, not in the words."""
    bare = Ask("probe", "fast", "", words, None, 48, 0.0)
    asked = dialect.build(replace(bare, schema=PROBE_SCHEMA), model, backend, capability).body or {}
    plain = dialect.build(bare, model, backend, capability)
    return replace(plain, body={**asked, "messages": (plain.body or {}).get("messages")})
