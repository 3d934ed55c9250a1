"""A hub for tests that misbehaves on demand: raw asyncio, every frame and every HTTP answer as the test writes it."""

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

TEXT, CONTINUATION, CLOSE, PING, PONG = 1, 0, 8, 9, 10
TRANSPORTS = [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]
NEGOTIATED = {"negotiateVersion": 1, "connectionId": "c", "connectionToken": "t", "availableTransports": TRANSPORTS}


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


def http(status: int, body: object = b"", **headers: str) -> bytes:
    """Give an HTTP answer; what is not bytes goes as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", "Connection: close"]
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


@dataclass
class Peer:
    """The hub's end of one WebSocket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    records: list[dict[str, Any]] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def frame(self, data: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
        size = len(data)
        length = (
            bytes([size])
            if size < 126
            else b"\x7e" + struct.pack("!H", size)
            if size < 65536
            else b"\x7f" + struct.pack("!Q", size)
        )
        return bytes([opcode | (128 if fin else 0)]) + length + data

    async def raw(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def say(self, *records: object) -> None:
        """Send records, each in a frame of its own; text goes as it is."""
        for record in records:
            data = (
                record.encode()
                if isinstance(record, str)
                else record
                if isinstance(record, bytes)
                else json.dumps(record).encode()
            )
            await self.raw(self.frame(data + b"\x1e"))

    async def push(self, *ids: object, target: str = "TaskHub") -> None:
        await self.say(*({"type": 1, "target": target, "arguments": [{"id": each}]} for each in ids))

    def reset(self) -> None:
        """End the socket with RST instead of FIN."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def drop(self) -> None:
        self.writer.close()

    async def heard(self, wanted: Callable[["Peer"], bool]) -> None:
        """Wait until the client has said what is wanted."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: wanted(self))


Behaviour = Callable[[Peer], Coroutine[Any, Any, None]]


class FaultHub:
    """Answers negotiations from `negotiations` (the last repeats) and upgrades from `upgrades`, then does `behave`."""

    def __init__(self, behave: Behaviour | None = None, *, parts: bool = True) -> None:
        """`parts` False: a close frame of the client is nothing to it."""
        self.parts = parts
        self.negotiations: list[Any] = [http(200, NEGOTIATED)]
        self.upgrades: list[bytes | bool | None] = [True]
        self.handshake: bytes | None = b"{}\x1e"
        self.behave = behave
        self.requests: list[Request] = []
        self.peers: list[Peer] = []
        self.greeted = 0
        """How many clients have sent their handshake."""
        self.arrived = asyncio.Condition()
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def negotiated(self) -> int:
        return sum(request.method == "POST" for request in self.requests)

    async def peer(self, number: int = 1) -> Peer:
        """Wait for the number-th WebSocket."""
        await self.until(lambda hub: len(hub.peers) >= number)
        return self.peers[number - 1]

    async def until(self, wanted: Callable[["FaultHub"], bool]) -> None:
        """Wait until clients have come as far as is wanted."""
        async with asyncio.timeout(15), self.arrived:
            await self.arrived.wait_for(lambda: wanted(self))

    async def _note(self) -> None:
        async with self.arrived:
            self.arrived.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = lines[0].split(" ")
            pairs = [line.partition(": ") for line in lines[1:] if line]
            headers: dict[str, str] = {}
            for key, _, value in pairs:
                headers[key.lower()] = ", ".join(filter(None, (headers.get(key.lower()), value)))
            request = Request(method, target, headers)
            self.requests.append(request)
            await self._note()
            if "sec-websocket-key" in request.headers:
                await self._upgrade(request, reader, writer)
            else:
                await self._answer(self._next(self.negotiations), request, writer)
        writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    def _next(self, answers: list[Any]) -> Any:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def _answer(self, answer, request: Request, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await asyncio.Event().wait()
        writer.write(answer(request) if callable(answer) else answer)
        await writer.drain()

    async def _upgrade(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = self._next(self.upgrades)
        if answer is not True:
            await self._answer(answer, request, writer)
            return
        key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        writer.write(
            f"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        peer = Peer(reader, writer)
        await self._frame(peer)  # the client's handshake
        self.greeted += 1
        await self._note()
        peer.records.clear()
        if self.handshake is None:
            await asyncio.Event().wait()
        else:
            await peer.raw(peer.frame(self.handshake))
        self.peers.append(peer)
        await self._note()
        behaviour = asyncio.create_task(self.behave(peer)) if self.behave else None
        try:
            while await self._frame(peer):
                pass
        finally:
            peer.closed.set()
            if behaviour:
                behaviour.cancel()
                await asyncio.gather(behaviour, return_exceptions=True)

    async def _frame(self, peer: Peer) -> bool:
        head = await peer.reader.readexactly(2)
        size = head[1] & 127
        if size > 125:
            size = int.from_bytes(await peer.reader.readexactly(2 if size == 126 else 8), "big")
        mask = await peer.reader.readexactly(4)
        data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(await peer.reader.readexactly(size)))
        async with peer.changed:
            if head[0] & 15 == PONG:
                peer.pongs.append(data)
            elif head[0] & 15 == TEXT:
                peer.records += [json.loads(record) for record in data.split(b"\x1e") if record]
            peer.changed.notify_all()
        return head[0] & 15 != CLOSE or not self.parts

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["FaultHub"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hub"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()
