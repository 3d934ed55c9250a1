"""The judge says whether a program does what its type says, on every case of a trial with stub tools.

Stub tools (core.stubs) answer with a digest of the call, so the judge computes which answer belongs where; it trusts
nothing that the program says of itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from code_evolver.core.coverage import covers_of
from code_evolver.core.findings import Finding
from code_evolver.core.judge_seen import (
    Fault,
    Seen,
    covers_whole,
    see,
    shape_faults,
    shares_target,
    text_of,
    tool_faults,
)
from code_evolver.core.judge_type import asks_translations, type_faults
from code_evolver.core.strict_json import show
from code_evolver.core.stubs import stub_answer
from code_evolver.core.task_types import TaskType
from code_evolver.core.trials import Case, Run

__all__ = ["JUDGE_VERSION", "Check", "Verdict", "judge", "stub_answer"]
JUDGE_VERSION = "1"
_SHOWN_CASES = 3

MENDS = {
    "stopped": "Remove endless loops and needless work; read standard input once and end.",
    "one-json-document": "Print exactly one json.dumps(...) document in every case, for failures too, and nothing else.",
    "exit-status": "Exit with 0 when the work is done, sys.exit(2) for bad input, sys.exit(1) when a tool fails (ToolError).",
    "output-keys": 'Print one object with "result", "task_id" and "task_type".',
    "task-id": 'Copy the input\'s "id" to "task_id" unchanged.',
    "task-type": 'Print the type of the task as "task_type".',
    "failure-object": 'On failure print {"success": false, "error": {"code": …, "message": …}} without a "result".',
    "tool-not-allowed": "Call only the tools that are listed for this task.",
    "tool-of-another-type": "Call only the tools that this type of task needs.",
    "tool-not-planned": "Call exactly the tools of the plan.",
    "text-not-whole": "Give the tool the whole text, unchanged: do not cut, lower or rewrite it.",
    "asked-twice": "Call the tool once for one text and use its answer again.",
    "field-ignored": "Give the tool every content field of the input, in the prompt after the text.",
    "pair-missing": "Call the translation tool once for every language pair of the input.",
    "pair-twice": "Call the translation tool once a language pair; leave repeated pairs out.",
    "pair-unknown": 'Pass source_language=pair["from"] and target_language=pair["to"] as they stand in the input.',
    "pair-text": "Give the translation tool the text alone, whole, without words of your own.",
    "wrong-result": 'Put the tool\'s answer into "result" unchanged.',
    "wrong-translations": 'Put each answer into "translations" under the key of its own pair, and no other keys.',
    "same-output": "Compute the result from the input; do not print a fixed text.",
    "not-deterministic": "Give the same output for the same input: no random values, times or memory of earlier inputs.",
}
"""What a model is told to mend, by rule."""

CHECKS: Mapping[str, tuple[str, ...]] = {
    "ends by itself": ("stopped",),
    "one JSON document": ("one-json-document",),
    "exit status": ("exit-status",),
    "result, task_id and task_type": ("output-keys", "task-id", "task-type"),
    "failures are told as failures": ("failure-object",),
    "tools": ("tool-not-allowed", "tool-of-another-type", "tool-not-planned"),
    "text reaches the tool whole": ("text-not-whole", "asked-twice", "field-ignored"),
    "each language pair once": ("pair-missing", "pair-twice", "pair-unknown", "pair-text"),
    "answers in their places": ("wrong-result", "wrong-translations"),
    "another input, another output": ("same-output",),
    "same input, same output": ("not-deterministic",),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at in every case."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of a program: kept only where there is no finding and nothing is undecided."""

    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    covers: Mapping[str, Any] = field(default_factory=dict)
    """{"languages": most pairs at once, "fields": [...], "max_chars": n, "shared_target": bool, "cases": n}"""
    weaker: bool = False
    """The type is unknown: only what holds for every node was checked."""
    undecided: str = ""
    """Set where runs are missing or were killed by the system: try again, do not judge."""


def judge(
    row: TaskType | None,
    cases: Sequence[Case],
    runs: Sequence[Run],
    *,
    allowed_tools: Sequence[str],
    planned_tools: Sequence[str] | None = None,
    task_type: str = "",
) -> Verdict:
    """Judge the runs of `cases` (core.proof_cases.cases, the sample first); `task_type` names an unknown type."""
    by_name = {run.case: run for run in runs}
    undecided = _undecided(cases, by_name)
    if undecided:
        return Verdict((), (), weaker=row is None, undecided=undecided)
    seen = [see(row, case, by_name[case.name]) for case in cases]
    faults = {
        one.case.name: tuple(_case_faults(row, one, seen[0], frozenset(allowed_tools), task_type)) for one in seen
    }
    whole = tuple(_whole_faults(row, seen, planned_tools))
    findings = _findings({**{name: _required(row, name, found, seen[0]) for name, found in faults.items()}, "": whole})
    good = [one for one in seen if one.done and not faults[one.case.name]]
    return Verdict(findings, _checks(row, findings, len(seen)), covers_of(row, good, seen[0]), weaker=row is None)


def _undecided(cases: Sequence[Case], runs: Mapping[str, Run]) -> str:
    missing = [case.name for case in cases if case.name not in runs]
    killed = [case.name for case in cases if case.name in runs and runs[case.name].stopped_by == "signal"]
    if not cases or missing:
        return f"there is no run of {show(', '.join(missing) or 'any case')}"
    return f"the system killed the run of {show(', '.join(killed))}" if killed else ""


def _case_faults(
    row: TaskType | None, one: Seen, sample: Seen, allowed: frozenset[str], task_type: str
) -> Iterator[Fault]:
    shape = tuple(shape_faults(one, row.name if row else task_type))
    yield from shape
    yield from tool_faults(one, allowed)
    if row and one.done and not any(rule == "output-keys" for rule, _ in shape):
        yield from type_faults(row, one, translates=asks_translations(row, sample))


def _required(row: TaskType | None, case: str, found: Sequence[Fault], sample: Seen) -> Sequence[Fault]:
    """Leave out what the contract does not fix: names of pairs that share a target, unless the sample has such pairs."""
    if row is None or case != "shared target" or row.pair_key != "{to}" or shares_target(sample):
        return found
    return [fault for fault in found if fault[0] != "wrong-translations"]


# ── across cases ─────────────────────────────────────────────────────────────────────────────────────────────────────
def _whole_faults(row: TaskType | None, seen: Sequence[Seen], planned: Sequence[str] | None) -> Iterator[Fault]:
    by_name = {one.case.name: one for one in seen}
    called = {call.tool for one in seen for call in one.run.calls}
    if planned is not None and called != set(planned):
        yield "tool-not-planned", f"called are {_list(called)} and planned are {_list(planned)}"
    first, again, second = (by_name.get(name) for name in ("sample", "sample again", "second text"))
    if first and again and (first.run.stdout != again.run.stdout or _calls(first) != _calls(again)):
        yield "not-deterministic", "the same input gave another output or other calls the second time"
    if first and second and first.done and second.done and _same_result(first, second):
        yield "same-output", "two different texts gave the same result"
    long = by_name.get("long text")
    if row is None and second and long and second.done and long.done and _cut(second, long):
        yield "text-not-whole", "a short text reaches a tool whole and a long one does not"


def _list(tools: set[str] | Sequence[str]) -> str:
    return show(", ".join(sorted(tools)) or "none")


def _calls(one: Seen) -> list[str]:
    return sorted(repr((call.tool, call.prompt, sorted(call.arguments.items()))) for call in one.run.calls)


def _same_result(first: Seen, second: Seen) -> bool:
    return bool(first.document.get("result") == second.document.get("result"))


def _cut(short: Seen, long: Seen) -> bool:
    reached = [any(text_of(None, one) in call.prompt for call in one.run.calls) for one in (short, long)]
    return reached == [True, False] and not covers_whole([call.prompt for call in long.run.calls], text_of(None, long))


# ── the verdict ──────────────────────────────────────────────────────────────────────────────────────────────────────
def _findings(faults: Mapping[str, Sequence[Fault]]) -> tuple[Finding, ...]:
    """Make one finding a rule: the first fault's sentence, and the other cases that show it."""
    by_rule: dict[str, dict[str, str]] = {}
    for case, found in faults.items():
        for rule, message in found:
            by_rule.setdefault(rule, {}).setdefault(case, message)
    return tuple(Finding(rule, 0, _sentence(shown), MENDS[rule]) for rule, shown in by_rule.items())


def _sentence(shown: Mapping[str, str]) -> str:
    (case, message), *others = shown.items()
    if not case:
        return message[:1].upper() + message[1:] + "."
    named = ", ".join(name for name, _ in others[:_SHOWN_CASES] if name)
    more = f"; also in: {named}" + (f" and {len(others) - _SHOWN_CASES} more" if len(others) > _SHOWN_CASES else "")
    return f"Case '{case}': {message}{more if named else ''}."


def _checks(row: TaskType | None, findings: Sequence[Finding], count: int) -> tuple[Check, ...]:
    told = {finding.rule: finding.message for finding in findings}
    return tuple(
        Check(name, not said, said[0] if said else f"{count} cases")
        for name, rules in CHECKS.items()
        if row or not name.startswith(("each language", "answers in"))
        for said in [[told[rule] for rule in rules if rule in told]]
    )
