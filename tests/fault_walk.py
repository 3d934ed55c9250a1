"""A hub and a connector process for each client library on it, led together through faults, one after the other."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from tests.acceptance_kit import Door, Hub, adds_up, connector, hub_command, until
from tests.ports import free_port

CLIENTS = ("signalrcore", "pysignalr")
STABLE = 5.0
"""Seconds connected after which a row of failures is over."""
BUSY = 1.0
"""What a busy machine may add to the second after a backoff."""
STARTING = threading.Lock()
"""Walks start one after the other, so that tests beside this one keep their processor."""


def stamp(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["ts"]).timestamp()


class Walk:
    """Made with its connectors started and the hub not yet."""

    def __init__(
        self,
        folder: Path,
        kind: str,
        *hub_arguments: str,
        path: str = "/taskhub",
        seconds: float = 200.0,
        **settings: Any,
    ) -> None:
        self.kind = kind
        self.hub_arguments = hub_arguments
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{path}"
        self.settings = settings
        self.folder = folder
        self.end = time.monotonic() + seconds
        self.hub: Hub | None = None
        self.back = 0.0
        """When the hub was there again after an outage; 0: it was there."""
        self.sent = 0
        self.doors: dict[str, Door] = {}
        self.marks = dict.fromkeys(CLIENTS, 0)
        """How many events there were before the last fault."""
        self.members: set[str] = set()

    def __enter__(self) -> Self:
        for client in CLIENTS:
            workspace = self.folder / client
            workspace.mkdir(parents=True, exist_ok=True)
            settings = {"hub_url": self.url, "client": client, "workspace": str(workspace), **self.settings}
            self.doors[client] = connector(settings, cwd=workspace)
        return self

    def __exit__(self, *_: object) -> None:
        for door in self.doors.values():
            door.kill()
        if self.hub and self.hub.process.poll() is None:
            self.hub.stop()

    def stop_hub(self) -> None:
        """End the hub; an outage begins."""
        assert self.hub is not None
        self.hub.stop()

    def start_hub(self, *arguments: str) -> None:
        self.hub = Hub(hub_command(self.kind, *self.hub_arguments, *arguments, port=self.port))
        self.back = time.time()

    def since(self, client: str) -> list[dict[str, Any]]:
        """Events after the last fault."""
        return self.doors[client].events[self.marks[client] :]

    def fault(self) -> None:
        """From now on it is the next fault whose events count."""
        assert self.hub is not None
        self.marks = {client: len(door.events) for client, door in self.doors.items()}
        self.members = self._members()
        self.back = 0.0

    def _members(self) -> set[str]:
        return {member["id"] for member in self.hub.get("connections")}

    def each(self, look: Any, what: str) -> None:
        """Wait until `look(client)` gives something for every client."""
        for client, door in self.doors.items():

            def there(client: str = client, door: Door = door) -> Any:
                assert door.process.poll() is None, (client, what, door.lines[-5:])
                return look(client)

            try:
                until(there, f"{client}: {what}", max(0.1, self.end - time.monotonic()))
            except AssertionError as error:
                error.add_note("\n".join(door.lines[-12:]))
                raise

    def saw(self, name: str, words: str) -> None:
        """Every connector has told the event `name` with `words` in it since the fault."""
        self.each(
            lambda client: [one for one in self.since(client) if one["event"] == name and words in str(one)],
            f"{name} with {words!r}",
        )

    def recovered(self, *, stable: bool = True) -> None:
        """Every connector is connected anew, in time, and a task that the hub sends now is accepted by each."""
        self.each(self.live, "connected")
        if self.back:
            for client in CLIENTS:
                self._check_in_time(client)
        until(lambda: len(self._members() - self.members) >= len(CLIENTS), "the hub to know its clients")
        self.send()
        if stable:
            self.each(lambda client: time.time() - stamp(self.live(client)) > STABLE + 0.1, "a stable connection")

    def live(self, client: str) -> Any:
        """The event of the connection that there is since the fault, if there is one."""
        ends = [one for one in self.since(client) if one["event"] in {"connected", "disconnected"}]
        return ends[-1] if ends and ends[-1]["event"] == "connected" else None

    def announced(self, client: str) -> float:
        """Seconds of the last delay before the present connection."""
        before = [one for one in self.doors[client].named("reconnecting") if one["seq"] < self.live(client)["seq"]]
        return float(before[-1]["seconds"]) if before else 0.0

    def took(self, client: str) -> float:
        """Seconds from the hub's return to the present connection."""
        return stamp(self.live(client)) - self.back

    def _check_in_time(self, client: str) -> None:
        assert self.took(client) <= self.announced(client) + 1.0 + BUSY, (self.doors[client].lines[-5:], self.back)

    def send(self, count: int = 1) -> None:
        """Send a task; each connector accepts it."""
        assert self.hub is not None
        for _ in range(count):
            self.sent += 1
            self.hub.post("send", work(f"after-{self.sent}"), method="TaskHub")
        self.each(lambda client: self._queued(client, f"after-{self.sent}"), f"task {self.sent}")

    def _queued(self, client: str, key: str) -> bool:
        return any(one["task_id"] == key for one in self.doors[client].named("task_queued"))

    def finish(self, *, tasks: int = 0, nodes: int = 1, rejected: int = 0) -> None:
        """Let every task end, stop, and hold the counts; `tasks`: so many beside those of `send`, `nodes`: made of all."""
        expected = self.sent + tasks
        self.each(lambda client: len(self.doors[client].named("task_completed")) >= expected, f"{expected} ends")
        for door in self.doors.values():
            door.process.terminate()
        for client, door in self.doors.items():
            code, result = door.end()
            assert (code, result["success"]) == (0, True), (client, result)
            assert (result["tasks_received"], result["tasks_resumed"]) == (expected, 0), (client, result)
            ends = result["workflows_generated"], result["tasks_failed"], result["tasks_pending"], result["rejected"]
            assert ends == (nodes, 0, 0, rejected), (client, result)
            assert adds_up(result)
            assert {one["client"] for one in door.named("connected")} == {client}
            check_backoff(door.events)


def work(key: str) -> dict[str, Any]:
    """A task; the first makes a node, the others reuse it."""
    return {"id": key, "taskName": "Summarize invoice", "llmTaskType": "summarize", "content": f"Text of {key}."}


def check_backoff(events: list[dict[str, Any]]) -> None:
    """Hold the delays against the contract: up to 1 s, doubling to 30 s, full jitter; attempts are a second apart."""
    starts = [stamp(one) for one in events if one["event"] == "connecting"]
    assert all(later - earlier >= 0.99 for earlier, later in pairwise(starts)), starts
    steps = [one for one in events if one["event"] in {"reconnecting", "connecting"}]
    for pause, attempt in pairwise(steps):
        if pause["event"] == "reconnecting":
            longest = min(30.0, 2.0 ** max(pause["attempt"] - 2, 0))
            floor = next((seconds for words, seconds in FLOORS.items() if words in pause["error"]), 0.0)
            assert floor <= pause["seconds"] <= max(longest, floor, 1.0), pause
            if attempt["event"] == "connecting":
                assert stamp(attempt) - stamp(pause) >= pause["seconds"] - 0.01, (pause, attempt)


FLOORS = {"does not ask us to come back": 5.0, "HTTP 503": 3.0}
"""Shortest delay after an error with these words."""


@contextmanager
def walk(folder: Path, kind: str, *hub_arguments: str, down: bool = False, **more: Any) -> Iterator[Walk]:
    """A walk whose connectors are connected, have taken a first task, and count as stable; `down`: the hub comes late."""
    made = Walk(folder, kind, *hub_arguments, **more)
    try:
        with STARTING:
            if not down:
                made.start_hub()
                made.back = 0.0
            made.__enter__()
            if down:
                made.saw("connection_failed", "cannot be reached")
                made.start_hub()
            made.recovered(stable=False)
        made.recovered()
        yield made
    finally:
        made.__exit__()
