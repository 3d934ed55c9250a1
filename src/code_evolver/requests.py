"""What sub-commands ask a running connector to do: it holds the workspace, so it alone changes the queue."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from code_evolver.core.errors import CodeEvolverError, InputError
from code_evolver.edges.workspace import Workspace, answer_request, take_requests
from code_evolver.ports import Emit


class Changeable(Protocol):
    """The part of the queue that sub-commands may change."""

    async def retry_dead(self, keys: list[int]) -> int:
        """Put dead letters back."""

    async def drop_dead(self, keys: list[int]) -> int:
        """Forget dead letters."""


async def carry_out(request: Mapping[str, Any], queue: Changeable) -> dict[str, Any]:
    """Do one request {"do": "dead_retry" | "dead_drop", "keys": […]}; give its answer. Raises InputError for another."""
    keys = [int(key) for key in request.get("keys", ())]
    match request.get("do"):
        case "dead_retry":
            return {"success": True, "retried": await queue.retry_dead(keys)}
        case "dead_drop":
            return {"success": True, "dropped": await queue.drop_dead(keys)}
    raise InputError(
        f"There is no request {request.get('do')!r}.", "This is a matter of versions: use one installation."
    )


async def serve_requests(
    workspace: Workspace, queue: Changeable, emit: Emit, wake: Callable[[], None], *, pause: float = 0.25
) -> None:
    """Carry out requests for ever; cancel it to stop."""
    while True:
        for request in take_requests(workspace):
            answer = await _answer(request.body, queue)
            if answer.get("retried"):
                emit("queue_resumed", count=answer["retried"])
                wake()
            try:
                answer_request(workspace, request.id, answer)
            except CodeEvolverError as error:  # a full disk: the command stops waiting by itself, the run goes on
                emit("notice", message=f"A command got no answer: {error.message}")
        await asyncio.sleep(pause)


async def _answer(body: Mapping[str, Any], queue: Changeable) -> dict[str, Any]:
    try:
        return await carry_out(body, queue)
    except CodeEvolverError as error:
        return {"success": False, "error": error.describe()}
    except (ValueError, TypeError) as error:
        return {
            "success": False,
            "error": InputError(f"The request is malformed: {error}", "Send it again.").describe(),
        }
