"""A hub client made of plain `websockets` and core/signalr.py, to look at hubs with."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import websockets
from websockets.asyncio.client import ClientConnection

from code_evolver.core import signalr


class PlainClient:
    """One connection. `next()` gives the next record that is no ping."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._splitter = signalr.Splitter(64 * 1024 * 1024)
        self._records: list[bytes] = []

    async def send(self, record: dict[str, Any]) -> None:
        await self.socket.send(signalr.encode(record).decode())

    async def raw(self, seconds: float = 10.0) -> bytes:
        async with asyncio.timeout(seconds):
            while not self._records:
                data = await self.socket.recv()
                self._records += self._splitter.feed(data if isinstance(data, bytes) else data.encode())
        return self._records.pop(0)

    async def next(self, seconds: float = 10.0) -> dict[str, Any]:
        while True:
            record: dict[str, Any] = json.loads(await self.raw(seconds))
            if record != {"type": signalr.PING}:
                return record

    async def invoke(self, target: str, *arguments: Any) -> dict[str, Any]:
        """Call a hub method; give its completion record, others in between are dropped."""
        await self.send(signalr.invocation(target, list(arguments), "i"))
        while True:
            record = await self.next()
            if record.get("type") == signalr.COMPLETION and record["invocationId"] == "i":
                return record


@asynccontextmanager
async def connected(
    url: str, token: str = "", handshake: str = '{"protocol":"json","version":1}'
) -> AsyncIterator[PlainClient]:
    """Negotiate, open, shake hands (the answer is the client's first record where it was an error)."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(headers=headers) as http:
        answer = (await http.post(f"{url}/negotiate?negotiateVersion=1")).raise_for_status().json()
    query = f"?id={quote(answer['connectionToken'])}" + (f"&access_token={quote(token)}" if token else "")
    async with websockets.connect(url.replace("http", "ws", 1) + query, max_size=None, proxy=None) as socket:
        client = PlainClient(socket)
        await socket.send(handshake + "\x1e")
        first = await client.raw()
        if first != b"{}":
            client._records.insert(0, first)
        yield client
