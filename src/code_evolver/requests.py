"""What sub-commands ask a running connector to do: it holds the workspace, so it alone changes the queue."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from code_evolver.core.errors import CodeEvolverError, InputError
from code_evolver.edges.workspace import Workspace, answer_request, take_requests
from code_evolver.ports import Emit

PORTION = 5_000
"""Dead letters that one request changes at most where it names a range: what arrives must not be held up."""


class Changeable(Protocol):
    """The part of the queue that sub-commands may change."""

    async def dead_keys(self, above: int, up_to: int, limit: int) -> Sequence[int]:
        """Give the first keys of dead letters in a range."""

    async def retry_dead(self, keys: Sequence[int]) -> int:
        """Put dead letters back."""

    async def drop_dead(self, keys: Sequence[int]) -> int:
        """Forget dead letters."""


async def carry_out(request: Mapping[str, Any], queue: Changeable) -> dict[str, Any]:
    """Do one request {"do": "dead_retry" | "dead_drop", "keys": […] or {"above", "up_to"}}; give its answer.

    Of a range the first PORTION letters are done, and "next" is what the next request has to begin above; None: that was
    all. Raises InputError for any other request.
    """
    named = request.get("keys", ())
    rest: dict[str, Any] = {}
    if isinstance(named, Mapping):
        keys = await queue.dead_keys(int(named["above"]), int(named["up_to"]), PORTION)
        rest = {"next": keys[-1] if len(keys) == PORTION else None}
    else:
        keys = [int(key) for key in named]
    match request.get("do"):
        case "dead_retry":
            return {"success": True, "retried": await queue.retry_dead(keys), **rest}
        case "dead_drop":
            return {"success": True, "dropped": await queue.drop_dead(keys), **rest}
    raise InputError(
        f"There is no request {request.get('do')!r}.", "This is a matter of versions: use one installation."
    )


async def serve_requests(
    workspace: Workspace, queue: Changeable, emit: Emit, wake: Callable[[], None], *, pause: float = 0.25
) -> None:
    """Carry out requests for ever, each once; cancel it to stop."""
    kept: dict[str, Mapping[str, Any]] = {}
    while True:
        requests = take_requests(workspace)
        # A request stays until its answer could be written; where it is gone, its command has given up.
        kept = {request.id: kept[request.id] for request in requests if request.id in kept}
        for request in requests:
            first = request.id not in kept
            if first:
                kept[request.id] = await _answer(request.body, queue)
                if kept[request.id].get("retried"):
                    emit("queue_resumed", count=kept[request.id]["retried"])
                    wake()
            try:
                answer_request(workspace, request.id, kept[request.id])
            except CodeEvolverError as error:  # a full disk: the command stops waiting by itself, the run goes on
                if first:
                    emit("notice", message=f"A command waits for its answer: {error.message}")
        await asyncio.sleep(pause)


async def _answer(body: Mapping[str, Any], queue: Changeable) -> dict[str, Any]:
    try:
        return await carry_out(body, queue)
    except CodeEvolverError as error:
        return {"success": False, "error": error.describe()}
    except (ValueError, TypeError, KeyError) as error:
        return {
            "success": False,
            "error": InputError(f"The request is malformed: {error}", "Send it again.").describe(),
        }
