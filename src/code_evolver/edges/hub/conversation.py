"""One connection while it lasts: reading, keep-alive, the watchdog, our calls and the hub's answers to them."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from code_evolver.core import signalr
from code_evolver.core.errors import HubRefused, HubUnreachable
from code_evolver.core.message import holds_tasks, read_message
from code_evolver.core.session import HubSettings
from code_evolver.core.signalr import BadRecord, Oversized
from code_evolver.core.strict_json import show
from code_evolver.edges.hub.inbox import Inbox, Item
from code_evolver.edges.hub.tasks import end
from code_evolver.ports import Emit, HubConnection, Received

_PUSH = b'{"type":1,'
_SILENT = (signalr.PING, signalr.STREAM_INVOCATION, signalr.CANCEL_INVOCATION, signalr.ACK, signalr.SEQUENCE)


class Conversation:
    """What is said on one connection. `live` lasts as long as the connection does."""

    def __init__(
        self,
        number: int,
        connection: HubConnection,
        settings: HubSettings,
        inbox: "Inbox[Conversation]",
        emit: Emit,
        clock: Any,
    ) -> None:
        self.number = number
        self.kicked = False
        self.refusing = False
        self._connection = connection
        self._settings = settings
        self._inbox = inbox
        self._emit = emit
        self._clock = clock
        self._over = False
        self._deaf = asyncio.Event()
        self._waiting_for_room = False
        self._awake = clock()
        self._ids = itertools.count(1)
        self._own: dict[str, asyncio.Future[Any]] = {}
        self._subscriptions: dict[str, str] = {}
        self._streams: dict[str, str] = {}

    async def live(self) -> None:
        """Talk until the connection ends. Raises HubUnreachable with the reason."""
        tasks = [asyncio.create_task(each) for each in (self._read(), self._watch(), self._speak(), self._listened())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._over = True
            problems = await end(tasks)
            self._fail_own()
        raise problems[0]

    async def invoke(self, method: str, arguments: Sequence[Any]) -> Any:
        """Call a hub method and wait for its answer. Raises HubUnreachable or HubRefused."""
        key = self._key()
        future = self._own[key] = asyncio.get_running_loop().create_future()
        try:
            await self._send(signalr.invocation(method, arguments, key))
            return await future
        finally:
            self._own.pop(key, None)
            if future.done() and not future.cancelled():
                future.exception()  # seen: nobody waits for it any more

    async def answer(self, record: Mapping[str, Any]) -> None:
        """Answer a call of the hub; nothing where the connection is gone, for only who asked may get it.

        A hub that takes no answers for the server timeout counts as gone: reception must not wait for it for ever.
        """
        if self._over or self._deaf.is_set():
            return
        try:
            async with asyncio.timeout(self._settings.server_timeout_seconds):
                await self._connection.send(record)
        except TimeoutError:
            self._deaf.set()
        except HubUnreachable:
            return

    async def _send(self, record: Mapping[str, Any]) -> None:
        if self._over:
            raise HubUnreachable("The connection to the hub has ended.", "It is opened again by itself.")
        await self._connection.send(record)

    def _key(self) -> str:
        return f"{self.number}-{next(self._ids)}"

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _read(self) -> None:
        async for batch in self._connection.records():
            keep: Sequence[Item] = batch
            if self.refusing or not all(record.startswith(_PUSH) for record in batch):
                keep = await self._sorted(batch)
            if keep:
                self._inbox.add(self, keep)
                await self._wait_for_room()

    async def _sorted(self, batch: Sequence[bytes]) -> Sequence[Item]:
        keep: list[Item] = []
        for record in batch:
            if record.startswith(_PUSH) and not self.refusing:
                keep.append(record)
            else:
                found = await self._sort(record, keep)
                if found is not None:
                    keep.append(found)
        return keep

    async def _wait_for_room(self) -> None:
        if not self._inbox.full:
            return
        self._waiting_for_room = True
        try:
            await self._inbox.room()
        finally:
            self._waiting_for_room = False
            self._awake = self._clock()

    async def _sort(self, record: bytes, before: list[Item]) -> Item | None:
        """Deal with a record that is no plain push; give what is for the intake."""
        if isinstance(record, Oversized):
            reason = f"over {self._settings.max_message_bytes} bytes ({record.length})"
            return Received(self.number, "", (), record.asked_as, b"", reason)
        try:
            found = signalr.parse(record)
        except BadRecord as error:
            return self._problem(record, error.message)
        if found.get("type") == signalr.INVOCATION:
            if self.refusing:
                await self._refuse(found)
                return None
            return record
        return self._control(found, record, before)

    def _control(self, found: Mapping[str, Any], record: bytes, before: list[Item]) -> Received | None:
        kind = found.get("type")
        if kind == signalr.STREAM_ITEM:
            return self._item(found, record)
        if kind == signalr.COMPLETION:
            return self._completion(found, record)
        if kind == signalr.CLOSE:
            self._inbox.add(self, before)
            self._closed(found)
        if kind in _SILENT:
            return None
        return self._problem(record, f"unknown record type {show(kind)}")

    def _problem(self, record: bytes, reason: str) -> Received:
        return Received(self.number, "", (), None, record, reason)

    async def _refuse(self, found: Mapping[str, Any]) -> None:
        key = found.get("invocationId")
        if isinstance(key, str):
            await self.answer(signalr.completion_error(key, "The connector is stopping; send it again later."))

    def _item(self, found: Mapping[str, Any], record: bytes) -> Received | None:
        method = self._streams.get(str(found.get("invocationId")))
        if method is None or self.refusing:
            return None
        return Received(self.number, method, (found.get("item"),), None, record)

    def _completion(self, found: Mapping[str, Any], record: bytes) -> Received | None:
        """An answer to a call of ours; one that nobody waits for (stale, unknown) is nothing."""
        key = str(found.get("invocationId"))
        error = found.get("error")
        if key in self._own:
            self._settle(self._own.pop(key), error, found.get("result"))
        elif key in self._streams:
            self._ended_stream(self._streams.pop(key), error)
        elif key in self._subscriptions:
            return self._subscribed(self._subscriptions.pop(key), error, found.get("result"), record)
        return None

    def _settle(self, future: asyncio.Future[Any], error: Any, result: Any) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(HubRefused(f"The hub answered with an error: {show(error, 300)}.",
                                            "The hub's log says more."))  # fmt: skip

    def _ended_stream(self, method: str, error: Any) -> None:
        if error is not None:
            self._emit("notice", message=f"The hub's stream {show(method)} ended with an error: {show(error, 300)}.",
                       hint="Check `stream`: the method's name and arguments.")  # fmt: skip

    def _subscribed(self, method: str, error: Any, result: Any, record: bytes) -> Received | None:
        if error is not None:
            self._emit("notice", message=f"The hub refused the call {show(method)}: {show(error, 300)}.",
                       hint="Check `subscribe`: the method's name and arguments.")  # fmt: skip
        if error is not None or result is None or self.refusing:
            return None
        message = read_message((result,), raw=record, hub_name=self._settings.hub_name)
        return Received(self.number, method, (result,), None, record, "", message) if holds_tasks(message) else None

    def _closed(self, found: Mapping[str, Any]) -> None:
        self.kicked = found.get("allowReconnect") is not True
        error = found.get("error")
        why = f": {show(error, 300)}" if error else "."
        again = " It does not ask us to come back." if self.kicked else ""
        raise HubUnreachable(f"The hub closed the connection{why}{again}", "The hub's log may say why.")

    # ── speaking ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _speak(self) -> None:
        """Subscribe, open streams, then keep the connection alive; how it ends is for the reader to say."""
        try:
            for call in self._settings.subscribe:
                self._subscriptions[key := self._key()] = call.method
                arguments = call.filled(self._settings.hub_name)
                await self._send(signalr.invocation(call.method, arguments, key))
            for call in self._settings.stream:
                self._streams[key := self._key()] = call.method
                arguments = call.filled(self._settings.hub_name)
                await self._send(signalr.stream_invocation(call.method, arguments, key))
            while True:
                await self._send(signalr.ping())
                await asyncio.sleep(self._settings.keep_alive_seconds)
        except HubUnreachable:
            await asyncio.get_running_loop().create_future()  # never done: the reader ends the conversation

    async def _watch(self) -> None:
        """Raise HubUnreachable when no byte came for too long, though we were reading and awake."""
        limit = self._settings.server_timeout_seconds
        tick = min(1.0, limit / 4)
        looked = self._clock()
        while True:
            await asyncio.sleep(tick)
            now = self._clock()
            if now - looked > 3 * tick or self._waiting_for_room:  # we slept (SIGSTOP, suspend), or pause on purpose
                self._awake = now
            looked = now
            silence = now - max(self._connection.last_byte(), self._awake)
            if silence >= limit:
                raise HubUnreachable(f"The hub has been silent for {limit:g} s.", "It may be frozen or cut off.")

    async def _listened(self) -> None:
        """Raise HubUnreachable when the hub took no answer for too long."""
        await self._deaf.wait()
        limit = self._settings.server_timeout_seconds
        raise HubUnreachable(f"The hub has read nothing for {limit:g} s.", "It may be frozen or overloaded.")

    def _fail_own(self) -> None:
        for future in self._own.values():
            if not future.done():
                future.set_exception(HubUnreachable("The connection was lost before the hub answered.",
                                                    "The call is to be made again."))  # fmt: skip
