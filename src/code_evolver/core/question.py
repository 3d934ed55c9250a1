"""A question to a model and its answer, as values; `ports.py` gives them on to the edges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to a model."""

    purpose: str
    """For events and accounts: "plan", "code", "repair", "tool:summarizer", "english"."""
    tier: str
    """fast, general or strong."""
    system: str
    user: str
    schema: Mapping[str, Any] | None = None
    """JSON Schema that the answer must fit; it is checked locally as well."""
    max_tokens: int = 2000
    temperature: float = 0.2
    shorter: Sequence[tuple[str, str]] = ()
    """What `user` may give way to where it does not fit the model: (what was left out, the text), longest first."""
    until: float | None = None
    """Seconds since 1970: the deadline of the whole task, if it has one."""


@dataclass(frozen=True, slots=True)
class Usage:
    """None where the server did not say."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float = 0.0
    load_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered, reasoning removed, whole (a cut answer is ModelTruncated)."""

    text: str
    backend: str
    model: str
    tier: str
    usage: Usage = Usage()
    data: Any = None
    """The parsed answer where the question had a schema."""
