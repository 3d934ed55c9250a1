"""How long to wait before the next attempt: exponential with full jitter, and the other side's Retry-After as floor."""

from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime

LONGEST_RETRY_AFTER = 600.0
"""Seconds: a server may slow us down, but not send us to sleep for a day."""


def full_jitter(attempt: int, random: float, *, first: float = 1.0, limit: float = 30.0) -> float:
    """Give the seconds before attempt number `attempt` (from 1), `random` being in 0…1.

    The range starts at `first` and doubles to `limit`; full jitter takes any point of it, so that many clients of a
    server that was restarted do not come back at once.
    """
    doublings = min(max(attempt, 1) - 1, 60)
    return float(random * min(limit, first * 2**doublings))


def mirrored(random: Callable[[], float]) -> Callable[[], float]:
    """Give draws of 0…1 in pairs, the second of a pair being 1 less the first.

    Each draw alone is as random as before, so jitter stays full; but not all of a row can be short. Ten attempts last at
    least 50 s this way. With independent draws one row in 25 was over before an outage of 45 s was.
    """

    def draws() -> Iterator[float]:
        while True:
            drawn = random()
            yield drawn
            yield 1.0 - drawn

    return draws().__next__


def retry_after(value: str | None, now: float) -> float | None:
    """Read a Retry-After header (seconds, or an HTTP date) as seconds from `now`; None where it says nothing usable."""
    words = (value or "").strip()
    if words.isascii() and words.isdigit():
        return min(float(words[:9]), LONGEST_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(words).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
