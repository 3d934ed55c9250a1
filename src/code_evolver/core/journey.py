"""One task's way from a lease to its end, as a generator: it decides every step and does none.

The driver (worker.py) sends back what each step came to:

    Ask plan or code  → Reply, or Trouble where no usable answer came
    Try program       → Proof
    and the generator returns Generated | Rejected | Deferred.

Whether a node or program is known already is looked up before (worker), because it needs no decision.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from code_evolver.core.compose import compose
from code_evolver.core.findings import Finding
from code_evolver.core.gate import check, tools_of
from code_evolver.core.reply import Plan, read_code, read_plan
from code_evolver.core.task import Task
from code_evolver.core.task_types import TaskType

REPAIRS = 2
"""Rounds with findings for one tier; most of the gain lies in the first two (research: prior-art 2.7)."""
PATIENCE_SECONDS = 60.0
"""A known type goes to the composer when every configured backend has been down for so long (llm.patience_seconds)."""
RETRY_SECONDS = 5.0


# ── what the journey knows of the world at its start ─────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class Program:
    """A program that was proven for the same program key."""

    node: str
    code: bytes
    origin: str = "model"
    """Who wrote it first: "composer" or "model"."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything the decision needs, looked up before."""

    task: Task
    row: TaskType | None
    tiers: Sequence[str] = ()
    """Model tiers to try, weakest first; empty: no model."""
    configured: bool = False
    """A model backend is configured."""
    down_seconds: float | None = None
    """For how long no backend has answered; None while one does."""
    patience_seconds: float = PATIENCE_SECONDS
    program: Program | None = None
    model_code_may_run: bool = True
    """False at level guarded without the setting `isolation: guarded`."""
    tools: Sequence[str] = ()
    """Names of the tools there are: what a plan names beyond them is no promise."""


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class AskPlan:
    """Ask the router for a plan."""

    tier: str


@dataclass(frozen=True, slots=True)
class AskCode:
    """Ask the router for a program, or for a better one."""

    tier: str
    plan: Plan
    draft: bytes = b""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Try:
    """Prove a program that the gate has passed."""

    code: bytes
    generator: str
    planned: tuple[str, ...] | None = None
    """Tools of the plan; None for composed code and copies."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Tell that a draft was not good enough (the driver reports it; nothing comes back)."""

    draft: "Draft"


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class Said:
    """What a model said."""

    text: str
    backend: str = ""
    model: str = ""
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """No usable answer came."""

    kind: Literal["unavailable", "refused", "truncated", "budget", "late"]
    """late: the time that the task may keep models busy has run out."""
    reason: str
    code: str
    wait: float = RETRY_SECONDS


@dataclass(frozen=True, slots=True)
class Proof:
    """How a trial was judged."""

    findings: tuple[Finding, ...]
    record: Mapping[str, Any] = field(default_factory=dict)
    """What node.json keeps: checks, covers, versions."""
    level: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""
    """Set where no trial could be held: to be tried again, not judged."""
    runs: Sequence[Mapping[str, Any]] = ()
    """What each run came to: {"case", "exit_code", "stopped_by", "seconds", "calls": their number}."""


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class Draft:
    """A program that was not kept, for the dead letter."""

    code: str
    findings: tuple[Finding, ...]
    generator: str
    prompt: str = ""
    answer: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Give it as a dead letter keeps it."""
        return {"generator": self.generator, "code": self.code, "prompt": self.prompt, "answer": self.answer,
                "findings": [finding.as_dict() for finding in self.findings]}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Generated:
    """A program that was proven, to be saved."""

    code: bytes
    proof: Proof
    generator: Mapping[str, Any]
    """{"kind": "composer" | "copy" | "model", "of"?, "backend"?, "model"?, "attempts"}"""
    title: str = ""
    description: str = ""
    drafts: tuple[Draft, ...] = ()
    prompt: str = ""
    """What the model was asked, and what it said; "" where no model was."""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """No program was good enough, or nobody could write one."""

    reason: str
    code: str
    drafts: tuple[Draft, ...] = ()


@dataclass(frozen=True, slots=True)
class Deferred:
    """To be tried again in `seconds`."""

    seconds: float
    reason: str
    failure: bool
    """Counts against the task's limit of attempts."""
    drafts: tuple[Draft, ...] = ()
    """What was written until then: the dead letter keeps it where this was the last attempt."""


Step = AskPlan | AskCode | Try | Refused
Ending = Generated | Rejected | Deferred
Journey = Generator[Step, Any, Ending]


def journey(situation: Situation) -> Journey:
    """Decide one task's way: a copy of a known program, else a model's program, else a composed one, else rejected."""
    drafts: list[Draft] = []
    ending = yield from _decide(situation, drafts)
    return replace(ending, drafts=tuple(drafts)) if isinstance(ending, Deferred) else ending


def _decide(situation: Situation, drafts: list[Draft]) -> Journey:
    trouble: Trouble | None = None
    if situation.program and (situation.model_code_may_run or situation.program.origin == "composer"):
        ending = yield from _copy(situation.program, drafts)
        if ending:
            return ending
    if situation.tiers and situation.model_code_may_run:
        outcome = yield from _ask_models(situation, drafts)
        if not isinstance(outcome, Trouble):
            return outcome
        trouble = outcome
    if situation.row:
        ending = yield from _compose(situation, situation.row, drafts)
        if ending:
            return ending
    return _rejected(situation, trouble, drafts)


def _copy(program: Program, drafts: list[Draft]) -> Generator[Step, Any, Generated | Deferred | None]:
    proof = yield Try(program.code, "copy")
    if proof.broken:
        return Deferred(RETRY_SECONDS, proof.broken, failure=True)
    if not proof.findings:
        return Generated(program.code, proof, {"kind": "copy", "of": program.node, "origin": program.origin})
    draft = Draft(program.code.decode("utf-8", "replace"), proof.findings, f"copy of {program.node}")
    drafts.append(draft)
    yield Refused(draft)
    return None


def _ask_models(situation: Situation, drafts: list[Draft]) -> Generator[Step, Any, Ending | Trouble]:
    """Go through the tiers. Trouble: no program, but the composer may be asked."""
    troubles: list[Trouble] = []
    for tier in situation.tiers:
        outcome = yield from _ask_tier(tier, situation.tools, drafts)
        if not isinstance(outcome, Trouble):
            return outcome
        troubles.append(outcome)
        if outcome.kind in ("budget", "late"):
            break
    waiting = _worth_waiting(situation, troubles)
    if waiting:
        return Deferred(waiting.wait, waiting.reason, failure=False)
    telling = [trouble for trouble in troubles if trouble.code != "not_proven"]
    return telling[-1] if telling else troubles[-1]


def _worth_waiting(situation: Situation, troubles: Sequence[Trouble]) -> Trouble | None:
    """Give what to wait for: a tier that was not there, unless the task can end without it.

    A tier that has spent its rounds would spend them again at every return; a known type waits for as long as the patience
    lasts, and only where no other tier was there either.
    """
    ended = any(trouble.code == "not_proven" or trouble.kind in ("budget", "late") for trouble in troubles)
    away = next((trouble for trouble in troubles if trouble.kind == "unavailable"), None)
    if ended or away is None:
        return None
    if situation.row is None:
        return away
    all_away = all(trouble.kind == "unavailable" for trouble in troubles)
    return away if all_away and (situation.down_seconds or 0.0) < situation.patience_seconds else None


def _ask_tier(tier: str, tools: Sequence[str], drafts: list[Draft]) -> Generator[Step, Any, Ending | Trouble]:
    plan = yield from _plan(tier)
    if isinstance(plan, Trouble):
        return plan
    code: bytes = b""
    findings: tuple[Finding, ...] = ()
    for _ in range(1 + REPAIRS):
        said = yield AskCode(tier, plan, code, findings)
        if isinstance(said, Trouble):
            return said
        outcome = yield from _judge_answer(said, tuple(tool for tool in plan.tools if tool in tools))
        if not isinstance(outcome, Draft):
            return _with_attempts(outcome, drafts, plan)
        drafts.append(outcome)
        yield Refused(outcome)
        code, findings = outcome.code.encode(), outcome.findings
    return Trouble("refused", f"the {tier} tier wrote no program that passes the proof", "not_proven")


def _with_attempts(ending: Generated | Deferred, drafts: Sequence[Draft], plan: Plan) -> Generated | Deferred:
    if isinstance(ending, Deferred):
        return ending
    generator = {**ending.generator, "attempts": len(drafts) + 1}
    return replace(ending, generator=generator, title=plan.title, description=plan.description, drafts=tuple(drafts))


def _plan(tier: str) -> Generator[Step, Any, Plan | Trouble]:
    """A plan that cannot be had or read is no obstacle: the program's own tools are what counts."""
    said = yield AskPlan(tier)
    if isinstance(said, Trouble):
        return Plan("", "", ()) if said.kind in ("refused", "truncated") else said
    plan, _ = read_plan(said.text)
    return plan or Plan("", "", ())


def _judge_answer(said: Said, planned: tuple[str, ...]) -> Generator[Step, Any, Generated | Deferred | Draft]:
    generator = f"{said.backend}/{said.model}"
    code, findings = read_code(said.text)
    if code is not None:
        findings = check(code)
    if code is not None and not findings:
        proof = yield Try(code, generator, planned or tools_of(code))
        if proof.broken:
            return Deferred(RETRY_SECONDS, proof.broken, failure=True)
        if not proof.findings:
            made = {"kind": "model", "backend": said.backend, "model": said.model}
            return Generated(code, proof, made, prompt=said.prompt, answer=said.text)
        findings = proof.findings
    return Draft((code or b"").decode("utf-8", "replace"), findings, generator, said.prompt, said.text)


def _compose(
    situation: Situation, row: TaskType, drafts: list[Draft]
) -> Generator[Step, Any, Generated | Deferred | None]:
    task = situation.task
    code = compose(row, translations=bool(task.languages), fields=tuple(task.fields))
    proof = yield Try(code, "composer")
    if proof.broken:
        return Deferred(RETRY_SECONDS, proof.broken, failure=True)
    if not proof.findings:
        return Generated(code, proof, {"kind": "composer", "attempts": 1}, drafts=tuple(drafts))
    draft = Draft(code.decode(), proof.findings, "composer")
    drafts.append(draft)
    yield Refused(draft)
    return None


def _rejected(situation: Situation, trouble: Trouble | None, drafts: Sequence[Draft]) -> Rejected:
    if trouble and trouble.code != "not_proven":
        return Rejected(trouble.reason, trouble.code, tuple(drafts))
    if drafts:
        found = drafts[-1].findings
        last = f"{found[0].rule}: {found[0].message}" if found else "no finding"
        return Rejected(f"no program passed the proof; last {last}", "not_proven", tuple(drafts))
    if situation.tiers:
        return Rejected(
            "a model's program may not run here: this machine reaches isolation level guarded only",
            "isolation_required",
        )
    return Rejected(
        f"the task type '{situation.task.type}' is not one of the known ones and no model backend is "
        + ("in use (llm: off)" if situation.configured else "configured"),
        "llm_unavailable",
    )
