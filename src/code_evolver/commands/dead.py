"""`code-evolver dead`: what failed, with every draft; try it again or forget it."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer, table, tell, workspace_of
from code_evolver.core.errors import CodeEvolverError, InputError, StoreError, WorkspaceHeld
from code_evolver.core.events import timestamp
from code_evolver.core.strict_json import escape
from code_evolver.edges.queue_sqlite import SqliteQueue, read_dead_letter, read_dead_letters
from code_evolver.edges.workspace import Workspace, ask, hold
from code_evolver.ports import DeadLetter
from code_evolver.requests import carry_out

_ANSWER_SECONDS = 5.0


def main(argv: Sequence[str]) -> int:
    """Run the sub-command."""
    made = parser("dead", "Dead letters: tasks that failed and elements that were no task.")
    made.add_argument("action", choices=("list", "show", "retry", "drop"))
    made.add_argument("keys", nargs="*", metavar="KEY", help="numbers of dead letters, or `all` for retry and drop")
    made.add_argument("--limit", type=int, default=100, help="at most so many rows (list)")
    parsed = made.parse_args(list(argv))

    def work() -> Printed:
        workspace = workspace_of(parsed.workspace)
        if parsed.action == "list":
            return _list(workspace, parsed.limit)
        if parsed.action == "show":
            return _show(workspace, parsed.keys)
        return _change(workspace, parsed.action, parsed.keys)

    return answer(work, as_json=parsed.json)


def _list(workspace: Workspace, limit: int) -> Printed:
    letters = read_dead_letters(workspace.queue, 0, limit)
    rows = [(one.key, one.kind, one.id, one.count, timestamp(one.at)[:19], one.code, one.reason) for one in letters]
    text = table(("key", "kind", "id", "times", "at", "code", "reason"), rows, empty="No dead letters.")
    return {"dead": [_brief(one) for one in letters]}, text


def _brief(one: DeadLetter) -> dict[str, Any]:
    return {"key": one.key, "kind": one.kind, "id": one.id, "count": one.count, "at": timestamp(one.at), "code": one.code,
            "reason": one.reason, "drafts": len(one.drafts)}  # fmt: skip


def _show(workspace: Workspace, keys: Sequence[str]) -> Printed:
    one = read_dead_letter(workspace.queue, _numbers(keys, least=1)[0])
    if one is None:
        raise InputError(f"There is no dead letter {keys[0]}.", "`code-evolver dead list` shows their keys.")
    whole = {
        **_brief(one),
        "raw": one.raw.decode("utf-8", "backslashreplace"),
        "drafts": [dict(draft) for draft in one.drafts],
    }
    lines = [f"{key}: {escape(str(value))}" for key, value in whole.items() if key != "drafts"]
    for number, draft in enumerate(whole["drafts"], 1):
        lines += [
            "",
            f"draft {number} by {escape(str(draft.get('generator', '')))}",
            escape(str(draft.get("code", ""))),
        ]
        lines += [f"  line {found['line']}: {escape(str(found['message']))}" for found in draft.get("findings", ())]
    return whole, "\n".join(lines) + "\n"


def _change(workspace: Workspace, action: str, keys: Sequence[str]) -> Printed:
    wanted = (
        [one.key for one in read_dead_letters(workspace.queue, 0, 1_000_000)]
        if list(keys) == ["all"]
        else _numbers(keys, least=1)
    )
    request = {"do": f"dead_{action}", "keys": wanted}
    try:
        done = _do_ourselves(workspace, request)
    except WorkspaceHeld:
        done = _ask_connector(workspace, request)
    changed = done.get("retried", done.get("dropped", 0))
    if not changed and list(keys) != ["all"]:
        raise InputError(
            f"None of {', '.join(keys)} is a dead letter that could be {'tried again' if action == 'retry' else 'dropped'}.",
            "`code-evolver dead list` shows their keys; an element that was no task cannot be tried again.",
        )
    said = f"{changed} {'put back into the queue' if action == 'retry' else 'dropped'}.\n"
    return done, said + ("`code-evolver work` works them off without a hub.\n" if action == "retry" else "")


def _do_ourselves(workspace: Workspace, request: dict[str, Any]) -> dict[str, Any]:
    async def change() -> dict[str, Any]:
        queue = SqliteQueue.open(workspace.queue, reserve=workspace.reserve)
        tell(queue.notices)
        try:
            return await carry_out(request, queue) | ({"notices": queue.notices} if queue.notices else {})
        finally:
            await queue.close()

    if not workspace.queue.exists():
        raise StoreError(f"There is no queue in {workspace.root}.", "Name the workspace with --workspace DIR.")
    with hold(workspace, {"started": timestamp(time.time()), "command": "dead"}):
        return asyncio.run(change())


def _ask_connector(workspace: Workspace, request: dict[str, Any]) -> dict[str, Any]:
    found = ask(workspace, request, _ANSWER_SECONDS)
    if found is None:
        raise CodeEvolverError(
            "The running connector did not answer within 5 s.", "Is it stopped? Try again.", code="no_answer"
        )
    if not found.get("success"):
        error = found.get("error") or {}
        raise InputError(str(error.get("message", "The connector refused.")), str(error.get("hint", "")))
    return dict(found)


def _numbers(keys: Sequence[str], *, least: int) -> list[int]:
    if len(keys) < least or not all(key.isascii() and key.isdecimal() for key in keys):
        raise InputError(
            f"Keys are numbers, but {' '.join(keys) or 'none'} was given.", "`code-evolver dead list` shows them."
        )
    return [int(key) for key in keys]
