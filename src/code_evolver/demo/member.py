"""One client of the demo hub: handshake, records both ways, the hub's methods, its sentences for errors."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from code_evolver.core import signalr
from code_evolver.demo.faults import Faults
from code_evolver.demo.socket import Socket

_LARGEST_SPLIT = 64 * 1024 * 1024


class AskFailed(Exception):
    """A client answered a call with an error."""


class MethodFailed(Exception):
    """A hub method failed; the text goes to the caller."""


class House(Protocol):
    """What a member needs of its hub."""

    faults: Faults
    received: list[dict[str, Any]]
    pending: list[Any]
    reached: Counter[str]
    keep_alive: float
    client_timeout: float
    max_message: int


class Member:
    """One connected client."""

    def __init__(self, house: House, socket: Socket, name: str, agent: str) -> None:
        self.id = name
        self.agent = agent
        self.since = datetime.now(UTC).isoformat()
        self.groups: set[str] = set()
        self.ready = asyncio.Event()
        """Set once the handshake is done."""
        self.socket = socket
        self._house = house
        self._answers: dict[str, asyncio.Future[Any]] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._pinged: float | None = None
        self._sent = time.monotonic()

    def about(self) -> dict[str, str]:
        """Describe the connection as `/control/connections` does."""
        return {
            "id": self.id,
            "since": self.since,
            "transport": "WebSockets",
            "protocol": "json",
            "userAgent": self.agent,
        }

    async def send(self, *records: Mapping[str, Any]) -> None:
        """Send records, in one frame."""
        await self.send_raw(b"".join(signalr.encode(record) for record in records))

    async def send_raw(self, data: bytes, *, fin: bool = True, first: bool = True) -> None:
        """Send bytes as one text frame, whatever they are."""
        if not self._house.faults.silent:
            self._sent = time.monotonic()
            await self.socket.send(data, fin=fin, first=first)

    async def ask(self, invocation_id: str, method: str, arguments: Sequence[Any], timeout: float) -> Any:  # noqa: ASYNC109 - sent on
        """Call the client's method and wait for its result. Raises AskFailed, TimeoutError."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[invocation_id] = answer
        try:
            await self.send(signalr.invocation(method, arguments, invocation_id))
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            self._answers.pop(invocation_id, None)

    async def close(self, error: str | None = None, *, allow_reconnect: bool = False) -> None:
        """Send a close record, then close the socket."""
        await self.send(signalr.close(error, allow_reconnect))
        await self.socket.close()

    async def live(self, hello: Sequence[Mapping[str, Any]] = ()) -> None:
        """Run the connection until it ends."""
        splitter = signalr.Splitter(_LARGEST_SPLIT)
        keeper = asyncio.create_task(self._keep_alive())
        try:
            async for data in self.socket.messages():
                for record in splitter.feed(data):
                    await self._record(record, hello)
                if splitter.unfinished() > self._house.max_message:
                    await self._too_large()
        finally:
            self.ready.clear()
            for job in [keeper, *self._jobs.values()]:
                job.cancel()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(AskFailed("The client went away."))

    async def _record(self, record: bytes, hello: Sequence[Mapping[str, Any]]) -> None:
        if not self.socket.open:
            return
        if len(record) > self._house.max_message or isinstance(record, signalr.Oversized):
            await self._too_large()
            return
        if not self.ready.is_set():
            await self._shake_hands(record, hello)
            return
        try:
            found = signalr.parse(record)
        except signalr.BadRecord:
            await self._broken("Error reading JSON.")
            return
        missing = _missing(found)
        if missing:
            await self._broken(f"Missing required property '{missing}'.")
        else:
            await self._take(found)

    async def _broken(self, why: str) -> None:
        """A real hub closes over a record that it cannot read, and lets the client come back."""
        await self.close(f"Connection closed with an error. InvalidDataException: {why}", allow_reconnect=True)

    async def _too_large(self) -> None:
        await self._broken(
            f"The maximum message size of {self._house.max_message}B was exceeded. "
            "The message size can be configured in AddHubOptions."
        )

    async def _shake_hands(self, record: bytes, hello: Sequence[Mapping[str, Any]]) -> None:
        self._house.reached["handshake"] += 1
        faults = self._house.faults
        if faults.handshake_hang:
            return
        if faults.handshake_drop:
            self.socket.drop()
            return
        error = faults.handshake_error or _handshake_error(record)
        if error:
            await self.send({"error": error})
            await self.socket.close()
            return
        self.ready.set()
        await self.send({}, *hello)

    async def _take(self, record: Mapping[str, Any]) -> None:
        kind = record.get("type")
        number = record.get("invocationId")
        if kind == signalr.PING or self._pinged is not None:  # who never pinged is never timed out
            self._pinged = time.monotonic()
        if kind in {signalr.INVOCATION, signalr.STREAM_INVOCATION}:
            await self._call(record, number, stream=kind == signalr.STREAM_INVOCATION)
        elif kind == signalr.COMPLETION:
            self._answered(record, str(number))
        elif kind == signalr.CANCEL_INVOCATION and str(number) in self._jobs:
            self._jobs.pop(str(number)).cancel()
            await self.send(signalr.completion_void(str(number)))
        elif kind == signalr.CLOSE:
            await self.socket.close()

    def _answered(self, record: Mapping[str, Any], number: str) -> None:
        answer = self._answers.get(number)
        if answer is None or answer.done():
            return
        if record.get("error") is not None:
            answer.set_exception(AskFailed(str(record["error"])))
        else:
            answer.set_result(record.get("result"))

    async def _call(self, record: Mapping[str, Any], number: str | None, *, stream: bool) -> None:
        target, arguments = str(record.get("target")), record.get("arguments")
        try:
            result = await self._run(target, arguments if isinstance(arguments, list) else [], number, stream=stream)
        except MethodFailed as error:
            if number is not None:
                await self.send(signalr.completion_error(number, str(error)))
            return
        if number is not None and not stream:
            await self.send(signalr.completion(number, result))

    async def _run(self, target: str, arguments: list[Any], number: str | None, *, stream: bool) -> Any:
        name = target.lower()
        if name == "streamtasks":
            if not stream or number is None:
                raise MethodFailed(
                    f"The client attempted to invoke the streaming '{target}' method with a non-streaming invocation."
                )
            return self._start_stream(target, arguments, number)
        if name not in _METHODS:
            raise MethodFailed(
                f"Failed to invoke '{target}' due to an error on the server. HubException: Method does not exist."
            )
        if stream:
            raise MethodFailed(
                f"The client attempted to invoke the non-streaming '{target}' method with a streaming invocation."
            )
        method, shapes = _METHODS[name]
        _bind(target, arguments, shapes)
        return await method(self, target, arguments)

    def _start_stream(self, target: str, arguments: list[Any], number: str) -> None:
        _bind(target, arguments, (int, int))
        self._jobs[number] = asyncio.create_task(self._stream(number, arguments[0], arguments[1] / 1000))

    async def _stream(self, number: str, count: int, pause: float) -> None:
        for index in range(count):
            await asyncio.sleep(pause)
            item = {"id": f"stream-{index}", "taskName": f"Summarize item {index}", "llmTaskType": "summarize"}
            await self.send(signalr.stream_item(number, item))
        self._jobs.pop(number, None)
        await self.send(signalr.completion_void(number))

    async def _keep_alive(self) -> None:
        house = self._house
        while self.socket.open:
            await asyncio.sleep(min(house.keep_alive, house.client_timeout) / 3)
            now = time.monotonic()
            if self._pinged is not None and now - self._pinged > house.client_timeout:
                await self.close(
                    "Connection closed with an error. OperationCanceledException: Client hasn't sent a message/ping "
                    "within the configured ClientTimeoutInterval.",
                    allow_reconnect=True,
                )
            elif self.ready.is_set() and now - self._sent >= house.keep_alive * 2 / 3:
                await self.send(signalr.ping())

    async def echo(self, _: str, arguments: list[Any]) -> Any:
        """Give the argument back."""
        return arguments[0]

    async def fail(self, target: str, arguments: list[Any]) -> Any:
        """Fail with the argument as the message."""
        raise MethodFailed(
            f"An unexpected error occurred invoking '{target}' on the server. HubException: {arguments[0]}"
        )

    async def subscribe(self, target: str, arguments: list[Any]) -> None:
        """Put the client into a group."""
        await self.note(target, arguments)
        self.groups.add(arguments[0])
        told = {"context": arguments[0], "message": f"Subscribed to {arguments[0]}"}
        await self.send(signalr.invocation("Subscribed", [told]))

    async def note(self, target: str, arguments: list[Any]) -> None:
        """Keep what the client called."""
        self._house.received.append({"method": target, "arguments": arguments, "at": datetime.now(UTC).isoformat()})

    async def give_pending(self, _: str, __: list[Any]) -> Any:
        """Give the tasks that wait."""
        return self._house.pending


_METHODS: dict[str, tuple[Callable[[Member, str, list[Any]], Awaitable[Any]], tuple[type, ...]]] = {
    "echo": (Member.echo, (str,)),
    "fail": (Member.fail, (str,)),
    "subscribetocontext": (Member.subscribe, (str,)),
    "taskfinished": (Member.note, (object,)),
    "workflowgenerated": (Member.note, (object,)),
    "taskfailed": (Member.note, (object,)),
    "pendingtasks": (Member.give_pending, ()),
}


def _bind(target: str, arguments: list[Any], shapes: tuple[type, ...]) -> None:
    if len(arguments) != len(shapes):
        why = f"Invocation provides {len(arguments)} argument(s) but target expects {len(shapes)}."
        raise MethodFailed(f"Failed to invoke '{target}' due to an error on the server. InvalidDataException: {why}")
    if not all(isinstance(value, shape) for value, shape in zip(arguments, shapes, strict=True)):
        raise MethodFailed(
            f"Failed to invoke '{target}' due to an error on the server. InvalidDataException: Error binding arguments. "
            "Make sure that the types of the provided values match the types of the hub method being invoked."
        )


def _missing(record: Mapping[str, Any]) -> str:
    """Name a property that a record of its type must have and has not, "" for none."""
    if "type" not in record:
        return "type"
    wanted = ("target", "arguments") if record["type"] in {signalr.INVOCATION, signalr.STREAM_INVOCATION} else ()
    return next((key for key in wanted if key not in record), "")


def _handshake_error(record: bytes) -> str:
    try:
        wish = signalr.parse(record)
    except signalr.BadRecord as error:
        return f"An unexpected error occurred during connection handshake. {error}"
    if wish.get("protocol") != "json":
        return f"The protocol '{wish.get('protocol')}' is not supported."
    if wish.get("version") not in {0, 1}:
        return f"The server does not support version {wish.get('version')} of the 'json' protocol."
    return ""
