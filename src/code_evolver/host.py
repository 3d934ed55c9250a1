"""Runs one node that was started by hand: checks it again, puts it into a sealed child, relays its streams."""

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from code_evolver.core.errors import CodeEvolverError, InputError, NodeChanged, NodeError
from code_evolver.core.gate import check, tags_of, tools_of
from code_evolver.core.naming import safe_name
from code_evolver.core.strict_json import BadJson, dumps, loads, show
from code_evolver.core.trials import Answerer, Run, Trial
from code_evolver.edges.failures import FailureLog
from code_evolver.edges.trial import ChildTrials, Level, TooWeak
from code_evolver.edges.workspace import Workspace

MOST_DEPTH = 4
"""So many nodes may call each other as tools, one in another."""
MOST_INPUT = 64 * 1024 * 1024
CODE_SUFFIXES = frozenset({".py", ".pyc", ".pyd", ".so", ".pth"})
STOPPED: Mapping[str, str] = {
    "wall": "took too long",
    "cpu": "used too much processor time",
    "memory": "used too much memory",
    "output": "printed too much",
    "calls": "called tools too often",
    "policy": "tried something that no workflow may do",
    "signal": "crashed",
    "crash": "broke off",
}
WRITERS: Mapping[str, str] = {"model": "a model wrote this node", "hand": "this node was changed by hand"}
"""Who writes what runs behind a wall only, unless that was waived."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where a run reads and writes, and the environment that may loosen its rules."""

    stdin: BinaryIO
    stdout: BinaryIO
    say: Callable[[str], None]
    """Tell a person one line (stderr)."""
    environment: Mapping[str, str]


def own_doors() -> Doors:
    """Give the streams and the environment of this process."""

    def say(line: str) -> None:
        sys.stderr.write(f"code-evolver: {line}\n")
        sys.stderr.flush()

    return Doors(sys.stdin.buffer, sys.stdout.buffer, say, os.environ)


def run_node_by_hand(
    main_py: Path, doors: Doors | None = None, answer: Answerer | None = None, trials: ChildTrials | None = None
) -> int:
    """Run nodes/<name>/main.py on stdin, print its document, give its exit code.

    `answer` answers tool calls; None: the workspace's toolbox, or stubs where CODE_EVOLVER_STUB_TOOLS=1. `trials`: where to run.
    """
    doors = doors or own_doors()
    try:
        code = permitted_code(main_py, doors)
        run = _run(main_py, code, doors, answer, trials or _trials_for(code, main_py.parent.parent.parent))
        _count_failure(main_py.parent, run, doors)
        return _relay(run, doors)
    except CodeEvolverError as error:
        _print_failure(doors, error.describe())
        return error.exit_code


def _count_failure(folder: Path, run: Run, doors: Doors) -> None:
    """Note that the node was stopped or failed, unless that is not wanted; bad input is not its fault."""
    failed = run.stopped_by or run.exit_code not in (0, 2)
    state = folder.parent.parent / ".code_evolver"
    if failed and state.is_dir() and doors.environment.get("CODE_EVOLVER_COUNT_NODE_FAILURES") != "0":
        FailureLog(state / "failures.jsonl").note(folder.name, run.stopped_by or _code_of(run), time.time())


def _code_of(run: Run) -> str:
    try:
        return str(loads(run.stdout)["error"]["code"])
    except (BadJson, KeyError, TypeError, IndexError):
        return "node_failed"


def normal_sha256(code: bytes) -> str:
    """Give the hash that node.json keeps: of main.py with plain line ends."""
    return hashlib.sha256(code.replace(b"\r\n", b"\n")).hexdigest()


def permitted_code(main_py: Path, doors: Doors) -> bytes:
    """Read a node's program and check that it is what was proven. Raises NodeError or NodeChanged."""
    folder = main_py.parent
    if any(path.is_symlink() for path in (main_py, folder, folder.parent, folder / "node.json")):
        raise NodeError(f"The node {show(folder.name)} is reached through a link.", "Put the real folder into nodes/.")
    for stray in strays(folder):
        doors.say(f"{stray} stands beside main.py and is not part of the node; it is not used.")
    try:
        code = main_py.read_bytes()
    except OSError as error:
        raise NodeError(f"{show(main_py)} cannot be read: {error.strerror}.", "Is this a node?") from error
    _check_hash(folder, code, doors)
    findings = check(code)
    if findings:
        first = findings[0]
        raise NodeError(
            f"The node {show(folder.name)} does not pass the gate: line {first.line}: {first.message}",
            first.mend or "Mend it, then run: code-evolver nodes verify " + folder.name,
        )
    return code


def strays(folder: Path) -> Sequence[str]:
    """Name files and folders beside main.py that Python could import instead of a module that a node asks for.

    Raises NodeError where the folder cannot be read.
    """
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise NodeError(
            f"The node {show(folder.name)} cannot be read: {error.strerror}.",
            "`code-evolver nodes list` shows the nodes that are there.",
        ) from error
    return sorted(
        entry.name
        for entry in entries
        if entry.name not in {"main.py", "__pycache__"}
        and (entry.suffix in CODE_SUFFIXES or (entry.is_dir() and (entry / "__init__.py").exists()))
    )


def read_record(folder: Path) -> dict[str, Any]:
    """Read node.json. Raises NodeChanged where there is none that can be trusted."""
    hint = f"Prove it: code-evolver nodes verify {folder.name}"
    try:
        record = loads((folder / "node.json").read_bytes())
    except OSError as error:
        raise NodeChanged(f"The node {show(folder.name)} has no node.json: {error.strerror}.", hint) from error
    except BadJson as error:
        raise NodeChanged(f"node.json of {show(folder.name)} is damaged: {error}", hint) from error
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        raise NodeChanged(f"node.json of {show(folder.name)} names no sha256.", hint)
    return record


def _check_hash(folder: Path, code: bytes, doors: Doors) -> None:
    loud = doors.environment.get("CODE_EVOLVER_RUN_CHANGED") == "1"
    try:
        if read_record(folder)["sha256"] == normal_sha256(code):
            return
        changed = NodeChanged(
            f"main.py of {show(folder.name)} is not what was proven.",
            f"Prove it again: code-evolver nodes verify {folder.name}",
        )
    except NodeChanged as error:
        changed = error
    if not loud:
        raise changed
    doors.say(f"CHANGED PROGRAM: {changed.message} It runs because CODE_EVOLVER_RUN_CHANGED=1.")


def _run(main_py: Path, code: bytes, doors: Doors, answer: Answerer | None, trials: ChildTrials) -> Run:
    stubs = doors.environment.get("CODE_EVOLVER_STUB_TOOLS") == "1"
    if stubs:
        doors.say("Stub tools answer (CODE_EVOLVER_STUB_TOOLS=1): no tool is called.")
    data = doors.stdin.read(MOST_INPUT + 1)
    if len(data) > MOST_INPUT:
        raise InputError(f"The input has more than {MOST_INPUT} bytes.", "Send less.")
    tools = tools_of(code)
    if answer is None and not stubs and tools:
        from code_evolver.assembly import answerer  # here: builds every edge; a node without tools needs none

        root = main_py.parent.parent.parent
        answer = answerer(root, node_tool(root, doors))
    trial = _held(main_py.parent, code, doors, lambda least: trials.run_node(code, data, tools, answer, least=least))
    if trial.failed:
        raise NodeError(trial.failed, "Try again.", code="child_lost")
    if trial.level == "guarded":
        doors.say(f"Isolation: guarded ({trial.detail}).")
    return trial.runs[0]


def _trials_for(code: bytes, workspace: Path) -> ChildTrials:
    if not tags_of(code):
        return ChildTrials()
    from code_evolver.assembly import manifests_of  # here: as in _run; only call_tool_resilient needs to know tags
    from code_evolver.assembly import tags_of as tools_by_tag  # as above

    return ChildTrials(tagged=tools_by_tag(manifests_of(Workspace.at(workspace))))


def node_tool(workspace: Path, doors: Doors, depth: int = 1) -> Callable[[str, Mapping[str, Any]], Awaitable[Any]]:
    """Give what runs a node of the workspace as a tool, checked and shut in as by hand; nodes call nodes four deep at most."""

    async def run(name: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        if depth > MOST_DEPTH:
            raise NodeError(f"{name} is called by nodes that call nodes, over {MOST_DEPTH} deep.", "Is there a circle?")
        return await asyncio.to_thread(_run_as_tool, name, payload, workspace, doors, depth)

    return run


def _run_as_tool(name: str, payload: Mapping[str, Any], workspace: Path, doors: Doors, depth: int) -> Mapping[str, Any]:
    from code_evolver.assembly import answerer  # here: as in _run

    if not safe_name(name):
        raise NodeError(f"{show(name)} is no name of a node.", "`code-evolver nodes list` shows the names.")
    main_py = workspace / "nodes" / name / "main.py"
    code = permitted_code(main_py, doors)
    tools, trials, data = tools_of(code), _trials_for(code, workspace), dumps(dict(payload)).encode()
    answer = answerer(workspace, node_tool(workspace, doors, depth + 1)) if tools else None
    trial = _held(main_py.parent, code, doors, lambda least: trials.run_node(code, data, tools, answer, least=least))
    if trial.failed:
        raise NodeError(trial.failed, "Try again.", code="child_lost")
    return _document_of(name, trial.runs[0])


def _document_of(name: str, run: Run) -> Mapping[str, Any]:
    if run.stopped_by:
        raise NodeError(
            f"The node {name} {STOPPED.get(run.stopped_by, 'was stopped')}.", f"Stopped by: {run.stopped_by}."
        )
    try:
        found = loads(run.stdout)
    except BadJson as error:
        raise NodeError(f"The node {name} printed no JSON document: {error.message}", error.hint) from error
    if run.exit_code == 0 and isinstance(found, dict):
        return found
    fault = found.get("error") if isinstance(found, dict) else None
    said = str(fault.get("message", "")) if isinstance(fault, dict) else ""
    raise NodeError(f"The node {name} failed: {show(said, 300)}.", f"Try it by hand: python nodes/{name}/main.py")


def _held(folder: Path, code: bytes, doors: Doors, run: Callable[[Level], Trial]) -> Trial:
    """Run what we composed at either level; what a model wrote, or nobody knows who, behind a wall unless that was waived."""
    author = author_of(folder, code, doors)
    if author == "composer":
        return run("guarded")
    try:
        return run("isolated")
    except TooWeak as weak:
        if isolation_wanted(folder.parent.parent, doors.environment) == "guarded":
            return run("guarded")
        who = WRITERS.get(author, "nobody knows who wrote this node")
        raise NodeError(f"{weak.message[:-1]}, and {who}.", weak.hint, code=weak.code) from weak


def author_of(folder: Path, code: bytes, doors: Doors) -> str:
    """Give "composer", "model", "hand", or "" where node.json does not say it of this very program. A copy has its first author."""
    try:
        record = read_record(folder)
    except NodeChanged:
        doors.say("The node has no record that says who wrote it.")
        return ""
    made = record.get("generator")
    if record["sha256"] != normal_sha256(code) or not isinstance(made, dict):
        return ""
    author = made.get("origin") if made.get("kind") == "copy" else made.get("kind")
    return author if isinstance(author, str) and (author == "composer" or author in WRITERS) else ""


def isolation_wanted(workspace: Path, environment: Mapping[str, str]) -> str:
    """Give the setting `isolation` as environment and config.yaml of the workspace say it. Raises ConfigurationError."""
    from code_evolver.configuration import load  # here: reads YAML; on a machine with a seal nobody asks
    from code_evolver.core.settings import Layer  # as above

    return load(Layer({"workspace": str(workspace)}, {"workspace": "node"}), environment).settings.isolation


def _relay(run: Run, doors: Doors) -> int:
    for line in run.stderr.splitlines():
        doors.say(line)
    if run.stopped_by and not run.stdout:
        what = STOPPED.get(run.stopped_by, "was stopped")
        _print_failure(doors, {
            "code": "node_stopped", "message": f"The workflow {what}.", "hint": f"Stopped by: {run.stopped_by}.",
            "retryable": False,
        })  # fmt: skip
    else:
        doors.stdout.write(run.stdout)
        doors.stdout.flush()
    return 1 if run.exit_code is None else run.exit_code


def _print_failure(doors: Doors, error: Mapping[str, object]) -> None:
    doors.stdout.write((dumps({"success": False, "error": dict(error)}) + "\n").encode())
    doors.stdout.flush()
