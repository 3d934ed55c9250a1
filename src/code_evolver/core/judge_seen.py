"""One case of a trial as the judge sees it, and what every node must do in it, whatever its type."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from code_evolver.core.errors import InputError
from code_evolver.core.proof_cases import LANGUAGES, text_key
from code_evolver.core.strict_json import kind, loads, show
from code_evolver.core.task_types import TaskType
from code_evolver.core.trials import Call, Case, Run

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
Fault = tuple[str, str]
"""(rule, one sentence without a full stop)."""
Expected = Literal["done", "bad_input", "tool_failure", "any"]
EXIT_STATUS = {"done": 0, "bad_input": 2, "tool_failure": 1}


@dataclass(frozen=True, slots=True)
class Seen:
    """A case, how it went, and how it had to go."""

    case: Case
    run: Run
    data: Any
    """The input as parsed; None where it is no JSON."""
    document: Any
    """What was printed; None where that is no JSON document."""
    problem: str
    """Why `document` is none."""
    expected: Expected

    @property
    def done(self) -> bool:
        """The work had to be done, and an object says it was."""
        return self.expected == "done" and self.run.exit_code == 0 and isinstance(self.document, Mapping)


def see(row: TaskType | None, case: Case, run: Run) -> Seen:
    """Read a case's input and output."""
    data, _ = _read(case.input)
    document, problem = _read(run.stdout)
    return Seen(case, run, data, document, problem, _expect(row, case, run, data))


def _read(raw: bytes) -> tuple[Any, str]:
    if not raw.strip():
        return None, "nothing was printed"
    try:
        return loads(raw), ""
    except InputError as error:
        return None, error.message


def _expect(row: TaskType | None, case: Case, run: Run, data: Any) -> Expected:
    if not isinstance(data, Mapping):
        return "bad_input"
    if case.failing and any(call.tool == case.failing for call in run.calls):
        return "tool_failure"
    if row is None:
        return "done" if text_key(None, data) else "any"
    if not isinstance(data.get(text_key(row, data)), str):
        return "bad_input"
    return "done" if _languages_fit(row, data.get(LANGUAGES)) else "bad_input"


def _languages_fit(row: TaskType, languages: Any) -> bool:
    if not languages:
        return row.languages == "optional"
    return isinstance(languages, list) and all(
        isinstance(entry, Mapping) and entry.get("from") and entry.get("to") for entry in languages
    )


def text_of(row: TaskType | None, seen: Seen) -> str:
    """Give the text of a case that is to be worked on."""
    return str(seen.data.get(text_key(row, seen.data), ""))


def pairs_of(seen: Seen) -> list[tuple[str, str]]:
    """Give the language pairs asked for, each once."""
    entries = seen.data.get(LANGUAGES) or ()
    return list(dict.fromkeys((entry["from"], entry["to"]) for entry in entries))


def shares_target(seen: Seen) -> bool:
    """Say whether two of the pairs asked for have one target."""
    targets = [target for _, target in pairs_of(seen)]
    return len(set(targets)) < len(targets)


def pair_keys(row: TaskType, pairs: list[tuple[str, str]]) -> list[str]:
    """Give the key of each pair in `translations`; pairs that share a target are named "from-to"."""
    targets = [target for _, target in pairs]
    both = row.pair_key != "{to}"
    return [f"{source}-{target}" if both or targets.count(target) > 1 else target for source, target in pairs]


def covers_whole(prompts: list[str], text: str) -> bool:
    """Say whether the prompts that are parts of `text` make the whole of it, in order, white space aside."""
    place = 0
    for piece in filter(None, (prompt.strip() for prompt in prompts)):
        start = text.find(piece, max(0, place - len(piece)))
        if start < 0 or text[place:start].strip():
            continue
        place = max(place, start + len(piece))
    return not text[place:].strip()


# ── what every node must do ──────────────────────────────────────────────────────────────────────────────────────────
def shape_faults(seen: Seen, task_type: str) -> Iterator[Fault]:
    """Find what is wrong with a case's end, document and exit status."""
    if seen.run.stopped_by:
        yield "stopped", f"the program was stopped ({seen.run.stopped_by})"
        return
    if seen.problem:
        yield "one-json-document", seen.problem.rstrip(".") + _stderr(seen)
        return
    wanted = EXIT_STATUS.get(seen.expected, seen.run.exit_code)
    if seen.run.exit_code != wanted:
        said = f"{_why(seen)}, so the exit status must be {wanted}, not {seen.run.exit_code}"
        yield "exit-status", said + _stderr(seen)
    elif not isinstance(seen.document, Mapping):
        yield "output-keys", f"{kind(seen.document)} was printed and not an object"
    elif seen.expected == "done":
        yield from _success_faults(seen, task_type)
    elif seen.expected != "any":
        yield from _failure_faults(seen)


def _stderr(seen: Seen) -> str:
    said = seen.run.stderr.strip().splitlines()
    return f"; stderr ends with {show(said[-1], 160)}" if said else ""


def _why(seen: Seen) -> str:
    return {"bad_input": "the input is bad", "tool_failure": f"{seen.case.failing} fails"}.get(
        seen.expected, "the input is good and all tools answer"
    )


def _success_faults(seen: Seen, task_type: str) -> Iterator[Fault]:
    missing = [key for key in ("result", "task_id", "task_type") if seen.document.get(key) is None]
    if missing and not (missing == ["task_id"] and "id" not in seen.data and "task_id" in seen.document):
        yield "output-keys", f"the document lacks {', '.join(missing)}"
        return
    if seen.document.get("success") is False or "error" in seen.document:
        yield "output-keys", "the document of a task that is done speaks of an error"
    yield from _id_faults(seen)
    said = seen.document["task_type"]
    if not isinstance(said, str) or (task_type and said != task_type) or not said:
        yield "task-type", f"task_type is {show(said)}" + (f" and not {show(task_type)}" if task_type else "")


def _id_faults(seen: Seen) -> Iterator[Fault]:
    if "id" in seen.data and seen.document.get("task_id") != seen.data["id"]:
        yield (
            "task-id",
            f"task_id is {show(seen.document.get('task_id'))} where the input's id is {show(seen.data['id'])}",
        )


def _failure_faults(seen: Seen) -> Iterator[Fault]:
    error = seen.document.get("error")
    told = isinstance(error, Mapping) and isinstance(error.get("message"), str) and error["message"]
    coded = told and isinstance(error.get("code"), str) and _CODE.fullmatch(error["code"])
    if seen.document.get("success") is not False or not coded or "result" in seen.document:
        yield (
            "failure-object",
            f"{_why(seen)}, but what is printed is no failure object with a code of one word, a message and no result",
        )
    elif isinstance(seen.data, Mapping) and "task_id" in seen.document:
        yield from _id_faults(seen)


def tool_faults(seen: Seen, allowed: frozenset[str]) -> Iterator[Fault]:
    """Find calls of tools that the program may not call."""
    for tool in sorted({call.tool for call in seen.run.calls} - allowed):
        yield "tool-not-allowed", f"{show(tool)} is called, and only {', '.join(sorted(allowed)) or 'no tool'} may be"


def calls_of(seen: Seen, tool: str | None) -> list[Call]:
    """Give the calls of one tool, in order."""
    return [call for call in seen.run.calls if call.tool == tool]
