"""The connector: everything that a run does, from the lock on the workspace to the result.

Phases: hold the workspace → assemble → recover → receive and work until asked to stop → drain → report → result.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from code_evolver import __version__
from code_evolver.assembly import Parts, assemble
from code_evolver.core.errors import (
    EXIT_DEAD_LETTERS,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    CodeEvolverError,
    DiskFull,
    HubError,
    HubUnreachable,
    ModelUnavailable,
    StoreError,
    failure,
)
from code_evolver.core.settings import Resolved, Settings
from code_evolver.core.tally import Tally
from code_evolver.intake import Intake, Keeping
from code_evolver.ports import Emit, End, Lease, Log
from code_evolver.reporter import Reporter
from code_evolver.requests import serve_requests
from code_evolver.stopping import StopRequest
from code_evolver.worker import feed_leases

_LAST_REPORTS_SECONDS = 2.0
_FILES_SECONDS = 0.5
_PRUNE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class _Counted:
    """The log of a run: whatever is told is counted first."""

    tally: Tally
    log: Log

    def emit(self, name: str, /, **fields: Any) -> None:
        self.tally.count(name, fields)
        self.log.emit(name, **fields)

    def emit_all(self, name: str, keys: tuple[str, ...], rows: Sequence[Sequence[str | int]]) -> None:
        self.tally.count_all(name, keys, rows)
        self.log.emit_all(name, keys, rows)


@dataclass(slots=True)
class Run:
    """What the phases share."""

    settings: Settings
    parts: Parts
    tally: Tally
    log: Log
    stop: StopRequest
    until: float = math.inf
    """When it is to end, in the event loop's time."""
    keeping: Keeping | None = None
    intake: Intake | None = None
    feed: "asyncio.Queue[Lease]" = field(default_factory=lambda: asyncio.Queue(64))
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    reporter: Reporter | None = None
    error: CodeEvolverError | None = None
    reason: str = "done"
    """Why it stopped."""

    @property
    def emit(self) -> Emit:
        """Report an event."""
        return self.log.emit


async def connect(
    resolved: Resolved,
    log: Log,
    *,
    stop: StopRequest,
    hub: bool = True,
    learn: Callable[[str], None] = lambda _secret: None,
) -> tuple[dict[str, Any], int]:
    """Do a whole run; give the result document and the exit code. `hub` False: work the queue off and end.

    `learn` is told each secret that comes up: the hub's tokens.

    Raises CodeEvolverError for what is wrong before the run begins; later errors are part of the result.
    """
    until = asyncio.get_running_loop().time() + (resolved.settings.duration_seconds or math.inf)
    tally = Tally(hub_name=resolved.settings.hub_name)
    counted = _Counted(tally, log)
    emit = counted.emit
    async with assemble(resolved, emit, hub=hub) as parts:
        run = Run(resolved.settings, parts, tally, counted, stop, until)
        run.keeping = Keeping(parts.output, emit) if parts.output else None
        parts.learn = learn
        tally.hub_url = parts.shown_hub_url
        try:
            if await _started(run):
                await _live(run, hub=hub)
        except CodeEvolverError as error:
            run.error = error
            emit("failed", error=error.describe())
        finally:
            _tell_lost(run)
            if run.keeping:
                await run.keeping.close()
            await asyncio.to_thread(parts.shelf.close)
    emit("queue_drained", pending=tally.pending)
    emit("stopped", counts=tally.counts(), reason=run.reason)
    return _result(run)


async def _started(run: Run) -> bool:
    """Start, unless asked to stop before that is done."""
    starting, stopped = asyncio.ensure_future(_start(run)), asyncio.ensure_future(run.stop.drain.wait())
    await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    await _cancel([starting, stopped])
    if starting.cancelled():
        run.reason = run.stop.reason
        run.emit("shutdown_requested", reason=run.reason)
        return False
    starting.result()
    return True


async def _start(run: Run) -> None:
    parts = run.parts
    level, detail = await asyncio.to_thread(parts.trials.level)
    run.emit("starting", version=__version__, isolation=f"{level} ({detail})", workspace=str(parts.workspace.root))
    if run.settings.llm == "required" and not await parts.model_answers():
        raise ModelUnavailable(
            "The setting llm is 'required', and no model answers.", "Run `code-evolver check`, or set llm to auto."
        )
    await asyncio.to_thread(parts.shelf.open)
    pending = await parts.queue.recover()
    for notice in parts.notices():
        run.emit("notice", message=notice)
    lost = parts.queue.take_lost()
    if pending or lost:
        run.emit("queue_resumed", count=pending + len(lost), queue_size=pending)
    _tell(run, lost)


def _tell_lost(run: Run) -> None:
    """Tell of tasks that the queue itself gave up: their lease ran out at the last start that they had."""
    _tell(run, run.parts.queue.take_lost())


def _tell(run: Run, lost: Sequence[End]) -> None:
    for end in lost:
        run.emit("task_dead_lettered", task_id=end.lease.task.id, reason=end.reason, code=end.code, drafts=0)
    if lost:
        run.parts.ended.set()


async def _live(run: Run, *, hub: bool) -> None:
    """Receive and work until something asks to stop, or fails for good; then drain."""
    jobs = {name: asyncio.ensure_future(job) for name, job in _jobs(run, hub=hub).items()}
    try:
        done, _ = await asyncio.wait(jobs.values(), return_when=asyncio.FIRST_COMPLETED)
        run.reason = _why(run, jobs)
        run.emit("shutdown_requested", reason=run.reason)
        await _drain(run, jobs)
    finally:
        await _cancel(jobs.values())
        if run.reporter:
            await run.reporter.close()
        if run.intake:
            await run.intake.settled()
    for job in jobs.values():
        error = None if job.cancelled() else job.exception()
        # What the connection says while it is closed on purpose is no failure of the run; all else is.
        if error is not None and (job in done or not isinstance(error, HubError)):
            raise error


def _jobs(run: Run, *, hub: bool) -> dict[str, Coroutine[Any, Any, Any]]:
    parts, settings = run.parts, run.settings
    jobs: dict[str, Coroutine[Any, Any, Any]] = {
        "stop": run.stop.drain.wait(),
        "requests": serve_requests(parts.workspace, parts.queue, run.emit, run.wake.set),
        "files": _keep_files(run),
        "prune": _prune(run),
    }
    if settings.auto_generate_workflows or not hub:  # without a hub there is nothing but the queue to do
        jobs["feeder"] = feed_leases(parts.queue, run.feed, run.wake)
        jobs["worker"] = parts.worker.run(run.feed)
    if settings.duration_seconds:
        jobs["duration"] = asyncio.sleep(max(0.0, run.until - asyncio.get_running_loop().time()))
    if not hub:
        jobs["queue empty"] = _until_empty(run)
        return jobs
    run.intake = Intake(
        parts.queue,
        run.log,
        settings.hub_name,
        pending=lambda: run.tally.pending,
        wake=run.wake.set,
        keep=run.keeping.keep if run.keeping else None,
    )
    listener = parts.listen(run.intake.receive)
    jobs["hub"] = listener.run()
    if settings.report_method:
        run.reporter = Reporter(parts.queue, listener.invoke, settings.report_method, run.emit)
        jobs["reporter"] = run.reporter.run(parts.ended)
    return jobs


def _why(run: Run, jobs: "Mapping[str, asyncio.Future[Any]]") -> str:
    if run.stop.reason:
        return run.stop.reason
    return next((name for name, job in jobs.items() if job.done()), "done")


async def _keep_files(run: Run) -> None:
    """Keep registry.json and the output file at most a second behind; what cannot be written is tried again."""
    said = ""
    while True:
        await asyncio.sleep(_FILES_SECONDS)
        _tell_lost(run)
        if run.keeping:
            await run.keeping.keep()
        try:
            await asyncio.to_thread(run.parts.shelf.catch_up)
        except StoreError as error:
            if error.message != said:
                run.emit("notice", message=f"{error.message} {error.hint}")
            said = error.message


async def _prune(run: Run) -> None:
    """Keep the queue file from growing for ever: now, and each hour. A full disk is left for the next hour."""
    while True:
        with contextlib.suppress(DiskFull):
            await run.parts.queue.prune(time.time())
        await asyncio.sleep(_PRUNE_SECONDS)


async def _until_empty(run: Run) -> None:
    while (await run.parts.queue.counts()).pending:
        run.parts.ended.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.25):
                await run.parts.ended.wait()


async def _drain(run: Run, jobs: "Mapping[str, asyncio.Future[Any]]") -> None:
    """Stop receiving, let the task in work end, give the rest back, send the last reports."""
    if run.parts.listener:
        run.parts.listener.refuse_results()
    if "worker" in jobs:
        await _cancel([jobs["feeder"]])
        await _if_there_is_room(run, run.parts.queue.release(_unstarted(run.feed)))
        if not jobs["worker"].done():
            await _unless_now(run, run.feed.join(), run.settings.drain_timeout_seconds, jobs["worker"])
        await _cancel([jobs["worker"]])
        await _if_there_is_room(run, run.parts.worker.wind_up())
    if run.reporter and not jobs["hub"].done():
        await _cancel([jobs["reporter"]])
        await _unless_now(run, run.reporter.settle(), _LAST_REPORTS_SECONDS, jobs["hub"])
    if run.parts.listener:
        await run.parts.listener.stop()


async def _if_there_is_room(run: Run, job: Awaitable[None]) -> None:
    """Do a last step of the queue; a full disk must not hold up the stop: the next start takes the leases back."""
    try:
        await job
    except DiskFull as error:
        run.emit(
            "notice", message=f"What was in work is taken up again at the next start: {error.message} {error.hint}"
        )


def _unstarted(feed: "asyncio.Queue[Lease]") -> list[Lease]:
    found = []
    while not feed.empty():
        found.append(feed.get_nowait())
        feed.task_done()
    return found


async def _unless_now(run: Run, job: Coroutine[Any, Any, Any], seconds: float, other: "asyncio.Future[Any]") -> None:
    """Wait for a job, at most `seconds`; a second request to stop, or the end of `other`, ends the wait as well."""
    mine, now = asyncio.ensure_future(job), asyncio.ensure_future(run.stop.now.wait())
    await asyncio.wait([mine, now, other], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    await _cancel([mine, now])


async def _cancel(jobs: "Iterable[asyncio.Future[Any]]") -> None:
    """Cancel jobs and wait for their end; what they raised is not lost: `done` jobs are asked for their result later."""
    running = [job for job in jobs if not job.done()]
    for job in running:
        job.cancel()
    if running:
        await asyncio.wait(running)


def _never_reached(run: Run) -> HubError | None:
    """A run whose time ran out before any connection is no success: nobody watches a job that only ever saw a dead hub."""
    if run.reason != "duration" or not run.parts.listener or run.tally.was_connected:
        return None
    last = run.parts.listener.last_error or HubUnreachable(
        "It did not answer.", "Check hub_url, and that the hub is running."
    )
    return type(last)(
        f"The hub was never reached within {run.settings.duration_seconds:g} s. Last: {last.message}", last.hint
    )


def _result(run: Run) -> tuple[dict[str, Any], int]:
    found = run.tally.result()
    error = run.error or _never_reached(run)
    if error is not None:
        return failure(error, found), error.exit_code
    if run.stop.now.is_set():
        cut = CodeEvolverError(
            "The run was cut short by a second request to stop.", "Nothing accepted is lost: start again, and the queue goes on.",
            code="interrupted",
        )  # fmt: skip
        return failure(cut, found), EXIT_INTERRUPTED
    failed = run.tally.failed and run.settings.count_failures
    return {"success": True, **found}, EXIT_DEAD_LETTERS if failed else EXIT_DONE
