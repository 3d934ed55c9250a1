"""Real processes that put and end tasks, killed at random moments: nothing accepted is lost, nothing ends twice."""

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from code_evolver.edges.queue_sqlite import SqliteQueue, read_status
from code_evolver.ports import End

CHILD = Path(__file__).with_name("queue_child.py")
ROOT = Path(__file__).parents[2]
KILLS = 20


def killed_life(path: Path, start: int, seconds: float) -> list[str]:
    """Start the child, kill it `seconds` after it is ready, give what it said."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(path), str(start)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n", child.communicate()[1]
    timer = threading.Timer(seconds, child.kill)
    timer.start()
    said, _ = child.communicate(timeout=60)
    timer.join()
    return said.decode().splitlines()


@pytest.mark.timeout(240)
def test_twenty_kills_lose_nothing_and_end_nothing_twice(tmp_path: Path):
    path = tmp_path / "queue.db"
    chance = random.Random(20)
    said: list[str] = []
    for number in range(KILLS):
        said += killed_life(path, number * 1_000_000, chance.uniform(0.0, 0.25))
    put = [line[4:] for line in said if line.startswith("put ")]
    ended = Counter(line[4:] for line in said if line.startswith("end "))
    assert len(put) > 100, "the children had time to work"
    assert len(ended) > 20
    assert max(ended.values()) == 1

    before = read_status(path).counts
    assert before.received >= len(put)
    assert before.received == before.generated + before.pending
    left = asyncio.run(drain(path))
    assert not set(left) & set(ended), "an ended task came back"
    assert set(put) <= set(left) | set(ended) | generated(path), "an accepted task is gone"
    after = read_status(path).counts
    assert (after.pending, after.generated) == (0, after.received)


async def drain(path: Path) -> list[str]:
    queue = SqliteQueue.open(path)
    assert queue.notices == []
    await queue.recover()
    left = []
    while leases := await queue.lease(500):
        left += [lease.task.id for lease in leases]
        assert all(await queue.finish([End(lease, "generated", "node") for lease in leases]))
    await queue.close()
    assert len(left) == len(set(left))
    return left


def generated(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {row[0] for row in db.execute("SELECT id FROM tasks WHERE state = 3")}
