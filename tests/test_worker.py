"""The worker's ends: one that cannot be stored holds up neither the others nor any later run."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from code_evolver.core.budget import Account
from code_evolver.core.errors import ModelRefused
from code_evolver.core.question import Ask
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.ports import End, Known, Lease
from code_evolver.worker import LINGER_SECONDS, Policy, Worker, feed_leases
from tests.queue_helpers import Clock, read, task, tell


class Odd:
    """A model server that counts more tokens than any database takes, and says words that none takes."""

    configured = True
    spent = Account()

    def __init__(self, words: str) -> None:
        self.words = words

    async def down_since(self) -> None:
        return None

    def tiers_above(self, _tier: str) -> tuple[str, ...]:
        return ()

    async def ask(self, _ask: Ask) -> Any:
        self.spent = Account(tokens_in=self.spent.tokens_in + 10**400)
        raise ModelRefused(self.words, "")


class OneNode:
    """A shelf on which a node for every summarize task stands."""

    def known(self, wanted: Any, _keys: Any) -> Known | None:
        return Known("n", source=False, covered=True) if wanted.type == "summarize" else None

    def program(self, _key: str) -> None:
        return None


class Plain:
    """Questions that nobody answers."""

    def plan(self, _task: Any, tier: Any) -> Ask:
        return Ask(purpose="code", tier=tier, system="s", user="u")

    def code(self, _task: Any, _step: Any) -> Ask:
        return self.plan(_task, "general")


async def worked_off(queue: SqliteQueue, worker: Worker) -> None:
    feed: asyncio.Queue[Lease] = asyncio.Queue(64)
    jobs = [asyncio.ensure_future(job) for job in (feed_leases(queue, feed, asyncio.Event()), worker.run(feed))]
    while (await queue.counts()).pending and not any(job.done() for job in jobs):  # noqa: ASYNC110 - the file is watched
        await asyncio.sleep(0.01)
    for job in jobs:
        job.cancel()
    await asyncio.wait(jobs)
    await worker.wind_up()
    assert all(job.cancelled() for job in jobs)


@pytest.mark.parametrize("words", ["no", "half \ud800"])
def test_an_end_that_cannot_be_stored_ends_its_task_without_what_it_cost(tmp_path: Path, words: str):
    told: list[tuple[str, Any]] = []

    async def story(queue: SqliteQueue) -> None:
        odd = read({"id": "odd", "taskName": "x", "taskType": "weird", "content": "c"})
        await queue.put([task("0"), odd, *(task(str(number)) for number in range(1, 20))], [])
        models: Any = Odd(words)
        shelf: Any = OneNode()
        prompts: Any = Plain()
        worker = Worker(queue, shelf, models, prompts, lambda name, /, **fields: told.append((name, fields)), Policy())
        await worked_off(queue, worker)
        counts = await queue.counts()
        assert (counts.reused, counts.failed, counts.pending) == (20, 1, 0)
        (letter,) = await queue.dead_letters()
        assert (letter.id, letter.code) == ("odd", "llm_refused")
        assert "could not be stored" in letter.reason

    tell(tmp_path / "queue.db", story)
    assert [fields["task_id"] for name, fields in told if name == "task_dead_lettered"] == ["odd"]
    assert len([name for name, _ in told if name == "task_completed"]) == 20


def test_a_task_whose_account_cannot_be_stored_keeps_its_outcome(tmp_path: Path):
    told: list[str] = []

    async def story(queue: SqliteQueue) -> None:
        await queue.put([task("1"), task("2"), task("3")], [])
        nobody: Any = None
        worker = Worker(queue, nobody, nobody, nobody, lambda name, /, **_: told.append(name), Policy())
        for lease in await queue.lease(3):
            worker._add(End(lease, "generated", node="n", usage={"tokens_in": 10**400 if lease.seq == 2 else 5}))
        await worker.flush()
        assert (await queue.counts()).generated == 3

    tell(tmp_path / "queue.db", story)
    assert told == ["task_completed"] * 3


class Measured:
    """A queue beside which a clock is read: how old the ends are that it is given."""

    def __init__(self, queue: SqliteQueue, now: Any) -> None:
        self._queue = queue
        self._now = now
        self.ages: list[float] = []
        self.ended: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def finish(self, ends: Any) -> Any:
        self.ages += [self._now() - self.ended[end.lease.task.id] for end in ends]
        return await self._queue.finish(ends)


class SlowNode(OneNode):
    """A shelf whose every look takes as long as it says, by a clock that only it moves."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.queue: Any = None

    def known(self, wanted: Any, keys: Any) -> Known | None:
        self.now += self.seconds
        self.queue.ended[wanted.id] = self.now
        return super().known(wanted, keys)


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.04])
def test_an_end_is_committed_within_50_ms_and_the_task_that_is_in_work(tmp_path: Path, seconds):
    async def story(queue: SqliteQueue) -> None:
        await queue.put([task(str(number)) for number in range(200)], [])
        shelf: Any = SlowNode(seconds)
        measured: Any = Measured(queue, lambda: shelf.now)
        shelf.queue = measured
        nobody: Any = None
        emit: Any = lambda *_, **__: None  # noqa: E731
        worker = Worker(measured, shelf, nobody, nobody, emit, Policy(), ticks=lambda: shelf.now)
        feed: asyncio.Queue[Lease] = asyncio.Queue()
        for lease in await queue.lease(200):
            feed.put_nowait(lease)
        working = asyncio.ensure_future(worker.run(feed))
        await asyncio.wait([working, joined := asyncio.ensure_future(feed.join())], return_when=asyncio.FIRST_COMPLETED)
        assert joined.done()
        working.cancel()
        await asyncio.wait([working])
        assert len(measured.ages) >= 200 - LINGER_SECONDS / seconds - 1
        assert max(measured.ages) <= LINGER_SECONDS + seconds + 1e-9
        await worker.wind_up()
        assert (await queue.counts()).reused == 200

    tell(tmp_path / "queue.db", story)


class Poisoned(OneNode):
    """A shelf on which one task meets a bug of ours, each time."""

    def known(self, wanted: Any, keys: Any) -> Known | None:
        if wanted.id == "poison":
            raise ZeroDivisionError
        return super().known(wanted, keys)


def test_a_poison_task_is_tried_again_ever_later_and_ends_in_the_dead_letters_while_the_others_go_on(tmp_path: Path):
    clock = Clock()
    told: list[tuple[str, Any]] = []
    nobody: Any = None
    shelf: Any = Poisoned()

    async def story(queue: SqliteQueue) -> None:
        worker = Worker(
            queue, shelf, nobody, nobody, lambda name, /, **fields: told.append((name, fields)), Policy(max_failures=5)
        )
        waits = []
        for attempt in range(1, 6):
            await queue.put(
                [task("poison"), task(f"good-{attempt}")] if attempt == 1 else [task(f"good-{attempt}")], []
            )
            for lease in await queue.lease(10):
                await worker._work_guarded(lease)
            await worker.flush()
            assert (await queue.counts()).reused == attempt
            if attempt < 5:
                waits.append((await queue.next_due() or 0.0) - clock.now)
                clock.now += waits[-1]
        assert waits == [5.0, 10.0, 20.0, 40.0]
        counts = await queue.counts()
        assert (counts.pending, counts.failed) == (0, 1)
        (letter,) = await queue.dead_letters()
        assert (letter.id, letter.code) == ("poison", "attempts_spent")
        assert "gave up after 5 attempts: unexpected: ZeroDivisionError" in letter.reason

    tell(tmp_path / "queue.db", story, clock=clock)
    assert [name for name, fields in told if fields.get("task_id") == "poison"] == [
        *["task_retrying"] * 4,
        "task_dead_lettered",
    ]
