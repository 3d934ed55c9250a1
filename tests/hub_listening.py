"""Helpers for tests of the hub connection: a listener that records what it receives and emits, and the real hub."""

import asyncio
import contextlib
import json
import os
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from code_evolver.core.session import HubSettings
from code_evolver.edges.hub.drive import HubListener
from code_evolver.ports import Received
from tests.ports import free_port

SHARED = Path(os.environ.get("CODE_EVOLVER_SHARED", Path(__file__).parents[2] / "shared"))
needs_real_hub = pytest.mark.skipif(not (SHARED / "hub/taskhub").exists(), reason="../shared/hub/taskhub is not here")


class Listening:
    """A listener with a memory."""

    def __init__(self, **settings: Any) -> None:
        self.received: list[Received] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.changed = asyncio.Event()
        self.faults: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        """Batches handed to `receive` that it has not answered."""
        self.asked = asyncio.Event()
        """Something has been handed to `receive`."""
        self.hub = HubListener(
            HubSettings(**{"keep_alive_seconds": 5.0, **settings}),
            receive=self._receive,
            emit=self._emit,
            random=lambda: 0.0,
        )
        self.task: asyncio.Task[None] | None = None

    async def _receive(self, batch: Sequence[Received]) -> Sequence[dict[str, Any] | None]:
        self.asked.set()
        self.under_way += 1
        await self.gate.wait()
        self.under_way -= 1
        if self.faults:
            raise self.faults.pop(0)
        self.received += batch
        self.changed.set()
        return [{"received": True, "n": len(self.received)} if one.invocation_id else None for one in batch]

    def _emit(self, name: str, **fields: Any) -> None:
        self.events.append((name, fields))
        self.changed.set()

    def named(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.events if event == name]

    @property
    def ids(self) -> list[Any]:
        return [one.arguments[0]["id"] for one in self.received if one.arguments and isinstance(one.arguments[0], dict)]

    async def until(self, wanted: Callable[["Listening"], bool], seconds: float = 15.0) -> None:
        """Wait until something is so; fails with what happened instead."""
        try:
            async with asyncio.timeout(seconds):
                while not wanted(self):
                    assert self.task is not None
                    if self.task.done():
                        self.task.result()
                    self.changed.clear()
                    await asyncio.wait(
                        [asyncio.ensure_future(self.changed.wait()), self.task], return_when="FIRST_COMPLETED"
                    )
        except TimeoutError:
            pytest.fail(f"waited in vain; {self.events[-5:]}, {len(self.received)} received")


async def known(hub: "RealHub", before: Collection[str] = ()) -> set[str]:
    """Wait until the hub can send to a connection that was not there before; give the ids of all."""
    await seen(lambda: bool(hub.connections() - set(before)))
    return hub.connections()


async def seen(wanted: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something inside is so that tells nobody."""
    async with asyncio.timeout(seconds):
        while not wanted():  # noqa: ASYNC110 - states, not events
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def listening(url: str, *, alone: bool = True, **settings: Any) -> AsyncIterator[Listening]:
    """Run a listener; at the end it stops within a second and, where it is `alone` in its loop, leaves no task."""
    before = asyncio.all_tasks()
    heard = Listening(hub_url=url, **settings)
    heard.task = asyncio.create_task(heard.hub.run())
    try:
        yield heard
    finally:
        async with asyncio.timeout(1.0):
            await heard.hub.stop()
        await asyncio.gather(heard.task, return_exceptions=True)
        heard.changed.set()
    await asyncio.sleep(0)
    ours = [str(task) for task in asyncio.all_tasks() - before if "code_evolver" in str(task)]
    assert not ours or not alone


async def failure(url: str, **settings: Any) -> tuple[Exception, Listening]:
    """Run a listener that has to give up; give its error."""
    heard = Listening(hub_url=url, **settings)
    heard.task = asyncio.create_task(heard.hub.run())
    async with asyncio.timeout(20):
        (error,) = await asyncio.gather(heard.task, return_exceptions=True)
    assert isinstance(error, Exception), error
    return error, heard


class RealHub:
    """The ASP.NET Core hub of ../shared/hub as a process."""

    def __init__(self, *arguments: str, port: int = 0) -> None:
        self._arguments = arguments
        self.start(port or free_port())

    def start(self, port: int) -> None:
        command = [str(SHARED / "hub/taskhub"), "--urls", f"http://127.0.0.1:{port}", *self._arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[1]
        self.port = int(self.url.rpartition(":")[2])

    def kill(self, *, hard: bool = True) -> None:
        (self.process.kill if hard else self.process.terminate)()
        self.process.wait(60)  # one that is asked to end lets its clients finish for up to 30 s
        if self.process.stdout is not None:
            self.process.stdout.close()

    def connections(self) -> set[str]:
        """Who is connected, by id, as the hub sees it: a moment later than the client does."""
        with urllib.request.urlopen(self.url + "/control/connections", timeout=60) as answer:
            return {one["id"] for one in json.loads(answer.read())}

    def post(self, path: str, body: Any = None) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None


@contextlib.contextmanager
def real_hub(*arguments: str) -> Iterator[RealHub]:
    hub = RealHub(*arguments)
    try:
        yield hub
    finally:
        hub.kill()
