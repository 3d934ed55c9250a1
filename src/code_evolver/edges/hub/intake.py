"""From records to `receive`: parse what waits, hand it over in batches, answer who asked once it is stored."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from code_evolver.core import signalr
from code_evolver.core.errors import CodeEvolverError, DiskFull, StoreError
from code_evolver.core.message import read_message
from code_evolver.core.session import HubSettings
from code_evolver.core.signalr import BadRecord
from code_evolver.core.strict_json import LARGE, show
from code_evolver.edges.hub.conversation import Conversation
from code_evolver.edges.hub.inbox import Inbox, Item
from code_evolver.edges.hub.tasks import end
from code_evolver.ports import Emit, Received

Receive = Callable[[Sequence[Received]], Awaitable[Sequence[Mapping[str, Any] | None]]]

BATCH = 4_000
"""Records that are stored, and told, at once."""
STORED_AT_ONCE = 2
"""Batches on their way into the queue: it has the next one at hand when the former is committed."""
STRETCH = 128 * 1024
"""Bytes of records that are read at a stretch; then everybody else on the event loop has a turn."""
RECORD = 256
"""What a record counts for beside its bytes."""
NAMES = 1_000
"""Client method names remembered; a hub that invents names must not fill our memory."""
DISK_PAUSES = (1.0, 2.0, 5.0)
_ABOUT_DATA = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""What a handler may raise about one message: that message is then set aside, and the others go on."""


class Intake:
    """Takes in what the inbox holds, for as long as the listener runs."""

    def __init__(self, settings: HubSettings, inbox: Inbox[Conversation], receive: Receive, emit: Emit) -> None:
        self._inbox = inbox
        self._receive = receive
        self._emit = emit
        self._hub_name = settings.hub_name
        self._listened = {name.lower() for name in (settings.hub_name, *settings.listen)}
        self._known: dict[str, bool] = {}
        self._waiting = asyncio.Lock()  # for room on the disk: first come, first served
        self._paused = False
        self._target, self._head = "", b""  # of the latest message: the next one is mostly the same method's
        self._large = False  # one of the latest batch was

    async def run(self) -> None:
        """Take in until cancelled: what waits is read while what was read before is being stored.

        Raises StoreError when nothing can be stored any more.
        """
        storing: deque[asyncio.Task[None]] = deque()
        try:
            while True:
                waiting = self._inbox.waiting(BATCH) if storing else await self._inbox.take(BATCH)
                batch, owners = await self._read_all(waiting)
                if batch:
                    storing.append(asyncio.create_task(self._take_in(batch, owners)))
                # Whoever stores a large record lets others have a turn: none of them may be the next batch.
                most = 1 if self._large else STORED_AT_ONCE
                while storing and (not batch or len(storing) >= most):
                    await storing[0]
                    storing.popleft()
        finally:
            await end(storing)

    async def _read_all(
        self, chunks: Sequence[tuple[Conversation, Sequence[Item]]]
    ) -> tuple[list[Received], list[Conversation]]:
        batch: list[Received] = []
        owners: list[Conversation] = []
        unheard: list[tuple[Conversation, str, str]] = []
        self._large = False
        left = 0
        for conversation, items in chunks:
            for item in items:
                if left <= 0:
                    await asyncio.sleep(0)
                    left = STRETCH
                size = len(item.raw if isinstance(item, Received) else item)
                left -= size + RECORD
                if size < LARGE:
                    found = self._read(conversation, item, unheard)
                else:
                    self._large = True
                    found = await self._read_large(conversation, item, unheard)
                if found is not None:
                    batch.append(found)
                    owners.append(conversation)
        for conversation, key, target in unheard:
            await conversation.answer(signalr.completion_error(key, f"Nobody listens to {show(target)} here."))
        return batch, owners

    async def _take_in(self, batch: Sequence[Received], owners: Sequence[Conversation]) -> None:
        results = await self._store(batch)
        for received, owner, result in zip(batch, owners, results, strict=True):
            if received.invocation_id is not None:
                await owner.answer(signalr.completion(received.invocation_id, result))

    def _read(
        self, conversation: Conversation, item: Item, unheard: list[tuple[Conversation, str, str]]
    ) -> Received | None:
        if isinstance(item, Received):
            return item
        plain = signalr.read_plain_push(item, self._head)
        if plain is None:
            return self._parsed(conversation, item, unheard)
        arguments = [plain[0]]
        message = read_message(arguments, raw=item, hub_name=self._hub_name, text=plain[1])
        return Received(conversation.number, self._target, arguments, None, item, "", message)

    async def _read_large(
        self, conversation: Conversation, item: Item, unheard: list[tuple[Conversation, str, str]]
    ) -> Received | None:
        """Do as `_read`, in threads: a large record may hold millions of elements."""
        if isinstance(item, Received):
            return item
        try:
            record = await asyncio.to_thread(signalr.parse, item)
        except BadRecord as error:
            return _broken(conversation, item, error)
        found = self._call(conversation, item, record, unheard)
        if found is None or found.problem:
            return found
        message = await asyncio.to_thread(read_message, found.arguments, raw=item, hub_name=self._hub_name)
        return found._replace(message=message)

    def _parsed(
        self, conversation: Conversation, item: bytes, unheard: list[tuple[Conversation, str, str]]
    ) -> Received | None:
        try:
            record = signalr.parse(item)
        except BadRecord as error:
            return _broken(conversation, item, error)
        return self._call(conversation, item, record, unheard)

    def _call(
        self,
        conversation: Conversation,
        item: bytes,
        record: Mapping[str, Any],
        unheard: list[tuple[Conversation, str, str]],
    ) -> Received | None:
        """Say what the hub called, None for what nobody listens to; a large record's message is not read yet."""
        number = conversation.number
        target, arguments, key = record.get("target"), record.get("arguments"), record.get("invocationId")
        if type(key) is not str:
            key = None
        if type(target) is not str:
            return Received(number, "", (), key, item, "bad record: a call without a method's name")
        if not (self._known.get(target) or self._heard(target)):
            if key is not None:
                unheard.append((conversation, key, target))
            return None
        if type(arguments) is not list:
            return Received(number, target, (), key, item, "bad record: a call without a list of arguments")
        if target != self._target:
            self._target, self._head = target, signalr.head_of_push(target)
        message = read_message(arguments, raw=item, hub_name=self._hub_name) if len(item) < LARGE else None
        return Received(number, target, arguments, key, item, "", message)

    def _heard(self, target: str) -> bool:
        """Say whether anybody listens to a client method; report it once where nobody does."""
        known = self._known.get(target)
        if known is not None:
            return known
        heard = target.lower() in self._listened
        if len(self._known) < NAMES:
            self._known[target] = heard
            if not heard:
                self._emit("message_unhandled", target=show(target)[1:-1], setting="listen",
                           hint=f"To take its messages as tasks, add {show(target)} to `listen`.")  # fmt: skip
        return heard

    async def _store(self, batch: Sequence[Received]) -> Sequence[Mapping[str, Any] | None]:
        """Hand a batch over; while the disk is full it waits, and batches that came later wait behind it."""
        try:
            return await self._hand_over(batch)
        except DiskFull as error:
            self._pause(error)
        async with self._waiting:
            for attempt in range(1_000_000_000):
                try:
                    results = await self._hand_over(batch)
                except DiskFull as error:
                    self._pause(error)
                    await asyncio.sleep(DISK_PAUSES[min(attempt, len(DISK_PAUSES) - 1)])
                else:
                    self._resume()
                    return results
        raise AssertionError("never that many attempts")

    def _pause(self, error: DiskFull) -> None:
        if not self._paused:
            self._emit("intake_paused", reason=error.message, hint=error.hint)
        self._paused = True

    def _resume(self) -> None:
        if self._paused:
            self._emit("intake_resumed")
        self._paused = False

    async def _hand_over(self, batch: Sequence[Received]) -> Sequence[Mapping[str, Any] | None]:
        """Hand a batch over; one message that cannot be handled is set aside. Raises DiskFull, StoreError."""
        try:
            return await self._receive(batch)
        except (DiskFull, StoreError, asyncio.CancelledError):
            raise
        except (CodeEvolverError, *_ABOUT_DATA) as error:
            return await self._one_by_one(batch, error)

    async def _one_by_one(self, batch: Sequence[Received], error: Exception) -> list[Mapping[str, Any] | None]:
        if len(batch) > 1:
            return [result for one in batch for result in await self._hand_over([one])]
        if batch[0].problem:
            raise error
        reason = f"cannot be handled: {type(error).__name__}: {show(error, 200)}"
        return list(await self._hand_over([batch[0]._replace(arguments=(), problem=reason, message=None)]))


def _broken(conversation: Conversation, item: bytes, error: BadRecord) -> Received:
    return Received(conversation.number, "", (), signalr.asked_as(item), item, error.message)
