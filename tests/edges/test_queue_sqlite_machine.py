"""A state machine drives the real store, reopens it at random points, and holds it against a plain model."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from code_evolver.edges.queue_sqlite import SqliteQueue, read_status
from code_evolver.ports import End, Lease
from tests.queue_helpers import Clock, refusal, task

OUTCOMES = st.sampled_from(["generated", "reused", "failed"])


class QueueMachine(RuleBasedStateMachine):
    """Model: what was accepted, which ids wait, how the others ended."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "queue.db"
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.held: list[Lease] = []
        self.lost: list[Lease] = []
        self.waiting: list[tuple[str, str]] = []
        self.seen: set[tuple[str, str]] = set()
        self.ends = {"generated": 0, "reused": 0, "failed": 0}
        self.numbers = {"rejected": 0, "duplicates": 0, "received": 0}
        self.open()

    def open(self) -> None:
        self.queue = SqliteQueue.open(
            self.path, clock=self.clock, longest_wait=50.0, lease_seconds=1000.0, reserve_bytes=0
        )

    def wait(self, call: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(call, 20))

    @rule(
        items=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 2)), max_size=6),
        refused=st.lists(st.sampled_from([b"a", b"b"]), max_size=2),
    )
    def put(self, items, refused):
        tasks = [task(str(number), f"text {content}", priority=priority) for number, content, priority in items]
        answers = self.wait(self.queue.put(tasks, [refusal(raw) for raw in refused]))
        for one, answer in zip(tasks, answers, strict=True):
            key = (one.id, one.digest)
            if key in self.seen:
                expected = "duplicate"
                self.numbers["duplicates"] += 1
            else:
                expected = "revised" if any(known == one.id for known, _ in self.seen) else "queued"
                self.seen.add(key)
                self.waiting.append(key)
                self.numbers["received"] += 1
            assert answer == expected
        self.numbers["rejected"] += len(refused)

    @rule(limit=st.integers(1, 3))
    def lease(self, limit):
        found = self.wait(self.queue.lease(limit))
        held = {(lease.task.id, lease.task.digest) for lease in self.held}
        for lease in found:
            assert (lease.task.id, lease.task.digest) in self.waiting
            assert (lease.task.id, lease.task.digest) not in held
        self.held += found

    @precondition(lambda self: self.held)
    @rule()
    def begin(self):
        assert self.wait(self.queue.begin(self.held[0]))

    @precondition(lambda self: self.held)
    @rule(outcome=OUTCOMES, number=st.integers(1, 3))
    def finish(self, outcome, number):
        ends = [End(lease, outcome, "node", "reason", "code") for lease in self.held[:number]]
        lost = [End(lease, outcome) for lease in self.lost[:1]]
        assert self.wait(self.queue.finish([*ends, *lost])) == [True] * len(ends) + [False] * len(lost)
        for end in ends:
            self.waiting.remove((end.lease.task.id, end.lease.task.digest))
            self.ends[outcome] += 1
        self.lost += self.held[:number]
        del self.held[:number]

    @precondition(lambda self: self.held)
    @rule(seconds=st.sampled_from([0.0, 10.0, 500.0]), failure=st.booleans())
    def postpone(self, seconds, failure):
        assert self.wait(self.queue.postpone(self.held[0], seconds, "later", failure=failure))
        self.lost.append(self.held.pop(0))

    @precondition(lambda self: self.held)
    @rule()
    def release(self):
        self.wait(self.queue.release(self.held))
        self.lost += self.held
        self.held = []

    @rule(seconds=st.sampled_from([1.0, 60.0, -60.0]))
    def time_passes(self, seconds):
        self.clock.now += seconds

    @rule()
    def retry_or_drop(self):
        letters = self.wait(self.queue.dead_letters(0, 100))
        assert sum(letter.count for letter in letters if letter.kind == "refused") <= self.numbers["rejected"]
        dead = [letter for letter in letters if letter.kind == "task"]
        if dead:
            assert self.wait(self.queue.retry_dead([dead[0].key])) == 1
            assert dead[0].task is not None
            self.waiting.append((dead[0].task.id, dead[0].task.digest))
            self.ends["failed"] -= 1
            assert self.wait(self.queue.drop_dead([letter.key for letter in dead[1:2]])) == len(dead[1:2])

    @rule(orderly=st.booleans())
    def reopen(self, orderly):
        if orderly:
            self.wait(self.queue.close())
        else:
            self.crash()
        self.open()
        assert self.queue.notices == []
        assert self.wait(self.queue.recover()) == len(self.waiting)
        self.lost += self.held
        self.held = []

    def crash(self):
        """Leave the file as a kill would: copy it with its -wal, go on with the copy."""
        target = self.path.with_name("x" + self.path.name)
        for side in ("", "-wal"):
            source = Path(f"{self.path}{side}")
            if source.exists():
                Path(f"{target}{side}").write_bytes(source.read_bytes())
        self.wait(self.queue.close())
        self.path = target

    @invariant()
    def nothing_is_lost_or_ended_twice(self):
        found = self.wait(self.queue.counts())
        assert (found.generated, found.reused, found.failed) == tuple(self.ends.values())
        assert found.pending == len(self.waiting)
        assert found.received == self.numbers["received"] == sum(self.ends.values()) + found.pending
        assert (found.rejected, found.duplicates) == (self.numbers["rejected"], self.numbers["duplicates"])
        assert read_status(self.path, self.clock.now).counts == found

    def teardown(self):
        self.wait(self.queue.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
