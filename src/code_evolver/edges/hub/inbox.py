"""What has been read from the hub and not yet been taken in: bounded, in order, in chunks rather than one by one."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from code_evolver.ports import Received

Source = TypeVar("Source")
"""Whom an answer goes to: the conversation that brought the items."""
Item = bytes | Received
"""An invocation as it came, to be parsed when it is taken in; or something the conversation has read already."""

MAX_RECORDS = 20_000
MAX_BYTES = 32 * 1024 * 1024


class Inbox(Generic[Source]):
    """Chunks of records between the reader of the socket and the intake. One taker."""

    def __init__(self, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES) -> None:
        self._chunks: deque[tuple[Source, Sequence[Item]]] = deque()
        self._limits = (max_records, max_bytes)
        self._records = 0
        self._bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, source: Source, items: Sequence[Item]) -> None:
        """Put items in, whatever there is room for; whoever adds then waits for room."""
        self._chunks.append((source, items))
        self._count(len(items), _size(items))
        self._filled.set()
        self._idle.clear()

    @property
    def full(self) -> bool:
        """Whether reading from the hub has to wait."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Wait until there is room."""
        await self._room.wait()

    async def take(self, limit: int) -> list[tuple[Source, Sequence[Item]]]:
        """Give what waits, about `limit` items at most; waits for something. Says that what was taken before is done."""
        if not self._chunks:
            self._idle.set()
        await self._filled.wait()
        return self.waiting(limit)

    def waiting(self, limit: int) -> list[tuple[Source, Sequence[Item]]]:
        """Give what waits, about `limit` items at most, maybe nothing; what was taken before may still be in work."""
        taken: list[tuple[Source, Sequence[Item]]] = []
        while self._chunks and limit > 0:
            source, items = self._chunks.popleft()
            if len(items) > limit:
                self._chunks.appendleft((source, items[limit:]))
                items = items[:limit]
            limit -= len(items)
            self._count(-len(items), -_size(items))
            taken.append((source, items))
        if not self._chunks:
            self._filled.clear()
        return taken

    async def idle(self) -> None:
        """Wait until everything has been taken in."""
        await self._idle.wait()

    def _count(self, records: int, size: int) -> None:
        self._records += records
        self._bytes += size
        if self._records >= self._limits[0] or self._bytes >= self._limits[1]:
            self._room.clear()
        else:
            self._room.set()


def _size(items: Sequence[Item]) -> int:
    return sum([len(item.raw) if isinstance(item, Received) else len(item) for item in items])
