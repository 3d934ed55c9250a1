"""What a task costs by how much of it is known: `python benchmarks/reuse.py [--known 10000] [--profile]`.

The real worker, queue, shelf, proof and sandbox, without a hub and without a model: a known node (reused), a known program
under a new subject (proven copy), a new program (composed, proven, saved). One durable end each.
"""

import argparse
import asyncio
import cProfile
import itertools
import pstats
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from code_evolver.assembly import Parts, assemble
from code_evolver.configuration import load
from code_evolver.core.message import read_message
from code_evolver.core.settings import Layer
from code_evolver.core.task import Task
from code_evolver.core.task_reading import CONTENT_FIELDS
from code_evolver.worker import feed_leases

OTHER_FIELDS = [name for name in CONTENT_FIELDS if name not in ("content", "prompt", "text", "body", "input")]
WORDS = [f"{first}{last}" for first in ("bar", "cor", "del", "fen", "gim", "hol", "jun", "kel", "lor", "mir")
         for last in ("ane", "ock", "uvi", "esk", "ady", "oll", "ipo", "urn", "ent", "abo")]  # fmt: skip


def task(number: int, subject: str, fields: Iterable[str] = ("content",), languages: Iterable[str] = ("fr",)) -> Task:
    """Make a task as a hub sends it, read as the program reads it."""
    raw = {"id": f"task-{number}", "taskName": f"Summary of {subject}", "taskType": "summarize",
           **{name: f"Text {number} of the {name}, a few words long." for name in fields},
           "translationLanguages": [{"from": "en", "to": to} for to in languages]}  # fmt: skip
    return read_message([raw], raw=b"", hub_name="TaskHub").tasks[0]


def known(count: int, keys: int = 100) -> list[Task]:
    return [task(number, f"{WORDS[number % keys]} report") for number in range(count)]


def copies(count: int, at: int = 0) -> list[Task]:
    subjects = (f"{one} {two} letter" for one, two in itertools.product(WORDS, WORDS))
    return [task(at + number, subject) for number, subject in enumerate(itertools.islice(subjects, count))]


def programs(count: int, at: int = 0) -> list[Task]:
    """Make tasks of so many program keys: each asks for other content fields."""
    kinds = (("content", *some) for size in (1, 2, 3) for some in itertools.combinations(OTHER_FIELDS, size))
    return [
        task(at + number, f"{WORDS[number % 100]} note", kind)
        for number, kind in enumerate(itertools.islice(kinds, count))
    ]


async def work_off(parts: Parts, tasks: list[Task]) -> float:
    """Put the tasks, then work all off; give the seconds of the work alone."""
    for start in range(0, len(tasks), 1000):
        await parts.queue.put(tasks[start : start + 1000], [])
    feed: Any = asyncio.Queue(64)
    began = time.perf_counter()
    jobs = [
        asyncio.ensure_future(feed_leases(parts.queue, feed, asyncio.Event())),
        asyncio.ensure_future(parts.worker.run(feed)),
    ]
    while (await parts.queue.counts()).pending:
        done, _ = await asyncio.wait(jobs, timeout=0.02, return_when=asyncio.FIRST_COMPLETED)
        for job in done:
            job.result()
    seconds = time.perf_counter() - began
    for job in jobs:
        job.cancel()
    await asyncio.wait(jobs)
    return seconds


async def measure(folder: Path, counts: dict[str, int], profile: str) -> dict[str, float]:
    emit_count = 0

    def emit(_name: str, /, **_fields: Any) -> None:
        nonlocal emit_count
        emit_count += 1

    resolved = load(Layer({"workspace": str(folder), "llm": "off"}, {}))
    found: dict[str, float] = {}

    async def timed(name: str, tasks: list[Task]) -> None:
        profiler = cProfile.Profile() if profile == name else None
        if profiler:
            profiler.enable()
        found[name] = await work_off(parts, tasks) / len(tasks)
        if profiler:
            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(25)

    async with assemble(resolved, emit, hub=False) as parts:
        await asyncio.to_thread(parts.shelf.open)
        await parts.queue.recover()
        await timed("first", programs(1))
        await timed("program", programs(counts["programs"] + 1, at=1_000_000)[1:])
        await timed("copy", copies(counts["copies"], at=2_000_000))
        await work_off(parts, known(100))
        before = len(parts.index)
        await timed("known", known(100 + counts["known"])[100:])
        assert len(parts.index) == before
        ended = await parts.queue.counts()
        assert ended.failed == 0, ended
        assert ended.reused == counts["known"], ended
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, default=10_000)
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--programs", type=int, default=40)
    parser.add_argument(
        "--profile", default="", choices=("", "known", "copy", "program"), help="say where the time of one goes"
    )
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        counts = {"known": options.known, "copies": options.copies, "programs": options.programs}
        found = asyncio.run(measure(Path(name), counts, options.profile))
    print(
        f"known node → completed   {1 / found['known']:>8,.0f} /s   {found['known'] * 1e3:>7.2f} ms   (aim ≥ 1,000 /s)"
    )
    print(
        f"proven copy              {1 / found['copy']:>8,.1f} /s   {found['copy'] * 1e3:>7.2f} ms   (aim ≥ 25 /s, ≤ 30 ms)"
    )
    print(
        f"new program, no model    {1 / found['program']:>8,.1f} /s   {found['program'] * 1e3:>7.2f} ms   (aim ≥ 6 /s)"
    )
    print(f"the very first           {'':>8}      {found['first'] * 1e3:>7.2f} ms   (aim ≤ 150 ms)")
    print(
        f"a copy costs {found['copy'] / found['program']:.2f} of a new program, a known node {found['known'] / found['copy']:.3f} of a copy"
    )


if __name__ == "__main__":
    main()
