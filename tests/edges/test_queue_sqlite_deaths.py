"""Each change of the queue file, killed at each of its statements and along what it writes: it happened or it did not."""

import os
import shutil
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest

from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.ports import End, Lease
from tests.killed_inside import Call, killed_inside, seen_outside
from tests.ledger import troubles
from tests.queue_helpers import Clock, refusal, task, tell

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
CLOCK = Clock()
IDS = ("a", "b", "c", "d")
BYTES = 700
"""A -wal holds 24 bytes and a page of 4,096 a frame: this meets each frame in several places."""


async def end_three(queue: SqliteQueue, leases: list[Lease]) -> None:
    ends = [
        End(leases[0], "generated", "node"),
        End(leases[1], "reused", "node"),
        End(leases[2], "failed", "", "r", "c"),
    ]
    assert all(await queue.finish(ends))


async def put_three(queue: SqliteQueue, _leases: list[Lease]) -> None:
    fresh = [task("e", "text e"), task("f", "text f")]
    assert list(await queue.put([*fresh, task("a", "text a")], [refusal()])) == ["queued", "queued", "duplicate"]


async def put_back(queue: SqliteQueue, leases: list[Lease]) -> None:
    assert await queue.postpone(leases[0], 10.0, "later", failure=True)


CHANGES: dict[str, tuple[Any, tuple[int, ...], str]] = {
    # name: what is done, (generated, reused, failed, pending, received, rejected, duplicates) after it, ids that wait
    "put": (put_three, (0, 0, 0, 6, 6, 1, 1), "abcdef"),
    "finish": (end_three, (1, 1, 1, 1, 4, 0, 0), "d"),
    "postpone": (put_back, (0, 0, 0, 4, 4, 0, 0), "abcd"),
    "begin": (lambda queue, leases: queue.begin_many(leases), (0, 0, 0, 4, 4, 0, 0), "abcd"),
    "lease": (lambda queue, _leases: queue.lease(3), (0, 0, 0, 4, 4, 0, 0), "abcd"),
    "recover": (lambda queue, _leases: queue.recover(), (0, 0, 0, 4, 4, 0, 0), "abcd"),
}
BEFORE = (0, 0, 0, 4, 4, 0, 0, Counter("abcd"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Lease]]:
    """A queue file as a kill leaves it: four tasks, three of them leased, with its -wal."""
    folder = tmp_path_factory.mktemp("written")
    leases: list[Lease] = []

    async def story(queue: SqliteQueue) -> None:
        await queue.put([task(name, f"text {name}") for name in IDS], [])
        leases.extend(await queue.lease(3))
        for side in ("", "-wal"):
            shutil.copyfile(folder / f"queue.db{side}", folder / f"left.db{side}")

    tell(folder / "queue.db", story, clock=CLOCK, reserve_bytes=0)
    return folder / "left.db", leases


@pytest.mark.parametrize("kind", ["statement", "byte"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_is_killed_anywhere_happened_whole_or_not_at_all(
    change: str, kind: Literal["statement", "byte"], written: tuple[Path, list[Lease]], tmp_path: Path
):
    left, leases = written
    act, numbers, waiting = CHANGES[change]
    call: Call = lambda queue: act(queue, leases)  # noqa: E731 - a def would need its types twice
    after = (*numbers, Counter(waiting))
    for number in count(1):
        path = tmp_path / str(number) / "queue.db"
        path.parent.mkdir()
        for side in ("", "-wal"):
            shutil.copyfile(f"{left}{side}", f"{path}{side}")
        done = killed_inside(path, (kind, number if kind == "statement" else number * BYTES), call, clock=CLOCK, reserve_bytes=0)  # fmt: skip
        found = seen_outside(path, CLOCK.now)
        assert found == after or (not done and found == BEFORE), (number, found)
        assert troubles(path, {*IDS, *found[-1]}) == [], number
        if done:
            break
    assert number > 3, "it was killed in the midst of it"
