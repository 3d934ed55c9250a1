"""The proof: gate, trial and judge in their order. The same for a draft, a copy, `verify_workflow` and `nodes verify`."""

from collections.abc import Mapping
from typing import Any

from code_evolver.core.findings import Finding
from code_evolver.core.gate import GATE_VERSION, check, tools_of
from code_evolver.core.journey import Proof
from code_evolver.core.judge import JUDGE_VERSION, Verdict, judge
from code_evolver.core.proof_cases import cases
from code_evolver.core.record import quotes
from code_evolver.core.registry import source_hash
from code_evolver.core.task_types import TaskType
from code_evolver.ports import Trial, Trials


def prove(  # noqa: PLR0913 - a proof depends on exactly these
    trials: Trials,
    code: bytes,
    row: TaskType | None,
    sample: Mapping[str, Any],
    *,
    tools: frozenset[str],
    planned: tuple[str, ...] | None = None,
    versions: Mapping[str, str],
    task_type: str = "",
    texts: Mapping[str, str] | None = None,
) -> Proof:
    """Prove a program on `sample` and the inputs made from it. Blocking.

    `texts` are those of a task; a program that a model wrote may not repeat them.

    `tools` are the names that exist; `versions` (runtime, manifests) go into the record. A finding of the gate ends it: such
    code is never started.
    """
    findings = check(code) or _unknown_tools(code, tools) or _quotation(code, texts or {})
    if findings:
        return Proof(findings)
    called = tools_of(code)
    tried = cases(row, sample, called)
    trial = trials.run(code, tried, called)
    if trial.failed:
        return Proof((), broken=trial.failed)
    verdict = judge(row, tried, trial.runs, allowed_tools=tuple(tools), planned_tools=planned, task_type=task_type)
    if verdict.undecided:
        return Proof((), broken=verdict.undecided)
    return Proof(verdict.findings, record_of(verdict, versions), level_of(trial), runs=runs_of(trial))


def record_of(verdict: Verdict, versions: Mapping[str, str]) -> dict[str, Any]:
    """Give what node.json keeps of a verdict: each check, its verdict, what the proof covers, and by which judge."""
    return {
        "checks": [
            {"name": "gate", "passed": True},
            *({"name": one.name, "passed": one.passed} for one in verdict.checks),
        ],
        "covers": dict(verdict.covers),
        "weaker": verdict.weaker,
        "versions": proof_versions(versions),
    }


def proof_versions(versions: Mapping[str, str]) -> dict[str, str]:
    """Give everything that a verdict depends on besides the program."""
    return {"gate": GATE_VERSION, "judge": JUDGE_VERSION, **versions}


def level_of(trial: Trial) -> dict[str, str]:
    """Give the isolation that a trial was held under."""
    return {"level": trial.level, "detail": trial.detail}


def runs_of(trial: Trial) -> tuple[dict[str, Any], ...]:
    """Give what is told of a trial's runs."""
    return tuple(
        {"case": run.case, "exit_code": run.exit_code, "stopped_by": run.stopped_by, "seconds": round(run.seconds, 4),
         "calls": len(run.calls)} for run in trial.runs
    )  # fmt: skip


def still_valid(record: Mapping[str, Any], code: bytes, versions: Mapping[str, str]) -> bool:
    """Say whether a node's proof was made of this very program by this very judge, runtime and manifests."""
    return bool(record["sha256"] == source_hash(code)) and record["proof"].get("versions") == proof_versions(versions)


def _quotation(code: bytes, texts: Mapping[str, str]) -> tuple[Finding, ...]:
    """A program is kept, copied and shown to models as an example: what one customer wrote has no place in it."""
    if not quotes(code.decode("utf-8", "replace"), texts):
        return ()
    return (Finding("quotes-the-task", 0, "The program repeats a piece of the task's text.",
                    "Write none of the task's words into the program: it reads them from its input."),)  # fmt: skip


def _unknown_tools(code: bytes, tools: frozenset[str]) -> tuple[Finding, ...]:
    return tuple(
        Finding("unknown-tool", 0, f"There is no tool {name!r}.", f"Call one of: {', '.join(sorted(tools))}.")
        for name in tools_of(code)
        if name not in tools
    )
