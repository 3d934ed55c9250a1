"""Try a model for `code-evolver check`: reachable, model present, schema, a real answer of one token."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from code_evolver.core.dialects.wire import Answer, Failure
from code_evolver.core.llm_config import ModelRef
from code_evolver.core.llm_trouble import describe, hint_of
from code_evolver.core.model_desk import Desk, Got, Send, Step
from code_evolver.core.probing import look_up, probe
from code_evolver.core.question import Ask

Row = tuple[str, str, str, str]
"""(name, "ok" | "warning" | "failed", what was found, what mends it)"""
PATIENCE_SECONDS = 120.0
"""A model that has to be loaded first may take this long for its one token."""
_NO_TEXT = ("embed", "bge-", "minilm", "rerank", "whisper", "clip")
_SCHEMA = {
    "schema": ("ok", "obeys a JSON Schema", ""),
    "json": ("ok", "answers in JSON; a schema is checked here", ""),
    "none": (
        "warning",
        "promises no JSON; answers are checked here and asked for again",
        "A newer server may obey schemas.",
    ),
}


def check_steps(ref: ModelRef, desk: Desk) -> Generator[Step, Any, list[Row]]:
    """Give the rows of one model; after the first that failed nothing more is tried."""
    backend = desk.config.backends[ref.backend]
    name = f"llm {ref}"
    dialect = desk.dialect(backend.type)
    rows: list[Row] = []
    request = dialect.list_request(backend)
    if request is not None:
        got: Got = yield Send(backend, request, raw=True)
        rows += _listed(name, ref, got, desk)
        if rows[0][1] == "failed":
            return rows
    yield from look_up(ref, desk)
    ask = Ask("check", "fast", "", "Answer with one word: ready", max_tokens=1, temperature=0.0)
    known = desk.capability(ref)
    got = yield Send(
        backend, dialect.build(ask, ref.model or known.first_model, backend, known), within=PATIENCE_SECONDS
    )
    if isinstance(got.answer, Failure) and got.answer.detail == "max_tokens":
        desk.capabilities[ref] = replace(known, cap_key="max_completion_tokens")
        again = dialect.build(ask, ref.model, backend, desk.capability(ref))
        got = yield Send(backend, again, within=PATIENCE_SECONDS)
    rows.append(_answered(name, ref, got, desk))
    if rows[-1][1] == "ok":
        if not desk.capability(ref).probed:
            yield from probe(ref, desk)
        status, text, mend = _SCHEMA[desk.capability(ref).schema]
        rows.append((f"{name} schema", status, text, mend))
    return rows


def _listed(name: str, ref: ModelRef, got: Got, desk: Desk) -> list[Row]:
    backend = desk.config.backends[ref.backend]
    if isinstance(got.answer, Failure):
        text = describe(got.answer, backend, "")
        # Some good servers have no list of models, or fail at it: only the answer itself is proof.
        status = "failed" if not got.answer.status or got.answer.kind == "auth" else "warning"
        return [(f"{name} reachable", status, text, hint_of(got.answer.kind))]
    body = got.answer if isinstance(got.answer, bytes) else b""
    names = [one.name for one in desk.dialect(backend.type).read_models(body)]
    reachable = (f"{name} reachable", "ok", f"{backend.base_url} answers and lists {len(names)} models", "")
    few = ", ".join(names[:8])
    if not names:
        return [reachable]
    if ref.model and ref.model not in names and f"{ref.model}:latest" not in names:
        # A warning only: some servers list one name and answer to any.
        missing = f"{backend.base_url} does not list {ref.model}; it has {few}."
        return [reachable, (f"{name} model", "warning", missing, hint_of("model"))]
    return [reachable, (f"{name} model", "ok", f"{ref.model or names[0]} is there", "")]


def _answered(name: str, ref: ModelRef, got: Got, desk: Desk) -> Row:
    if isinstance(got.answer, Answer):
        context = desk.capability(ref).context
        room = f", context {context} tokens" if context else ""
        return (f"{name} answer", "ok", f"answered in {got.seconds:.2f} s{room}", "")
    failure = got.answer if isinstance(got.answer, Failure) else Failure("odd")
    return (
        f"{name} answer",
        "failed",
        describe(failure, desk.config.backends[ref.backend], ref.model),
        hint_of(failure.kind),
    )


def pick_model(names: Sequence[str]) -> str:
    """Choose of the models that Ollama has: one for code before others, none that writes no text; "" for none."""
    able = [name for name in names if not any(word in name.lower() for word in _NO_TEXT)]
    return next((name for name in able if "cod" in name.lower()), able[0] if able else "")
