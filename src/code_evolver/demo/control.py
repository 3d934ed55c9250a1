"""The control paths of the demo hub: those of the real test hub, and what only this one can do: fault, close, raw, reached."""

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from code_evolver.demo.actions import ActiveHub
from code_evolver.demo.http import BadRequest, Request, Response, json_response
from code_evolver.demo.member import AskFailed

KINDS = ("summarize", "generate", "translate")


async def answer(hub: ActiveHub, request: Request) -> Response:
    """Answer one request under /control/."""
    name = request.path.removeprefix("/control/")
    reader, doer = _GET.get(name), _POST.get(name)
    if request.method == "GET" and reader:
        return json_response(reader(hub))
    if request.method == "POST" and doer:
        return await doer(hub, request) or Response()
    allowed = "GET" if reader else "POST"
    return Response(405, headers={"Allow": allowed}) if reader or doer else Response(404)


async def _send(hub: ActiveHub, request: Request) -> None:
    method, group = request.query.get("method", "TaskHub"), request.query.get("group", "")
    await hub.push(request.json(), method=method, group=group)


async def _send_args(hub: ActiveHub, request: Request) -> None:
    await hub.push(*_list(request), method=request.query.get("method", "TaskHub"))


async def _mock(hub: ActiveHub, request: Request) -> None:
    context = request.query.get("context", "")
    envelope = {"context": context, "method": "GET", "path": "/tasks", "timestamp": time.time_ns() // 1_000_000}
    await hub.push({**envelope, "data": request.json()}, method="DataUpdate", group=context)


async def _push(hub: ActiveHub, request: Request) -> Response:
    count, batch = int(request.number("count", 1)), max(1, int(request.number("batch", 1)))
    seconds = await hub.burst(_messages(request, count, batch), request.number("rate", 0) / batch)
    return json_response({"count": count, "seconds": seconds})


def _messages(request: Request, count: int, batch: int) -> Iterator[Any]:
    start, padding = int(request.number("start", 0)), int(request.number("padding", 0))
    kind = request.query.get("type", "mixed")
    for begin in range(start, start + count, batch):
        tasks = [_made(number, kind, padding) for number in range(begin, min(begin + batch, start + count))]
        yield tasks[0] if batch == 1 else {"tasks": tasks}


def _made(number: int, kind: str, padding: int) -> dict[str, Any]:
    actual = KINDS[(number - 2) % 3] if kind == "mixed" else kind
    pairs = [] if actual == "summarize" else [{"from": "en", "to": "fr"}]
    return {"id": f"task-{number}", "taskName": f"{actual} job {number}", "llmTaskType": actual, "lLMId": "LLM-123",
            "translationLanguages": pairs, "priority": "medium", "dueDate": "2024-07-27T14:30:00.000Z",
            "status": "pending", "content": "x" * padding, "sentAt": time.time_ns()}  # fmt: skip


async def _ask(hub: ActiveHub, request: Request) -> Response:
    began = time.monotonic()
    try:
        found = await hub.ask(request.json(), method=request.query.get("method", "TaskHub"),
                              timeout=request.number("timeout", 10))  # fmt: skip
    except AskFailed as error:
        return json_response({"error": "HubException", "message": str(error)}, 504)
    except TimeoutError:
        return json_response({"error": "HubException", "message": "Invocation canceled by the server."}, 504)
    return json_response({"answer": found, "milliseconds": (time.monotonic() - began) * 1000})


async def _outbox(hub: ActiveHub, request: Request) -> None:
    hub.outbox(_list(request), method=request.query.get("method", "TaskHub"))


async def _pending(hub: ActiveHub, request: Request) -> None:
    hub.pending = _list(request)


async def _abort(hub: ActiveHub, _: Request) -> None:
    await hub.abort()


async def _close(hub: ActiveHub, request: Request) -> None:
    """End every connection; how=record (with error, allowReconnect), drop or reset."""
    how = request.query.get("how", "record")
    if how == "record":
        again = request.query.get("allowReconnect", "").lower() == "true"
        await hub.close_all(request.query.get("error"), allow_reconnect=again)
    elif how == "drop":
        hub.drop_all()
    elif how == "reset":
        hub.reset_all()
    else:
        raise BadRequest(400, "how is record, drop or reset.")


async def _raw(hub: ActiveHub, request: Request) -> None:
    """Send texts as they are, each of their characters a byte; fragments=true: of one message; ping=…: a PING before each."""
    ping = request.query.get("ping")
    try:
        parts = [str(part).encode("latin-1") for part in _list(request)]
    except UnicodeEncodeError as error:
        raise BadRequest(400, "A character is no byte.") from error
    fragments = request.query.get("fragments", "").lower() == "true"
    await hub.send_raw(*parts, fragments=fragments, ping=None if ping is None else ping.encode())


async def _clear(hub: ActiveHub, _: Request) -> None:
    hub.received.clear()
    hub.tokens.clear()


async def _rotate(hub: ActiveHub, request: Request) -> None:
    hub.token = request.query.get("value", "")


async def _fault(hub: ActiveHub, request: Request) -> None:
    values = request.json() or {}
    try:
        hub.faults.set(values)
    except KeyError as error:
        raise BadRequest(400, f"There is no fault {error}.") from error
    hub.freeze(hub.faults.silent)


def _list(request: Request) -> list[Any]:
    value = request.json()
    if not isinstance(value, list):
        raise BadRequest(400, "The body must be a list.")
    return value


_GET: dict[str, Callable[[ActiveHub], Any]] = {
    "connections": lambda hub: [member.about() for member in hub.ready()],
    "received": lambda hub: hub.received,
    "tokens": lambda hub: hub.tokens,
    "reached": lambda hub: hub.reached,
    "outbox": lambda hub: {"pending": len(hub.outgoing), "accepted": hub.accepted, "attempts": hub.attempts},
}
_POST: dict[str, Callable[[ActiveHub, Request], Awaitable[Response | None]]] = {
    "send": _send,
    "send-args": _send_args,
    "mock": _mock,
    "push": _push,
    "ask": _ask,
    "outbox": _outbox,
    "pending": _pending,
    "abort": _abort,
    "clear": _clear,
    "close": _close,
    "raw": _raw,
    "rotate-token": _rotate,
    "fault": _fault,
}
