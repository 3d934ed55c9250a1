"""`code-evolver dead`: what failed, with every draft; try it again or forget it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer, table, tell, workspace_of
from code_evolver.core.errors import CodeEvolverError, InputError, StoreError, WorkspaceHeld
from code_evolver.core.events import timestamp
from code_evolver.core.strict_json import escape
from code_evolver.edges.queue_sqlite import SqliteQueue, read_dead_letter, read_dead_letters, read_last_dead_key
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
        lines += [
            f"  line {found.get('line')}: {escape(str(found.get('message')))}" for found in draft.get("findings", ())
        ]
    return whole, "\n".join(lines) + "\n"


def _change(workspace: Workspace, action: str, keys: Sequence[str]) -> Printed:
    request: dict[str, Any] = {"do": f"dead_{action}"}
    if list(keys) == ["all"]:  # that are there now: what fails again meanwhile is none of them
        request["keys"] = {"above": 0, "up_to": read_last_dead_key(workspace.queue)}
    else:
        request["keys"] = _numbers(keys, least=1)
    try:
        done = _do_ourselves(workspace, request)
    except WorkspaceHeld:
        done = _ask_connector(workspace, request)
    changed = done.get("retried", done.get("dropped", 0))
    if not changed and list(keys) != ["all"]:
        raise InputError(
            f"None of {', '.join(keys)} is a dead letter that could be {'tried again' if action == 'retry' else 'dropped'}.",
            "`code-evolver dead list` shows their keys; what was no task, or can be read no more, cannot be tried again.",
        )
    said = f"{changed} {'put back into the queue' if action == 'retry' else 'dropped'}.\n"
    return done, said + ("`code-evolver work` works them off without a hub.\n" if action == "retry" else "")


def _do_ourselves(workspace: Workspace, request: dict[str, Any]) -> dict[str, Any]:
    async def change() -> dict[str, Any]:
        queue = SqliteQueue.open(workspace.queue, reserve=workspace.reserve)
        tell(queue.notices)
        try:
            done = await _in_portions(request, lambda part: carry_out(part, queue))
            return done | ({"notices": queue.notices} if queue.notices else {})
        finally:
            await queue.close()

    if not workspace.queue.exists():
        raise StoreError(f"There is no queue in {workspace.root}.", "Name the workspace with --workspace DIR.")
    with hold(workspace, {"started": timestamp(time.time()), "command": "dead"}):
        return asyncio.run(change())


def _ask_connector(workspace: Workspace, request: dict[str, Any]) -> dict[str, Any]:
    async def asked(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
        found = ask(workspace, part, _ANSWER_SECONDS)
        if found is not None and not found.get("success"):
            error = found.get("error") or {}
            raise InputError(str(error.get("message", "The connector refused.")), str(error.get("hint", "")))
        return found

    return asyncio.run(_in_portions(request, asked))


async def _in_portions(
    request: Mapping[str, Any], do: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]
) -> dict[str, Any]:
    """Have a request done, one of a range portion by portion; give the last answer with the number of all."""
    changed = 0
    while True:
        done = await do(request)
        if done is None:
            before = f" {changed} were done before." if changed else ""
            raise CodeEvolverError(
                f"The running connector has not answered for {_ANSWER_SECONDS:g} s; it may still do it.{before}",
                "Is it stopped? `code-evolver status` says what became of it: look before you try again.",
                code="no_answer",
            )
        what = "retried" if "retried" in done else "dropped"
        changed += done.get(what, 0)
        if done.get("next") is None:
            return {"success": True, what: changed}
        request = {**request, "keys": {**request["keys"], "above": done["next"]}}


def _numbers(keys: Sequence[str], *, least: int) -> list[int]:
    if len(keys) < least or not all(key.isascii() and key.isdecimal() for key in keys):
        raise InputError(
            f"Keys are numbers, but {' '.join(keys) or 'none'} was given.", "`code-evolver dead list` shows them."
        )
    return [
        int(key.lstrip("0")[:20] or "0") for key in keys
    ]  # no letter has a key of 20 digits, and Python reads 4,300
