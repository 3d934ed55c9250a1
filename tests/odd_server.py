"""A real HTTP server on asyncio that answers as a test says: slowly, in part, with any status, or never."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


Turn = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class OddServer:
    """Answers with the turns of `turns` in order; the last is repeated. GETs (model lists) get `models`."""

    turns: Sequence[Turn]
    models: Turn | None = None
    seen: list[Seen] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    connections: int = 0
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.connections += 1
        self._serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while not writer.is_closing():
                    await self._answer(await _read(reader), writer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def close(self) -> None:
        """End all connections."""
        for task in self._serving:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*self._serving, return_exceptions=True), 10)

    async def _answer(self, request: Seen, writer: asyncio.StreamWriter) -> None:
        if request.method == "GET":
            await (self.models or answer(404, {"error": "no list"}))(request, writer)
            return
        turn = self.turns[min(len(self.seen), len(self.turns) - 1)]
        self.seen.append(request)
        self.arrived.set()
        await turn(request, writer)


async def _read(reader: asyncio.StreamReader) -> Seen:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, json.loads(raw) if raw else None)


@contextlib.asynccontextmanager
async def odd_server(*turns: Turn, models: Turn | None = None, port: int = 0) -> AsyncIterator[OddServer]:
    """Run one for a test."""
    odd = OddServer(turns, models)
    server = await asyncio.start_server(odd.accept, "127.0.0.1", port)
    odd.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield odd
    finally:
        server.close()
        await odd.close()


def raw(status: int, body: bytes, headers: str = "") -> Turn:
    """Answer with bytes."""

    async def turn(_request: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body)
        await writer.drain()

    return turn


def answer(status: int, value: Any, headers: str = "") -> Turn:
    """Answer with JSON."""
    return raw(status, json.dumps(value).encode(), headers)


def chat(text: str, finish: str = "stop", **more: Any) -> Turn:
    """Answer as OpenAI's chat completions do."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return answer(200, {"choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": usage, **more})


async def cut(_request: Seen, writer: asyncio.StreamWriter) -> None:
    """Break off in the middle of the body."""
    writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 5000\r\n\r\n" + b"{" * 100)
    await writer.drain()
    writer.transport.abort()


async def silence(_request: Seen, _writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def hang_up(_request: Seen, writer: asyncio.StreamWriter) -> None:
    """Close without a word, as a server does with a kept connection that it has given up."""
    writer.transport.abort()
