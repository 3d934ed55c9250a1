"""What a trial is made of: tool calls, cases, runs. Values only; `ports.py` gives them on to the edges."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of a workflow."""

    tool: str
    prompt: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool gave: text, or an error (code and message)."""

    text: str = ""
    error: str = ""
    code: str = "tool_failed"


Answerer = Callable[[Sequence[Call]], Sequence[Answer]]
"""Answer calls that a workflow made at once, in order. Runs in the caller's thread."""


@dataclass(frozen=True, slots=True)
class Case:
    """One input to try a program on."""

    name: str
    """What it tries: "sample", "empty text", "five languages", "tool fails", …"""
    input: bytes
    """What stands on stdin."""
    failing: str = ""
    """A tool that fails in this case; "" for none."""


StopReason = Literal["", "wall", "cpu", "memory", "output", "calls", "policy", "signal", "crash"]


@dataclass(frozen=True, slots=True)
class Run:
    """How one case went."""

    case: str
    exit_code: int | None
    """None where it was stopped."""
    stdout: bytes
    stderr: str
    """At most 64 KiB, control characters escaped."""
    calls: Sequence[Call]
    stopped_by: StopReason
    seconds: float


@dataclass(frozen=True, slots=True)
class Trial:
    """How a program behaved."""

    level: Literal["isolated", "guarded"]
    detail: str
    """"seccomp sealed, Landlock ABI 7", or why a part is missing."""
    runs: Sequence[Run]
    failed: str = ""
    """Set where the trial itself could not be held (killed by the system): to be tried again, not judged."""
