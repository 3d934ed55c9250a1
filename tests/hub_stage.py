"""A hub that runs, and the means to drive it over HTTP: the demo hub and the real one alike."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import httpx

Scene = Callable[["Stage"], Coroutine[Any, Any, None]]


class Stage:
    """A hub that runs, and the means to drive it."""

    def __init__(self, base: str, http: httpx.AsyncClient) -> None:
        self.base = base
        self.http = http
        self.url = base + "/taskhub"

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        return await self.http.post("/control/" + path, **({} if body is None else {"json": body}))

    async def get(self, path: str) -> Any:
        return (await self.http.get("/control/" + path)).json()

    async def empty(self) -> bool:
        """Whether nobody is connected."""
        return not await self.get("connections")

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(10):
            while not (found := await condition()):  # noqa: ASYNC110 - another process is asked
                await asyncio.sleep(0.01)
        return found
