"""The same proof that a draft must pass before it is kept, for any program."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from code_evolver.assembly import proof_kit
from code_evolver.configuration import workspace_flag
from code_evolver.core.errors import InputError, NodeError
from code_evolver.core.message import read_message
from code_evolver.core.strict_json import kind, show
from code_evolver.core.task import Task, node_input
from code_evolver.core.task_types import TaskType, known
from code_evolver.edges import stdio
from code_evolver.help_text import USAGES, helped
from code_evolver.proof import prove

USAGE = USAGES["verify_workflow"]


NOT_STARTED = {"level": "not started", "detail": "the gate has findings, so no child was given the program"}


def run(given: Mapping[str, Any]) -> dict[str, Any]:
    """Prove a program. Raises InputError for a request that is none."""
    flag = workspace_flag(sys.argv[1:])
    unknown = sorted(set(given) - {"code", "task", "task_type"})
    if unknown:
        raise InputError(f"The request has an unknown key {show(unknown[0])}.", 'Keys: "code", "task", "task_type".')
    code = given.get("code")
    if not isinstance(code, str):
        raise InputError(f"code must be text, but is {kind(code)}.", 'Send {"code": "…the program…"}.')
    task = _task(given.get("task"))
    row, type_name = _type(given.get("task_type"), task)
    sample = node_input(task) if task else dict(row.examples[0]) if row else {"content": "A short synthetic text."}
    trials, tools, versions = proof_kit(Path(flag["workspace"]) if flag else None)
    proof = prove(
        trials, code.encode("utf-8", "surrogatepass"), row, sample, tools=tools, versions=versions, task_type=type_name,
        texts=task.fields if task else None,
    )  # fmt: skip
    if proof.broken:
        raise NodeError(f"The trial could not be held: {proof.broken}", "Try again; see `code-evolver check`.")
    return {
        "accepted": not proof.findings,
        "findings": [finding.as_dict() for finding in proof.findings],
        "isolation": dict(proof.level) or dict(NOT_STARTED),
        "runs": list(proof.runs),
        "checks": list(proof.record.get("checks", ())) or [{"name": "gate", "passed": False}],
        "covers": dict(proof.record.get("covers", {})),
    }


def _task(given: Any) -> Task | None:
    if given is None:
        return None
    read = read_message([given])
    if len(read.tasks) != 1:
        reason = read.refusals[0].reason if read.refusals else "it holds no task, or several"
        raise InputError(f"task is no task: {reason}", 'Send one object with "taskName", "llmTaskType", "content".')
    return read.tasks[0]


def _type(given: Any, task: Task | None) -> tuple[TaskType | None, str]:
    if given is not None and not isinstance(given, str):
        raise InputError(f"task_type must be text, but is {kind(given)}.", "Send summarize, generate or translate.")
    name = given or (task.type if task else "")
    row = known(name) if name else None
    return row, row.name if row else name


def main() -> None:
    """Serve the tool once."""
    if helped("verify_workflow"):
        return
    sys.exit(stdio.serve(run, usage=USAGE))


if __name__ == "__main__":
    main()
