"""The seams between what decides (core, worker) and what does (edges). Values in, values out; edges raise core.errors.

In the plural where speed needs it. Times are seconds since 1970 (UTC) unless a name says `seconds`.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from code_evolver.core.budget import Account
from code_evolver.core.findings import Finding
from code_evolver.core.journey import AskCode, Generated, Program, Proof, Try
from code_evolver.core.message import Message
from code_evolver.core.question import Ask, Reply, Usage
from code_evolver.core.task import Put, Refusal, Task
from code_evolver.core.task_types import TaskType
from code_evolver.core.trials import Answer, Answerer, Call, Case, Run, StopReason, Trial

__all__ = [
    "Answer",
    "Answerer",
    "Ask",
    "Call",
    "Case",
    "Counts",
    "DeadLetter",
    "Emit",
    "End",
    "HubConnection",
    "Known",
    "Lease",
    "Log",
    "Models",
    "Outcome",
    "Prompts",
    "Put",
    "Queue",
    "Received",
    "Reply",
    "Report",
    "Run",
    "Shelf",
    "StopReason",
    "Trial",
    "Trials",
    "Usage",
]
"""The values of a trial are made in core.trials (the judge needs them) and given on here."""

Emit = Callable[..., None]
"""emit(name, **fields): report an event (core.events). Never blocks, never raises."""


class Log(Protocol):
    """Where events go. Never blocks, never raises."""

    def emit(self, name: str, /, **fields: Any) -> None:
        """Report an event (core.events)."""

    def emit_all(self, name: str, keys: tuple[str, ...], rows: Sequence[Sequence[str | int]]) -> None:
        """Report the same event many times, at one moment, a row of values each: for what comes in thousands."""


# ── the queue ────────────────────────────────────────────────────────────────────────────────────────────────────────
Outcome = Literal["generated", "reused", "failed"]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one task until `expires`."""

    seq: int
    token: str
    task: Task
    starts: int
    """How often work on it has begun before (Queue.begin counts)."""
    failures: int
    """How often it was postponed after a failure."""
    expires: float


@dataclass(frozen=True, slots=True)
class End:
    """How a leased task ends: outcome, counters, dead letter and report are one transaction."""

    lease: Lease
    outcome: Outcome
    node: str = ""
    reason: str = ""
    """Why it failed: one sentence; "" otherwise."""
    code: str = ""
    drafts: Sequence[Mapping[str, Any]] = ()
    """For a failure: each draft {"code", "findings", "generator", "prompt"?, "answer"?}."""
    usage: Mapping[str, float] = field(default_factory=dict)
    """tokens_in, tokens_out, llm_seconds, llm_load_seconds, llm_calls, repairs."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A task that failed, or an element that was no task."""

    key: int
    id: str
    kind: Literal["task", "refused"]
    reason: str
    code: str
    at: float
    count: int
    raw: bytes
    task: Task | None
    drafts: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Report:
    """One outcome that the hub still has to be told."""

    key: int
    payload: Mapping[str, Any]
    """{"taskId", "nodeId", "status", "reason"}"""
    attempts: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Over the workspace's whole life, except pending, dead and oldest_pending_seconds, which are now."""

    generated: int
    reused: int
    failed: int
    pending: int
    rejected: int
    duplicates: int
    received: int
    dead: int
    oldest_pending_seconds: float | None


class Queue(Protocol):
    """Durable tasks. Every method returns after its transaction is committed and synced.

    Raises StoreError (damaged, foreign, i/o error: fatal) or DiskFull (nothing of the call was kept).
    """

    async def put(self, tasks: Sequence[Task], refusals: Sequence[Refusal]) -> Sequence[Put]:
        """Accept tasks and refusals in one transaction (group-committed with other callers'); one Put a task, in order."""

    async def lease(self, limit: int) -> Sequence[Lease]:
        """Lease up to `limit` due tasks, in order of priority, due date, arrival.

        Due times and expiries further ahead than the longest wait and lease are clamped first: the clock was set back.
        """

    async def begin(self, lease: Lease) -> bool:
        """Count a start, right before work on it begins. False: the lease was lost."""

    async def finish(self, ends: Sequence[End]) -> Sequence[bool]:
        """End tasks, one transaction for all. False where the lease was lost (nothing was changed for it)."""

    async def postpone(self, lease: Lease, seconds: float, reason: str, *, failure: bool) -> bool:
        """Give it back, due in `seconds`; `failure` counts against its limit of attempts."""

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back unworked, due now."""

    async def recover(self) -> int:
        """At the start: reset former leases, clamp due times to now plus the longest backoff; give the number pending."""

    async def counts(self) -> Counts:
        """Count."""

    async def next_due(self) -> float | None:
        """When the next postponed task becomes due; None when nothing is pending."""

    async def reports(self, limit: int) -> Sequence[Report]:
        """Give reports that the hub has not answered yet, oldest first."""

    async def reported(self, keys: Sequence[int], *, failed: bool) -> None:
        """The hub answered (or, `failed`, answered with an error): drop, or count an attempt and drop at the fifth."""

    async def close(self) -> None:
        """Finish what is under way and close the file."""


# ── the hub ──────────────────────────────────────────────────────────────────────────────────────────────────────────
class Received(NamedTuple):
    """One invocation, stream item, or result of a `subscribe` call. A tuple, as core.task.Task is."""

    connection: int
    """Number of the connection it came by: an answer goes only there."""
    target: str
    """The client method, or the stream's or subscribe call's method."""
    arguments: Sequence[Any]
    invocation_id: str | None
    """Set where the hub waits for a client result."""
    raw: bytes
    """The record as received (bad JSON included)."""
    problem: str = ""
    """Why the record could not be read ("bad JSON: …", "over 16777216 bytes"); arguments are then empty."""
    message: Message | None = None
    """The tasks and refusals of the arguments, where they were read already."""


class HubConnection(Protocol):
    """One connection attempt and its life: a fresh object an attempt, never reconnects by itself."""

    async def open(self) -> None:
        """Open the socket, shake hands. Raises HubError."""

    def records(self) -> AsyncIterator[Sequence[bytes]]:
        """Give batches of records (without the 0x1e) as they arrive; ends, or raises HubUnreachable, when the socket ends.

        Reading stops while the consumer does not ask: that is the back-pressure.
        """

    async def send(self, record: Mapping[str, Any]) -> None:
        """Send one record. Raises HubUnreachable."""

    def last_byte(self) -> float:
        """time.monotonic() of the last byte received, PING frames included."""

    async def close(self) -> None:
        """Close hard, within 0.3 s, in any state; no thread is left."""


# ── the model ────────────────────────────────────────────────────────────────────────────────────────────────────────
class Models(Protocol):
    """Whatever model backends the team has."""

    @property
    def configured(self) -> bool:
        """False: no backend at all; every ask raises ModelUnavailable with the hint how to set one."""

    @property
    def spent(self) -> Account:
        """What has been asked so far has cost, answers that were of no use included."""

    def tiers_above(self, tier: str) -> Sequence[str]:
        """Give the stronger tiers that have a model, nearest first."""

    async def ask(self, ask: Ask) -> Reply:
        """Ask. Retries, falls back within the tier; raises ModelError."""

    async def down_since(self) -> float | None:
        """Seconds since 1970 since when no backend answers; None while one does (or none is configured)."""

    async def close(self) -> None:
        """Close connections."""


# ── trials ───────────────────────────────────────────────────────────────────────────────────────────────────────────
class Trials(Protocol):
    """Run programs in an isolated child."""

    def run(self, code: bytes, cases: Sequence[Case], tools: Sequence[str], answer: Answerer | None = None) -> Trial:
        """Run `code` once a case, a process each. Blocking: call it in a thread.

        `answer` None: stub tools answer recognisably (core.stubs.stub_answer).
        """

    def level(self) -> tuple[Literal["isolated", "guarded"], str]:
        """Give the level that this machine reaches, and its detail."""


# ── programs ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class Known:
    """A node that is there already for a task's node key."""

    name: str
    source: bool
    """The task is the node's source: it was saved, but the task not ended, when something stopped us."""
    covered: bool
    """The node's proof covers the task's inputs."""
    bad: bool = False
    """People call it bad: it is made anew, and stays until its successor is proven."""


class Shelf(Protocol):
    """What the worker needs of nodes/, the index and the proof (assembly.py joins them)."""

    def known(self, task: Task, keys: tuple[str, str]) -> Known | None:
        """Find a node for the task's node key."""

    def program(self, program: str) -> Program | None:
        """Find a proven program for a program key."""

    def prove(self, task: Task, row: TaskType | None, step: Try) -> Proof:
        """Hold the trial and judge it; verdicts are cached by hashes. Blocking."""

    def extend(self, task: Task, row: TaskType | None, name: str) -> bool:
        """Prove a node on the task's own shape and note that its proof covers it now. Blocking."""

    def save(self, task: Task, row: TaskType | None, keys: tuple[str, str], made: Generated) -> tuple[str, str]:
        """Save and register a node; give (name, path), path "" where it is the present one. Blocking, idempotent for one task."""

    def settle(self, name: str) -> None:
        """Go on using a node that people call bad: no better program could be made."""

    def learn(self, task: Task, program: str, findings: Sequence[Finding]) -> None:
        """Keep what a model's draft got wrong, for later tasks of this kind."""


class Prompts(Protocol):
    """Turns a step into a question (assembly.py joins manifests, examples and templates)."""

    def plan(self, task: Task, tier: str) -> Ask:
        """Ask for a plan."""

    def code(self, task: Task, step: AskCode) -> Ask:
        """Ask for a program."""
