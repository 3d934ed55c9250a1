"""What a demo hub is told to do: push, ask, hand out at least once, close, break, freeze."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from code_evolver.core import signalr
from code_evolver.demo.member import AskFailed
from code_evolver.demo.server import HubServer


class ActiveHub(HubServer):
    """A hub that calls its clients. Used through DemoHub."""

    numbers: int = 0
    """How many calls that want a result were made: "s1", "s2", …"""
    attempts: int = 0
    """How often a task of the outbox was handed out."""
    accepted: int = 0
    """How many tasks of the outbox were answered with received: true."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.outgoing: list[Any] = []
        """What the outbox still holds."""
        self._posting: asyncio.Task[None] | None = None

    async def push(self, *arguments: Any, method: str = "TaskHub", group: str = "") -> None:
        """Call `method` on every client (of `group`); nobody answers."""
        data = signalr.encode(signalr.invocation(method, arguments))
        await asyncio.gather(*(member.send_raw(data) for member in self.ready(group)))

    async def ask(self, *arguments: Any, method: str = "TaskHub", timeout: float = 10.0) -> Any:  # noqa: ASYNC109 - sent on
        """Call `method` on the newest client and give its result. Raises AskFailed (an error, nobody there), TimeoutError."""
        members = self.ready()
        if not members:
            raise AskFailed("Nobody is connected.")
        self.numbers += 1
        return await members[-1].ask(f"s{self.numbers}", method, arguments, timeout)

    def outbox(self, tasks: Sequence[Any], *, method: str = "TaskHub", retry: float = 0.2) -> None:
        """Hand out each task again and again until a client answers that it was received."""
        self.outgoing.extend(tasks)
        if self._posting is None or self._posting.done():
            self._posting = self.start(self._post(method, retry))

    async def abort(self) -> None:
        """Drop every connection from the server's side: close record, then socket."""
        await self.close_all()

    async def close_all(self, error: str | None = None, *, allow_reconnect: bool = False) -> None:
        """Send every client a close record with these fields, then close its socket."""
        await asyncio.gather(*(member.close(error, allow_reconnect=allow_reconnect) for member in self.ready()))

    def drop_all(self) -> None:
        """End every connection without a close record or frame."""
        for member in self.ready():
            member.socket.drop()

    def reset_all(self) -> None:
        """Break every connection with RST."""
        for member in self.ready():
            member.socket.reset()

    async def ping_all(self, payload: bytes = b"") -> None:
        """Send every client a WebSocket PING frame."""
        for member in self.ready():
            await member.socket.ping(payload)

    async def send_raw(self, *parts: bytes, fragments: bool = False, ping: bytes | None = None) -> None:
        """Send bytes to every client, each part a text message of its own, or all of them fragments of one.

        `ping` is the payload of a PING frame that goes before each part.
        """
        for member in self.ready():
            for index, part in enumerate(parts):
                first, last = index == 0, index == len(parts) - 1
                if ping is not None:
                    await member.socket.ping(ping)
                await member.send_raw(part, fin=last or not fragments, first=first or not fragments)

    def freeze(self, frozen: bool = True) -> None:
        """Neither read nor send (connections are kept), as a process that was stopped; or go on."""
        self.faults.silent = frozen
        for member in self.members:
            (member.socket.reading.clear if frozen else member.socket.reading.set)()

    async def _post(self, method: str, retry: float) -> None:
        while self.outgoing:
            task = self.outgoing[0]
            if self.ready():
                self.attempts += 1
                with suppress(AskFailed, TimeoutError):
                    answer = await self.ask(task, method=method)
                    if isinstance(answer, Mapping) and answer.get("received") is True:
                        self.outgoing.pop(0)
                        self.accepted += 1
                        continue
            await asyncio.sleep(retry)

    async def burst(self, messages: Iterator[Any], rate: float) -> float:
        """Push messages, `rate` a second (0: as fast as it goes). Gives the seconds that it took."""
        began = time.monotonic()
        for sent, message in enumerate(messages, 1):
            await self.push(message)
            if rate:
                await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))
        return time.monotonic() - began
