"""A state machine drives the real store, kills it between and inside operations, and holds it against a plain model."""

import asyncio
import copy
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from code_evolver.core.lifecycle import Put
from code_evolver.core.task import Task
from code_evolver.edges.queue_sqlite import SqliteQueue, read_status
from code_evolver.ports import End, Lease, Outcome
from tests.killed_inside import Call, Moment, killed_inside, seen_outside
from tests.queue_helpers import Clock, refusal, task

OUTCOMES = st.sampled_from(["generated", "reused", "failed"])
ITEMS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 2)), max_size=6)
REFUSED = st.lists(st.sampled_from([b"a", b"b"]), max_size=2)
MOMENTS = st.one_of(
    st.tuples(st.just("statement"), st.integers(1, 16)), st.tuples(st.just("byte"), st.integers(0, 60_000))
)


def made(items: Sequence[tuple[int, int, int]]) -> list[Task]:
    return [task(str(number), f"text {content}", priority=priority) for number, content, priority in items]


@dataclass
class Model:
    """What was accepted, which ids wait, how the others ended."""

    waiting: list[tuple[str, str]] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)
    ends: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    duplicates: int = 0

    def put(self, tasks: Sequence[Task], refused: int) -> list[Put]:
        self.rejected += refused
        return [self._put(one) for one in tasks]

    def _put(self, one: Task) -> Put:
        key = (one.id, one.digest)
        if key in self.seen:
            self.duplicates += 1
            return "duplicate"
        revised = any(known == one.id for known, _ in self.seen)
        self.seen.add(key)
        self.waiting.append(key)
        return "revised" if revised else "queued"

    def end(self, leases: Sequence[Lease], outcome: Outcome) -> None:
        for lease in leases:
            self.waiting.remove((lease.task.id, lease.task.digest))
            self.ends[outcome] += 1

    def shown(self) -> tuple[Any, ...]:
        """What can be seen of it from outside."""
        numbers = (self.ends["generated"], self.ends["reused"], self.ends["failed"], len(self.waiting), len(self.seen))
        return (*numbers, self.rejected, self.duplicates, Counter(known for known, _ in self.waiting))


class QueueMachine(RuleBasedStateMachine):
    """The real store beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "queue.db"
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.held: list[Lease] = []
        self.lost: list[Lease] = []
        self.model = Model()
        self.queue = SqliteQueue.open(self.path, **self.options())

    def options(self) -> dict[str, Any]:
        return {"clock": self.clock, "longest_wait": 50.0, "lease_seconds": 1000.0, "reserve_bytes": 0}

    def wait(self, call: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(call, 20))

    @rule(items=ITEMS, refused=REFUSED)
    def put(self, items, refused):
        tasks = made(items)
        expected = self.model.put(tasks, len(refused))
        assert list(self.wait(self.queue.put(tasks, [refusal(raw) for raw in refused]))) == expected

    @rule(limit=st.integers(1, 3))
    def lease(self, limit):
        found = self.wait(self.queue.lease(limit))
        held = {(lease.task.id, lease.task.digest) for lease in self.held}
        for lease in found:
            assert (lease.task.id, lease.task.digest) in self.model.waiting
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
        self.model.end(self.held[:number], outcome)
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
        assert sum(letter.count for letter in letters if letter.kind == "refused") <= self.model.rejected
        dead = [letter for letter in letters if letter.kind == "task"]
        if dead:
            assert self.wait(self.queue.retry_dead([dead[0].key])) == 1
            assert dead[0].task is not None
            self.model.waiting.append((dead[0].task.id, dead[0].task.digest))
            self.model.ends["failed"] -= 1
            assert self.wait(self.queue.drop_dead([letter.key for letter in dead[1:2]])) == len(dead[1:2])

    @rule(orderly=st.booleans())
    def reopen(self, orderly):
        if orderly:
            self.wait(self.queue.close())
        else:
            self.crash()
        self.go_on()

    def go_on(self):
        """Start anew on the file as it is."""
        self.queue = SqliteQueue.open(self.path, **self.options())
        assert self.queue.notices == []
        assert self.wait(self.queue.recover()) == len(self.model.waiting)
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

    # ── death inside an operation ────────────────────────────────────────────────────────────────────────────────────
    @precondition(lambda _self: hasattr(os, "fork"))
    @rule(moment=MOMENTS, items=ITEMS, refused=REFUSED)
    def die_while_putting(self, moment, items, refused):
        after = copy.deepcopy(self.model)
        after.put(made(items), len(refused))
        self.die(moment, lambda queue: queue.put(made(items), [refusal(raw) for raw in refused]), after)

    @precondition(lambda self: hasattr(os, "fork") and self.model.waiting)
    @rule(moment=MOMENTS, outcome=OUTCOMES)
    def die_while_ending(self, moment, outcome):
        self.lease(2)
        after = copy.deepcopy(self.model)
        after.end(self.held, outcome)
        ends = [End(lease, outcome, "node", "reason", "code") for lease in self.held]
        self.die(moment, lambda queue: queue.finish(ends), after)

    @precondition(lambda self: hasattr(os, "fork") and self.held)
    @rule(moment=MOMENTS, what=st.sampled_from(["lease", "begin", "postpone", "release", "recover"]))
    def die_while_moving(self, moment, what: Literal["lease", "begin", "postpone", "release", "recover"]):
        calls: dict[str, Call] = {
            "lease": lambda queue: queue.lease(3),
            "begin": lambda queue: queue.begin_many(self.held),
            "postpone": lambda queue: queue.postpone(self.held[0], 10.0, "later", failure=True),
            "release": lambda queue: queue.release(self.held),
            "recover": lambda queue: queue.recover(),
        }
        self.die(moment, calls[what], self.model)

    def die(self, moment: Moment, call: Call, after: Model) -> None:
        """Let another process do `call` and be killed there; it happened or it did not, and nothing between the two."""
        self.crash()
        done = killed_inside(self.path, moment, call, **self.options())
        found = seen_outside(self.path, self.clock.now)
        assert found == after.shown() or (not done and found == self.model.shown()), (found, after, self.model)
        if found == after.shown():
            self.model = after
        self.go_on()

    @invariant()
    def nothing_is_lost_or_ended_twice(self):
        found = self.wait(self.queue.counts())
        assert seen_outside(self.path, self.clock.now) == self.model.shown()
        assert found.received == sum(self.model.ends.values()) + found.pending
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
