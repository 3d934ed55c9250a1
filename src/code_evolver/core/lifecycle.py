"""The life of a queued task: its states, the moves between them, and what becomes of a task that arrives.

arrives ──▶ READY ──lease──▶ LEASED ──generate, reuse, fail──▶ GENERATED, REUSED, FAILED
              ▲  ▲             │  │                                            │
              │  └──release────┘  └──postpone──▶ DELAYED ──come due──▶ READY   │
              └────reclaim (its worker died) · retry (a person asked)◀─────────┘
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Literal

from code_evolver.core.errors import Unexpected

Put = Literal["queued", "revised", "duplicate", "recorded"]
ANONYMOUS_SECONDS = 24 * 3600.0
"""How long a task without an id of its own is recognised by its content."""
MAX_STARTS = 10
"""A task whose worker died this often while it worked on it is taken for the cause."""


class State(IntEnum):
    """Where a task is. The numbers stand in queue files: never change one."""

    READY = 0
    DELAYED = 1
    """Postponed until a time."""
    LEASED = 2
    GENERATED = 3
    REUSED = 4
    FAILED = 5
    """Stands in the dead letters."""
    RECORDED = 6
    """The hub had closed it already: known, never worked on."""


class Event(StrEnum):
    """What can happen to a task."""

    LEASE = "lease"
    BEGIN = "begin"
    GENERATE = "generate"
    REUSE = "reuse"
    FAIL = "fail"
    POSTPONE = "postpone"
    RELEASE = "release"
    COME_DUE = "come due"
    RECLAIM = "reclaim"
    CRASH = "crash"
    RETRY = "retry"


PENDING = frozenset({State.READY, State.DELAYED, State.LEASED})
DONE = frozenset({State.GENERATED, State.REUSED, State.RECORDED})

TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.READY, Event.LEASE): State.LEASED,
    (State.LEASED, Event.BEGIN): State.LEASED,
    (State.LEASED, Event.GENERATE): State.GENERATED,
    (State.LEASED, Event.REUSE): State.REUSED,
    (State.LEASED, Event.FAIL): State.FAILED,
    (State.LEASED, Event.POSTPONE): State.DELAYED,
    (State.LEASED, Event.RELEASE): State.READY,
    (State.LEASED, Event.RECLAIM): State.READY,
    (State.LEASED, Event.CRASH): State.FAILED,
    (State.DELAYED, Event.COME_DUE): State.READY,
    (State.FAILED, Event.RETRY): State.READY,
}
ENDS: Mapping[str, Event] = {"generated": Event.GENERATE, "reused": Event.REUSE, "failed": Event.FAIL}
"""The event of each outcome (ports.Outcome)."""


def move(event: Event) -> tuple[State, State]:
    """Give the one state in which `event` can happen and the state after it."""
    return next((before, after) for (before, what), after in TRANSITIONS.items() if what is event)


def after(state: State, event: Event) -> State:
    """Give the state after `event`. Raises Unexpected where the table has no such move."""
    found = TRANSITIONS.get((state, event))
    if found is None:
        raise Unexpected(f"A task that is {state.name.lower()} cannot {event.value}.", "Please report this.")
    return found


def entry(*, closed: bool) -> State:
    """Give the state in which an accepted task enters."""
    return State.RECORDED if closed else State.READY


def worn_out(crashes: int) -> bool:
    """Say whether a task has taken its worker down too often to be tried once more."""
    return crashes >= MAX_STARTS


def as_recorded(digest: bytes) -> bytes:
    """Give what a content is remembered by that was recorded only: another value than where it was accepted."""
    return bytes(255 - byte for byte in digest)


def admit(known: Mapping[bytes, float], digest: bytes, *, id_given: bool, closed: bool, now: float) -> Put:
    """Decide what becomes of a task that arrives.

    `known`: digest → time of acceptance of every content accepted under its id, as_recorded(digest) → that of every
    content recorded. Content that was accepted once is a duplicate even after another revision: a hub that sends its
    whole list again must not set off work without end. What was only recorded is worked on when it comes open.
    """
    seen = known.get(digest)
    if seen is None and closed:
        seen = known.get(as_recorded(digest))
    if seen is not None and (id_given or now - seen < ANONYMOUS_SECONDS):
        return "duplicate"
    if closed:
        return "recorded"
    return "revised" if known and id_given else "queued"
