"""What to do after a model request failed: one table, no clock, no dice.

Which failures are tried again follows the servers' own documents: 408, 409, 425, 429, 5xx and 529 are; 400, 401, 402, 403, 404,
413 and 422 are not. A 429 for an empty purse is none that waiting mends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import MappingProxyType

from code_evolver.core.dialects.wire import Failure, FailureKind
from code_evolver.core.errors import ModelError, ModelUnavailable

LOADING_SECONDS = 600.0
"""How long a model may take to load before its backend counts as down."""
LONGEST_FLOOR = 300.0
"""A Retry-After beyond this is not waited for here: the next model is asked, or the task waits in the queue."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask the same model again in `seconds`."""

    seconds: float
    counts: bool
    """False: no attempt is burnt."""


@dataclass(frozen=True, slots=True)
class NextModel:
    """Ask the next model."""

    down: bool
    """True: the backend was not there (counts towards opening its circuit)."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Give up the question."""

    error: ModelError


@dataclass(frozen=True, slots=True)
class Row:
    """How a kind of failure is met."""

    attempts: int
    """With one model, the first included."""
    base: float
    """Seconds before the first repeat; doubles each time."""
    cap: float
    down: bool = False


_TABLE: Mapping[FailureKind, Row] = MappingProxyType({
    "connect": Row(3, 0.5, 4.0, down=True),
    "read": Row(3, 0.5, 4.0, down=True),
    "server": Row(4, 1.0, 20.0, down=True),
    "rate": Row(5, 2.0, 60.0),
    "timeout": Row(1, 0.0, 0.0, down=True),
    "odd": Row(2, 0.5, 2.0),
    "empty": Row(2, 0.0, 0.5),
})  # fmt: skip
_LOADING = Row(0, 1.0, 10.0, down=True)


def decide(
    failure: Failure,
    attempt: int,
    now: float,
    random: float,
    *,
    waits: int = 0,
    waiting_since: float | None = None,
    deadline: float = float("inf"),
) -> Wait | NextModel | Stop:
    """Say what follows the `attempt`th failure (from 1) with this model.

    `random` is in [0, 1). `waits` counts the pauses that burnt no attempt, `waiting_since` is when they began. Times are
    seconds since 1970. Nothing is waited for past the deadline.
    """
    step = _step(failure, attempt, now, random, waits, now if waiting_since is None else waiting_since)
    if isinstance(step, Wait) and now + step.seconds >= deadline:
        return Stop(ModelUnavailable(
            f"The time for this question ran out; the last answer was: {failure.words or failure.kind}.",
            "It is tried again later. A slow local model needs a longer llm.deadline_seconds.",
        ))  # fmt: skip
    return step


def _step(
    failure: Failure, attempt: int, now: float, random: float, waits: int, waiting_since: float
) -> Wait | NextModel:
    floor = floor_of(failure.retry_after, now)
    if failure.kind == "loading":
        if now - waiting_since >= LOADING_SECONDS:
            return NextModel(down=True)
        return Wait(max(floor, 0.5, _jitter(_LOADING, waits + 1, random)), counts=False)
    if failure.kind == "read" and waits == 0:
        return Wait(0.0, counts=False)
    row = _TABLE.get(failure.kind)
    if row is None:
        return NextModel(down=False)
    if attempt >= row.attempts or floor > LONGEST_FLOOR:
        return NextModel(down=row.down)
    return Wait(floor + _jitter(row, attempt, random), counts=True)


def _jitter(row: Row, attempt: int, random: float) -> float:
    """Full jitter: anything between nothing and the doubled base, so that many clients do not come back at once."""
    return random * min(row.cap, row.base * 2.0 ** min(attempt - 1, 30))


def floor_of(retry_after: str, now: float) -> float:
    """Read Retry-After: seconds or an HTTP date; 0 for anything else or the past."""
    text = retry_after.strip()
    if not text or not text.isascii():
        return 0.0
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
