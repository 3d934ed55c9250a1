"""How fast the durable queue is, and whether size matters: `python benchmarks/durable_queue.py [--tasks 1000000]`.

Peers in the same run and on the same disk: bare SQLite (one table, INSERT OR IGNORE, a commit a batch, claim by the
lowest rowid) and a plain file (append and fsync a batch). Ratios count, not the machine's figures. Each figure
with a limit has its verdict; one that is OVER makes the exit code 1. tests/edges/test_queue_growth.py holds the growth of
a smaller queue in steps of the database.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from code_evolver.core.task import Task, read_task
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.ports import End

BATCH = 1_000
LEASES = 32
PUT_LIMIT, WORK_LIMIT, ALL_LIMIT, MEMORY_LIMIT = 3.5, 1.5, 1_000, 80
"""Times the cost around 1,000 pending for a put, and for a lease with its end; tasks a second; MB at the peak."""


def make(number: int) -> Task:
    """Make a task of about 300 bytes with a random id: the worst case for an index."""
    identifier = str(uuid.uuid4())
    content = f"{number} " + "words of a text " * 8
    made = read_task({
        "id": identifier, "taskName": f"LLM Summarization {number}", "taskType": "Summarize", "content": content,
        "priority": ("High", "Medium", "Low")[number % 3], "status": "Pending", "translationLanguages": ["en-fr"],
    })  # fmt: skip
    assert isinstance(made, Task)
    return made


def batches(number: int) -> Iterator[list[Task]]:
    for start in range(0, number, BATCH):
        yield [make(start + place) for place in range(min(BATCH, number - start))]


def rss() -> tuple[float, float]:
    """Give this process's memory now and its peak, MB."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024


async def put(queue: SqliteQueue, number: int) -> list[float]:
    """Put so many; give the seconds a task of each batch (making the tasks is not counted)."""
    seconds = []
    for tasks in batches(number):
        start = time.perf_counter()
        await queue.put(tasks, [])
        seconds.append((time.perf_counter() - start) / len(tasks))
    return seconds


async def work(queue: SqliteQueue, number: int, *, known: bool) -> tuple[float, float]:
    """Lease, begin and end so many in batches; give seconds a task (medians) for lease and end, and for all three."""
    ours: list[float] = []
    whole: list[float] = []
    done = 0
    while done < number:
        start = time.perf_counter()
        leases = await queue.lease(LEASES)
        middle = time.perf_counter()
        await queue.begin_many(leases)
        begun = time.perf_counter() - middle
        ends = [End(lease, "reused" if known else "generated", "node") for lease in leases]
        assert all(await queue.finish(ends))
        took = time.perf_counter() - start
        ours.append((took - begun) / len(leases))
        whole.append(took / len(leases))
        done += len(leases)
    return median(ours), median(whole)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


async def at_size(folder: Path, size: int, work_on: int) -> dict[str, float]:
    """Measure put and work with `size` tasks pending."""
    queue = SqliteQueue.open(folder / f"queue-{size}.db")
    await put(queue, max(0, size - 20 * BATCH))
    puts = await put(queue, min(size, 20 * BATCH))
    work_at, all_at = await work(queue, min(work_on, size // 2), known=True)
    start = time.perf_counter()
    counts = await queue.counts()
    counted = time.perf_counter() - start
    assert counts.received == size
    await queue.close()
    return {"put": median(puts), "work": work_at, "all": all_at, "counts": counted}


async def small(folder: Path) -> dict[str, float]:
    """Measure around 1,000 pending: many small queues' worth, so that the figure is no accident."""
    found: list[dict[str, float]] = []
    for number in range(8):
        target = folder / f"small-{number}"
        target.mkdir()
        found.append(await at_size(target, BATCH, BATCH // 2))
    return {name: median([one[name] for one in found]) for name in found[0]}


async def one_by_one(folder: Path) -> tuple[float, float]:
    """Put alone, each awaited; and from 2,000 callers at once. Give puts a second."""
    queue = SqliteQueue.open(folder / "single.db")
    tasks = [make(number) for number in range(500)]
    start = time.perf_counter()
    for task in tasks:
        await queue.put([task], [])
    alone = len(tasks) / (time.perf_counter() - start)
    crowd = [make(number) for number in range(20_000)]
    start = time.perf_counter()
    for place in range(0, len(crowd), 2_000):
        await asyncio.gather(*(queue.put([task], []) for task in crowd[place : place + 2_000]))
    together = len(crowd) / (time.perf_counter() - start)
    await queue.close()
    return alone, together


def bare_sqlite(folder: Path, number: int) -> tuple[float, float]:
    """Give seconds a task for put and for claim with end of the barest durable table."""
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE tasks (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT, state INTEGER)")
        seconds = []
        for tasks in batches(number):
            start = time.perf_counter()
            db.execute("BEGIN")
            rows = [(task.id, json.dumps(task.raw)) for task in tasks]
            db.executemany("INSERT OR IGNORE INTO tasks (id, body, state) VALUES (?, ?, 0)", rows)
            db.execute("COMMIT")
            seconds.append((time.perf_counter() - start) / len(tasks))
        start = time.perf_counter()
        for place in range(0, 1_024, LEASES):
            seqs = [(seq,) for seq in range(place + 1, place + 1 + LEASES)]
            for state in (1, 2):
                db.execute("BEGIN")
                for seq in seqs:
                    json.loads(db.execute("SELECT body FROM tasks WHERE seq = ?", seq).fetchone()[0])
                db.executemany(f"UPDATE tasks SET state = {state} WHERE seq = ?", seqs)
                db.execute("COMMIT")
        return median(seconds), (time.perf_counter() - start) / 1_024


def plain_file(folder: Path, number: int) -> float:
    """Give seconds a task for appending a batch to a file and syncing it."""
    seconds = []
    with (folder / "plain.jsonl").open("ab") as stream:
        for tasks in batches(number):
            start = time.perf_counter()
            stream.write(b"".join(json.dumps(task.raw).encode() + b"\n" for task in tasks))
            stream.flush()
            os.fsync(stream.fileno())
            seconds.append((time.perf_counter() - start) / len(tasks))
    return median(seconds)


@dataclass
class Table:
    """Rows for a person; `over` counts the figures that miss their limit."""

    over: int = 0

    def row(self, name: str, figure: str, limit: str = "", *, good: bool | None = None) -> None:
        """Print a figure, and whether it keeps its limit."""
        word = {True: "ok", False: "OVER", None: "-"}[good]
        self.over += good is False
        print(f"{name:<46} {figure:<52} {limit:<14} {word:<5} load {os.getloadavg()[0]:.1f}", flush=True)

    def rate(self, name: str, seconds: float, beside: str = "") -> None:
        """Print what a task takes, without a limit."""
        self.row(name, rate(seconds) + beside)

    def growth(self, name: str, many: float, few: float, limit: float) -> None:
        """Hold what a step costs with many pending against what it costs around 1,000."""
        self.row(name, f"{rate(many)}  x {many / few:.2f}", f"≤ x {limit:g}", good=many <= limit * few)


def rate(seconds: float) -> str:
    return f"{1 / seconds:>10,.0f} /s  {seconds * 1e6:>8.1f} µs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="pending tasks of the large queue")
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        before = rss()[0]
        few = asyncio.run(small(folder))
        many = asyncio.run(at_size(folder, options.tasks, 10_000))
        now, peak = rss()
        alone, together = asyncio.run(one_by_one(folder))
        bare_put, bare_work = bare_sqlite(folder, 20 * BATCH)
        plain = plain_file(folder, 20 * BATCH)
    peers = {"alone": 1 / alone, "together": 1 / together, "bare put": bare_put, "bare work": bare_work, "plain": plain}
    return tell(options.tasks, few, many, peers, (before, now, peak))


def tell(
    tasks: int,
    few: dict[str, float],
    many: dict[str, float],
    peers: dict[str, float],
    memory: tuple[float, float, float],
) -> int:
    table = Table()
    table.rate("put, batches of 1,000, around 1,000 pending", few["put"])
    table.growth(f"put, {tasks:,} pending", many["put"], few["put"], PUT_LIMIT)
    table.rate("lease and end in 32s, around 1,000 pending", few["work"])
    table.growth(f"lease and end, {tasks:,} pending", many["work"], few["work"], WORK_LIMIT)
    good = many["all"] <= 1 / ALL_LIMIT
    table.row(f"lease, begin and end, {tasks:,} pending", rate(many["all"]), f"≥ {ALL_LIMIT:,} /s", good=good)
    table.rate("put one by one, each awaited", peers["alone"])
    table.rate("put one by one, 2,000 callers at once", peers["together"])
    table.rate("peer: bare SQLite, put", peers["bare put"], f"  ours x {few['put'] / peers['bare put']:.2f}")
    table.rate(
        "peer: bare SQLite, claim and end", peers["bare work"], f"  ours x {few['work'] / peers['bare work']:.2f}"
    )
    table.rate("peer: append and fsync", peers["plain"], f"  ours x {few['put'] / peers['plain']:.2f}")
    table.row(f"counts() with {tasks:,}", f"{many['counts'] * 1e3:.2f} ms")
    figure = "{:.0f} MB before, {:.0f} MB after, peak {:.0f} MB".format(*memory)
    table.row("memory", figure, f"≤ {MEMORY_LIMIT} MB", good=memory[2] <= MEMORY_LIMIT)
    return 1 if table.over else 0


if __name__ == "__main__":
    sys.exit(main())
