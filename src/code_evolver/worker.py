"""The worker: takes one leased task at a time from the asyncio queue through its journey to its one end.

It decides nothing about drafts (core.journey does) and does nothing to the outside itself (ports do). Ends are committed in
batches: within `LINGER_SECONDS`, and before a new program is started. Outcome events are made after the commit.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from code_evolver.core.budget import Account
from code_evolver.core.errors import (
    BudgetSpent,
    DiskFull,
    ModelError,
    ModelTruncated,
    ModelUnavailable,
    StoreError,
    Unexpected,
)
from code_evolver.core.journey import (
    PATIENCE_SECONDS,
    RETRY_SECONDS,
    AskCode,
    AskPlan,
    Deferred,
    Ending,
    Generated,
    Refused,
    Rejected,
    Said,
    Situation,
    Step,
    Trouble,
    Try,
    journey,
)
from code_evolver.core.shape import node_key, program_key
from code_evolver.core.strict_json import escape
from code_evolver.core.task import Task
from code_evolver.core.task_types import TaskType, known
from code_evolver.patience import patiently
from code_evolver.ports import Ask, Emit, End, Known, Lease, Models, Prompts, Queue, Shelf

LINGER_SECONDS = 0.05
_ROOM_SECONDS = 10.0
LONGEST_DEFERRAL_SECONDS = 60.0
"""How long a task waits at most for what is no failure of its own, unless a longer wait was asked for."""
STARTS_LIMIT = 10
KeepPrompts = Callable[[str, str, Generated], None]
"""Keep what models were asked and said for (node, task id, program with its drafts). Blocking, never raises."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say about the work."""

    model_per: str = "program"
    max_failures: int = 5
    model_code_may_run: bool = True
    models_off: bool = False
    patience_seconds: float = PATIENCE_SECONDS
    """How long a known type waits for models that are down before it is composed."""
    task_seconds: float = 3600.0
    """How long one task may keep models busy, everything that is asked again included."""
    keep_prompts: KeepPrompts | None = None
    """Where what led to an accepted program is put; None: nowhere."""
    tools: tuple[str, ...] = ()


class Worker:
    """Works tasks off, one at a time."""

    def __init__(
        self,
        queue: Queue,
        shelf: Shelf,
        models: Models,
        prompts: Prompts,
        emit: Emit,
        policy: Policy,
        *,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the ports. `ticks`: seconds that go on whatever is done to the system's clock."""
        self._queue = queue
        self._shelf = shelf
        self._models = models
        self._prompts = prompts
        self._emit = emit
        self._policy = policy
        self._ticks = ticks
        self._ends: list[tuple[End, Mapping[str, Any]]] = []
        self._committing: asyncio.Future[None] | None = None
        self._in_work: Lease | None = None
        self._usage: dict[str, float] = {}
        self._until = 0.0
        self._unflushed_since = 0.0

    async def run(self, feed: "asyncio.Queue[Lease]") -> None:
        """Work off what the feed gives, for ever; cancel it to stop. Call `wind_up` afterwards."""
        while True:
            self._in_work = await self._next(feed)
            await self._work_guarded(self._in_work)
            self._in_work = None
            feed.task_done()

    async def wind_up(self) -> None:
        """Commit the ends that wait, and give back the task that was in work: being stopped is no crash. Raises DiskFull."""
        await self.flush()
        if self._in_work is not None:
            await self._queue.release([self._in_work])
            self._in_work = None

    async def _next(self, feed: "asyncio.Queue[Lease]") -> Lease:
        if feed.empty() or self._lingered():
            await self._flush_patiently()
        return await feed.get()

    def _lingered(self) -> bool:
        return bool(self._ends) and self._ticks() - self._unflushed_since > LINGER_SECONDS

    async def _work_guarded(self, lease: Lease) -> None:
        """Work on one task; a bug, or a trouble of this one task, must not stop the others. Raises StoreError of the queue."""
        try:
            await self.work(lease)
        except DiskFull as error:
            await self._postpone(lease, Deferred(_ROOM_SECONDS, error.message, failure=False))
        except StoreError as error:  # a node's file; where it is the queue's own, it cannot be postponed either
            await self._postpone(lease, Deferred(RETRY_SECONDS, error.message, failure=True))
        except Exception as error:  # noqa: BLE001 - the worker loop: one of the two places that may catch everything
            reason = escape(f"unexpected: {type(error).__name__}: {error}"[:500])
            await self._postpone(lease, Deferred(RETRY_SECONDS, reason, failure=True))

    async def work(self, lease: Lease) -> None:
        """Take one task to its end, its delay, or its dead letter. Raises StoreError, DiskFull."""
        task = lease.task
        self._usage = {}
        row = known(task.type)
        keys = (program_key(task), node_key(task, per="node" if self._policy.model_per == "node" else "program"))
        found = self._shelf.known(task, keys)
        if found and lease.starts == 0:
            found = replace(
                found, source=False
            )  # made for an earlier task of the same id: it was never worked on itself
        if found and (found.source or (found.covered and not found.bad)):
            self._announce(lease)
            self._end_known(lease, found)
            return
        await self._flush_patiently()
        if not await self._queue.begin(lease):
            return
        self._announce(lease)
        if found and not found.bad:
            covered = await asyncio.to_thread(self._shelf.extend, task, row, found.name)
            if covered:
                self._end_known(lease, found)
                return
        self._until = time.time() + self._policy.task_seconds
        await self._generate(lease, row, keys, found.name if found and found.bad else "")

    def _announce(self, lease: Lease) -> None:
        self._emit(
            "processing_task",
            task_id=lease.task.id,
            task_type=lease.task.type,
            name=lease.task.name[:200],
            start=lease.starts + 1,
        )

    def _end_known(self, lease: Lease, found: Known) -> None:
        outcome = "generated" if found.source else "reused"
        if outcome == "reused":
            self._emit("workflow_reused", task_id=lease.task.id, node_id=found.name)
        self._add(End(lease, outcome, node=found.name, usage=dict(self._usage)))  # type: ignore[arg-type]  # a literal by the line above

    async def _generate(self, lease: Lease, row: TaskType | None, keys: tuple[str, str], bad: str) -> None:
        """Make a node. `bad`: the present one, which people call bad; it serves where no successor can be made."""
        ending = await self._drive(await self._situation(lease.task, row, keys))
        if bad and not isinstance(ending, Generated):
            if isinstance(ending, Rejected):
                self._shelf.settle(bad)
            self._end_known(lease, Known(bad, source=False, covered=True))
        elif isinstance(ending, Deferred):
            await self._postpone(lease, ending)
        elif isinstance(ending, Rejected):
            await self._bury(lease, ending)
        else:
            await self._keep(lease, row, keys, ending)

    async def _situation(self, task: Task, row: TaskType | None, keys: tuple[str, str]) -> Situation:
        program = self._shelf.program(keys[0]) if self._policy.model_per == "program" else None
        use = self._models.configured and not self._policy.models_off
        down = await self._models.down_since() if use and not program else None
        return Situation(
            task=task,
            row=row,
            tiers=("general", *self._models.tiers_above("general")) if use else (),
            configured=self._models.configured,
            down_seconds=None if down is None else time.time() - down,
            patience_seconds=self._policy.patience_seconds,
            program=program,
            model_code_may_run=self._policy.model_code_may_run,
            tools=self._policy.tools,
        )

    async def _drive(self, situation: Situation) -> Ending:
        """Answer the journey's steps until it ends."""
        steps = journey(situation)
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as stop:
                ending: Ending = stop.value
                return ending
            answer = await self._do(situation, step)

    async def _do(self, situation: Situation, step: Step) -> Any:
        task = situation.task
        match step:
            case AskPlan():
                return await self._ask(self._prompts.plan(task, step.tier))
            case AskCode():
                return await self._ask(self._prompts.code(task, step))
            case Try():
                return await asyncio.to_thread(self._shelf.prove, task, situation.row, step)
            case Refused():
                self._usage["repairs"] = self._usage.get("repairs", 0) + 1
                findings = [finding.as_dict() for finding in step.draft.findings]
                self._emit("workflow_rejected", task_id=task.id, generator=step.draft.generator, findings=findings)
                if step.draft.answer:
                    self._shelf.learn(task, program_key(task), step.draft.findings)
                return None

    async def _ask(self, ask: Ask) -> Said | Trouble:
        before = self._models.spent
        try:
            if time.time() >= self._until:
                return self._late("nothing more is asked")
            reply = await self._models.ask(replace(ask, until=self._until))
        except ModelError as error:
            is_late = isinstance(error, ModelUnavailable) and time.time() >= self._until - 1.0
            return self._late(error.message) if is_late else _trouble(error)
        finally:
            self._account(before, self._models.spent)
        return Said(reply.text, reply.backend, reply.model, f"{ask.system}\n\n{ask.user}")

    def _late(self, last: str) -> Trouble:
        message = f"The {self._policy.task_seconds:g} s that one task may keep models busy have run out; last: {last}"
        return Trouble("late", message, "llm_late")

    def _account(self, before: Account, after: Account) -> None:
        """Add what was spent in between: answers that were of no use cost as well."""
        for key, value in (after - before).items():
            self._usage[key] = self._usage.get(key, 0) + value

    async def _keep(self, lease: Lease, row: TaskType | None, keys: tuple[str, str], made: Generated) -> None:
        made = replace(
            made, generator={**made.generator, **{key: round(value, 3) for key, value in self._usage.items()}}
        )
        name, path = await asyncio.to_thread(self._shelf.save, lease.task, row, keys, made)
        if not path:
            self._end_known(lease, Known(name, source=False, covered=True))
            return
        kind = made.generator["kind"]
        self._emit("workflow_generated", task_id=lease.task.id, workflow_name=name, generator=kind)
        self._emit("workflow_verified", task_id=lease.task.id, workflow_name=name, **made.proof.level)
        if kind == "copy":
            self._emit("workflow_copied", task_id=lease.task.id, node_id=name, of=made.generator["of"])
        self._emit("workflow_saved", task_id=lease.task.id, node_id=name, path=path)
        if self._policy.keep_prompts and kind == "model":
            await asyncio.to_thread(self._policy.keep_prompts, name, lease.task.id, made)
        self._add(End(lease, "generated", node=name, usage=dict(self._usage)))
        await self._flush_patiently()

    async def _bury(self, lease: Lease, ending: Rejected) -> None:
        drafts = tuple(draft.as_dict() for draft in ending.drafts)
        self._add(End(lease, "failed", reason=ending.reason, code=ending.code, drafts=drafts, usage=dict(self._usage)))
        await self._flush_patiently()

    async def _postpone(self, lease: Lease, ending: Deferred) -> None:
        if ending.failure and lease.failures + 1 >= self._policy.max_failures:
            reason = f"gave up after {lease.failures + 1} attempts: {ending.reason}"
            await self._bury(lease, Rejected(reason, "attempts_spent", ending.drafts))
            return
        seconds = pause_of(lease, ending)
        self._emit("task_retrying", task_id=lease.task.id, seconds=round(seconds, 1), reason=ending.reason)
        await patiently(lambda: self._queue.postpone(lease, seconds, ending.reason, failure=ending.failure), self._emit)

    def _add(self, end: End) -> None:
        if not self._ends:
            self._unflushed_since = self._ticks()
        self._ends.append((end, {"task_id": end.lease.task.id}))

    async def flush(self) -> None:
        """Commit the ends that wait, then tell of them, also where the caller is cancelled. Raises DiskFull: they still wait."""
        if self._committing is None or self._committing.done():
            self._committing = asyncio.ensure_future(self._commit())
        await asyncio.shield(self._committing)

    async def _flush_patiently(self) -> None:
        await patiently(self.flush, self._emit)

    async def _commit(self) -> None:
        ends = list(self._ends)
        if not ends:
            return
        try:
            done = await self._queue.finish([end for end, _ in ends])
        except Unexpected:
            await self._commit_each(len(ends))
            return
        del self._ends[: len(ends)]
        for (end, fields), mine in zip(ends, done, strict=True):
            if mine:
                self._tell(end, fields)

    async def _commit_each(self, number: int) -> None:
        """Commit ends of which one cannot be stored: it must hold up neither the others nor every later run."""
        for _ in range(number):
            end, fields = self._ends[0]
            try:
                (mine,) = await self._queue.finish([end])
            except Unexpected as error:
                end = _bare(end, error)
                (mine,) = await self._queue.finish([end])
            del self._ends[0]
            if mine:
                self._tell(end, fields)

    def _tell(self, end: End, fields: Mapping[str, Any]) -> None:
        if end.outcome == "failed":
            cost = dict(end.usage)
            self._emit("task_dead_lettered", **fields, reason=end.reason, code=end.code, drafts=len(end.drafts), **cost)
        else:
            self._emit("task_completed", **fields, outcome=end.outcome, node_id=end.node, **dict(end.usage))


def _bare(end: End, error: Unexpected) -> End:
    """Give an end without what may not be storable: its account, its drafts, words of others."""
    lost = f"{escape(end.reason)[:300]} Its drafts and its account are lost: {escape(error.message)}"
    return replace(end, reason=lost.strip() if end.outcome == "failed" else "", drafts=(), usage={})


def pause_of(lease: Lease, ending: Deferred) -> float:
    """Give for how long a task is postponed: longer each time, for many that all wait must not keep us busy."""
    if ending.failure:
        return float(ending.seconds * 2**lease.failures)
    return max(ending.seconds, min(LONGEST_DEFERRAL_SECONDS, ending.seconds * 2.0 ** min(lease.starts, 10)))


def _trouble(error: ModelError) -> Trouble:
    if isinstance(error, ModelUnavailable):
        return Trouble("unavailable", error.message, error.actual_code, wait=max(error.retry_after or 0.0, 5.0))
    if isinstance(error, BudgetSpent):
        return Trouble("budget", error.message, error.actual_code)
    if isinstance(error, ModelTruncated):
        return Trouble("truncated", error.message, error.actual_code)
    return Trouble("refused", error.message, error.actual_code)


async def _take(queue: Queue, size: int) -> Sequence[Lease]:
    """Lease; where we are cancelled meanwhile, give back what was leased all the same."""
    taking = asyncio.ensure_future(queue.lease(size))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        with contextlib.suppress(StoreError):
            await queue.release(await taking)
        raise


async def feed_leases(queue: Queue, feed: "asyncio.Queue[Lease]", wake: asyncio.Event, *, most: int = 64) -> None:
    """Move leases from the disk to the asyncio queue: few ahead while tasks are slow, so that a new urgent one waits for few."""
    loop = asyncio.get_running_loop()
    size = 1
    while True:
        wake.clear()
        leases = await patiently(partial(_take, queue, size))
        began = loop.time()
        for lease in leases:
            await feed.put(lease)
        if leases:
            await feed.join()
            size = min(size * 2, most) if loop.time() - began < LINGER_SECONDS else 1
        else:
            await _wait_for_work(queue, wake)


async def _wait_for_work(queue: Queue, wake: asyncio.Event, longest: float = 30.0) -> None:
    due = await queue.next_due()
    seconds = longest if due is None else min(longest, max(0.02, due - time.time()))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()
