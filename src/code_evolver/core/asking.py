"""One question's way to a model, as a generator: it decides every step and does none.

A driver (edges/llm.py) sends what is to be sent and comes back with what came:

    Send   → Got: Answer | Failure, with the seconds it took
    Pause  → nothing
    Tell   → nothing (an event)

Nothing is asked of a backend whose circuit is open; what a server can do is probed once and corrected by what it answers.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from code_evolver.core import budget, tiers
from code_evolver.core.dialects.wire import Answer, Capability, Failure, Request, SchemaLevel
from code_evolver.core.errors import BudgetSpent
from code_evolver.core.llm_config import ModelRef
from code_evolver.core.llm_trouble import error_of, nothing_configured
from code_evolver.core.model_desk import Desk, Got, Pause, Send, Step, Tell
from code_evolver.core.probing import look_up, probe
from code_evolver.core.question import Ask, Reply, Usage
from code_evolver.core.reply import strip_reasoning
from code_evolver.core.retry import NextModel, Stop, Wait, decide
from code_evolver.core.schema_check import read_data

MOST_GROWTH = 2
"""How often a cut answer is asked for again with a doubled cap."""
ODD_QUESTIONS = 3
LARGEST_CAP = 32_000
LARGEST_WINDOW = 131_072
_TEMPLATE_TOKENS = 64
Asking = Generator[Step, Any, Reply]
_WEAKER: Mapping[SchemaLevel, SchemaLevel] = {"schema": "json", "json": "none", "none": "none"}


@dataclass(slots=True)
class _Try:
    """One model's turn with a question."""

    ref: ModelRef
    ask: Ask
    deadline: float
    texts: list[tuple[str, str]]
    """Ways to shorten the prompt that are left."""
    attempt: int = 1
    waits: int = 0
    waiting_since: float | None = None
    growths: int = 0
    odd_schema: int = 0
    """How often an answer did not fit the schema."""
    level: SchemaLevel | None = None
    """How the schema is asked for after that; None: as the server is known to take it."""
    left_out: str = ""
    broken: bool = False
    """The connection has just broken."""
    usage: Usage = field(default_factory=Usage)
    """Of every answer of this turn."""
    last: Usage = field(default_factory=Usage)
    """Of the last answer alone, for its event."""


def asking(ask: Ask, desk: Desk) -> Asking:
    """Ask the models of the tier in order. Raises ModelError when none of them gives an answer that can be used."""
    refs = tiers.models_of(desk.config.tiers, ask.tier)
    if not refs:
        raise nothing_configured()
    deadline = min(desk.now() + desk.config.deadline_seconds, ask.until or float("inf"))
    troubles: list[tuple[ModelRef, Failure]] = []
    yield Tell("llm_requested", {"purpose": ask.purpose, "tier": ask.tier})
    for ref in refs:
        if troubles and desk.now() >= deadline:
            break
        if not tiers.may_ask(desk.circuit(ref.backend), desk.now()):
            troubles.append((ref, Failure("down", "it did not answer before and is given a pause")))
            continue
        outcome = yield from _ask_model(_Try(ref, ask, deadline, list(ask.shorter)), desk)
        if isinstance(outcome, Reply):
            desk.told_unavailable = False
            return outcome
        troubles.append((ref, outcome))
    error = error_of(troubles, desk.config, desk.now())
    if error.retryable and not desk.told_unavailable:
        desk.told_unavailable = True
        yield Tell("llm_unavailable", {"hint": error.hint, "error": error.describe()})
    raise error


def _ask_model(turn: _Try, desk: Desk) -> Generator[Step, Any, Reply | Failure]:
    """Ask one model until it answers or the table says to go on."""
    while True:
        yield from _within_budget(turn, desk)
        yield from _know(turn, desk)
        _make_fit(turn, desk)
        got = yield from _send(turn, desk)
        outcome = _settle(turn, desk, got)
        if isinstance(outcome, Reply):
            _learn_level(turn, desk)
            yield Tell("llm_responded", _told(outcome, turn))
            return outcome
        yield Tell("llm_failed", _failed(turn, outcome))
        if desk.now() < turn.deadline and _adapted(turn, desk, outcome):
            continue
        step = decide(
            outcome,
            turn.attempt,
            desk.now(),
            desk.random(),
            waits=turn.waits,
            waiting_since=turn.waiting_since,
            deadline=turn.deadline,
        )
        if isinstance(step, Stop):
            raise step.error
        if isinstance(step, NextModel):
            _learn_level(turn, desk)
            return outcome
        _note_wait(turn, step, desk)
        yield Pause(step.seconds)


def _within_budget(turn: _Try, desk: Desk) -> Generator[Step, Any, None]:
    """Raise BudgetSpent where the run may ask no more; the first time it is told."""
    try:
        budget.check(desk.spent, desk.config.max_tokens)
    except BudgetSpent as error:
        if not desk.told_spent:
            desk.told_spent = True
            yield Tell(
                "llm_failed", {**_failed(turn, Failure("quota", error.message)), "kind": "budget", "hint": error.hint}
            )
        raise


def _learn_level(turn: _Try, desk: Desk) -> None:
    """Hold a server for weaker only after several questions in a row: one odd answer is the model's slip."""
    if turn.ask.schema is None:
        return
    odd = desk.odd_schema.get(turn.ref, 0) + 1 if turn.level else 0
    desk.odd_schema[turn.ref] = odd
    if turn.level and odd >= ODD_QUESTIONS:
        desk.capabilities[turn.ref] = replace(desk.capability(turn.ref), schema=turn.level, probed=True)


def _note_wait(turn: _Try, step: Wait, desk: Desk) -> None:
    if step.counts:
        turn.attempt += 1
    else:
        turn.waits += 1
        turn.waiting_since = desk.now() if turn.waiting_since is None else turn.waiting_since


def _send(turn: _Try, desk: Desk) -> Generator[Step, Any, Got]:
    """Send the question and note what it says about the backend and what it cost."""
    backend = desk.config.backends[turn.ref.backend]
    capability = desk.capability(turn.ref)
    capability = replace(capability, schema=turn.level or capability.schema)
    desk.circuits[backend.name] = tiers.asked(desk.circuit(backend.name), desk.now())
    request = desk.dialect(backend.type).build(turn.ask, turn.ref.model or capability.first_model, backend, capability)
    _note_window(turn, desk, request)
    got: Got = yield Send(backend, request, fresh=turn.broken, within=max(1.0, turn.deadline - desk.now()))
    desk.note(backend.name, got.answer)
    turn.broken = isinstance(got.answer, Failure) and got.answer.kind == "read"
    turn.last = Usage(seconds=got.seconds)
    if isinstance(got.answer, Answer):
        usage = replace(got.answer.usage, seconds=got.seconds)
        desk.spent = budget.charge(desk.spent, usage, turn.ask.system + turn.ask.user, got.answer.text)
        turn.usage, turn.last = budget.total(turn.usage, usage), usage
        _measure(turn, desk, usage)
    return got


def _note_window(turn: _Try, desk: Desk, request: Request) -> None:
    options = (request.body or {}).get("options")
    if isinstance(options, Mapping) and isinstance(options.get("num_ctx"), int):
        desk.capabilities[turn.ref] = replace(desk.capability(turn.ref), window=options["num_ctx"])


def _measure(turn: _Try, desk: Desk, usage: Usage) -> None:
    """Learn how many bytes a token has here, from prompts long enough to tell."""
    size = len((turn.ask.system + turn.ask.user).encode("utf-8", "replace"))
    if usage.tokens_in and size > 400 and 0.5 < size / usage.tokens_in < 8.0:
        desk.capabilities[turn.ref] = replace(desk.capability(turn.ref), bytes_per_token=size / usage.tokens_in)


def _settle(turn: _Try, desk: Desk, got: Got) -> Reply | Failure:
    """Turn what came into a reply, or say why it is none."""
    answer = got.answer
    if not isinstance(answer, Answer):
        return answer if isinstance(answer, Failure) else Failure("odd", "no answer")
    limit = desk.capability(turn.ref).window or desk.capability(turn.ref).context
    if limit and answer.usage.tokens_in is not None and answer.usage.tokens_in >= limit:
        return Failure(
            "context", f"the prompt filled the whole context of {limit} tokens, so it was cut", 200, detail=str(limit)
        )
    if answer.finish == "length" or (
        answer.finish == "unknown" and (answer.usage.tokens_out or 0) >= turn.ask.max_tokens
    ):
        return Failure(
            "truncated", f"the answer was cut after {answer.usage.tokens_out or turn.ask.max_tokens} tokens", 200
        )
    text = strip_reasoning(answer.text)
    if not text.strip():
        said = f" beside {answer.reasoning} characters of reasoning" if answer.reasoning else ""
        return Failure("empty", f"the answer is empty{said}", 200)
    data, wrong = read_data(turn.ask.schema, text)
    if wrong:
        return Failure("mismatch", wrong, 200)
    model = answer.model or turn.ref.model or desk.capability(turn.ref).first_model
    return Reply(text.strip("\n"), turn.ref.backend, model, turn.ask.tier, turn.usage, data)


def _adapted(turn: _Try, desk: Desk, failure: Failure) -> bool:
    """Change the question, or what is known of the server, so that asking again is worth it. False: nothing to change."""
    capability = desk.capability(turn.ref)
    if failure.kind == "truncated":
        return _grow(turn, capability)
    if failure.kind == "context":
        return _widen(turn, desk, int(failure.detail or 0)) or _shorten(turn)
    if failure.kind == "parameter":
        return _without(turn, desk, failure.detail)
    if failure.kind == "schema" and turn.ask.schema is not None and capability.schema != "none":
        desk.capabilities[turn.ref] = replace(capability, schema=_WEAKER[capability.schema], probed=True)
        return True
    if failure.kind == "mismatch" and turn.odd_schema < 2:
        turn.odd_schema += 1
        turn.level = _WEAKER[turn.level or capability.schema]
        return True
    return False


def _widen(turn: _Try, desk: Desk, limit: int) -> bool:
    """Learn the context from a prompt that was too long. True: the window can be made larger for the same prompt (Ollama)."""
    capability = desk.capability(turn.ref)
    window, fewest = capability.window, 0.6
    if (
        window
        and window < min(capability.context or LARGEST_WINDOW, LARGEST_WINDOW)
        and capability.bytes_per_token > fewest
    ):
        desk.capabilities[turn.ref] = replace(capability, bytes_per_token=capability.bytes_per_token / 2)
        return True
    if limit:
        context = min(limit, capability.context or limit)
        desk.capabilities[turn.ref] = replace(capability, context=context)
    return False


def _grow(turn: _Try, capability: Capability) -> bool:
    prompt = budget.estimate(turn.ask.system + turn.ask.user, capability.bytes_per_token) + _TEMPLATE_TOKENS
    room = LARGEST_CAP if capability.context is None else min(LARGEST_CAP, capability.context - prompt)
    larger = min(turn.ask.max_tokens * 2, room)
    if turn.growths >= MOST_GROWTH or larger <= turn.ask.max_tokens:
        return False
    turn.growths += 1
    turn.ask = replace(turn.ask, max_tokens=larger)
    return True


def _shorten(turn: _Try) -> bool:
    while turn.texts:
        turn.left_out, text = turn.texts.pop(0)
        if len(text) < len(turn.ask.user):
            turn.ask = replace(turn.ask, user=text)
            return True
    return False


def _without(turn: _Try, desk: Desk, name: str) -> bool:
    capability = desk.capability(turn.ref)
    if name == "max_tokens" and capability.cap_key == "max_tokens":
        desk.capabilities[turn.ref] = replace(capability, cap_key="max_completion_tokens")
    elif name == "temperature" and capability.temperature:
        desk.capabilities[turn.ref] = replace(capability, temperature=False)
    else:
        return False
    return True


def _make_fit(turn: _Try, desk: Desk) -> None:
    """Shorten the prompt, or lower the cap, before it is sent, where the context is known and would not do."""
    capability = desk.capability(turn.ref)
    while capability.context is not None:
        prompt = budget.estimate(turn.ask.system + turn.ask.user, capability.bytes_per_token) + _TEMPLATE_TOKENS
        room = capability.context - prompt
        if room >= min(turn.ask.max_tokens, capability.context // 4) or not _shorten(turn):
            if 0 < room < turn.ask.max_tokens:
                turn.ask = replace(turn.ask, max_tokens=max(room, 16))
            return


def _know(turn: _Try, desk: Desk) -> Generator[Step, Any, None]:
    """Find out once what the server has and does: its models and context, and whether it obeys a schema."""
    if turn.ref not in desk.looked_up:
        yield from look_up(turn.ref, desk)
    if turn.ask.schema is not None and not desk.capability(turn.ref).probed:
        yield from probe(turn.ref, desk)


def _told(reply: Reply, turn: _Try) -> dict[str, Any]:
    usage = turn.last
    speed = usage.tokens_out / usage.seconds if usage.tokens_out and usage.seconds else None
    return {
        "backend": reply.backend,
        "model": reply.model,
        "tier": reply.tier,
        "purpose": turn.ask.purpose,
        **_cost(usage),
        "tokens_per_second": None if speed is None else round(speed, 1),
        **({"left_out": turn.left_out} if turn.left_out else {}),
    }


def _failed(turn: _Try, failure: Failure) -> dict[str, Any]:
    return {
        "error": failure.words or failure.kind,
        "kind": failure.kind,
        "status": failure.status,
        "backend": turn.ref.backend,
        "model": turn.ref.model,
        "tier": turn.ask.tier,
        "purpose": turn.ask.purpose,
        "attempt": turn.attempt,
        **_cost(turn.last),
    }


def _cost(usage: Usage) -> dict[str, Any]:
    """Give what one answer cost, one that was of no use included."""
    return {
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "seconds": round(usage.seconds, 3),
        "load_seconds": usage.load_seconds,
    }
