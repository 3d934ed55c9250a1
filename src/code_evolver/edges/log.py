"""Events out: JSON lines on a stream, written by a thread of their own so that no reader can hold up the work.

A reader that is slow, stopped or gone costs events, never tasks: beyond `limit` waiting events new ones are dropped and
counted in `events_dropped`.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any

from code_evolver.core.events import lines
from code_evolver.core.strict_json import escape

_BATCH = 500
_POLL_SECONDS = 0.05
_Event = tuple[str, tuple[str, ...], float, Sequence[Any]]
"""Name, names of the fields, when, values."""


class EventLog:
    """Write events to a file descriptor. `emit` takes about 2 µs and never blocks or raises for the reader's sake."""

    def __init__(
        self,
        fd: int,
        run_id: str,
        *,
        clock: Callable[[], float] = time.time,
        limit: int = 100_000,
        clean: Callable[[str], str] = str,
    ) -> None:
        """Start the writer. `clean` takes secrets out of the lines of a batch."""
        self._fd = fd
        self._run_id = run_id
        self._clock = clock
        self._limit = limit
        self._clean = clean
        self._waiting: deque[_Event] = deque()
        self._wake = threading.Event()
        self._done = threading.Event()
        self._closing = False
        self._dropped = 0
        self._seq = 0
        self._thread = threading.Thread(target=self._write_all, name="events", daemon=True)
        self._thread.start()

    def emit(self, name: str, /, **fields: Any) -> None:
        """Report an event of core.events."""
        if len(self._waiting) >= self._limit:
            self._dropped += 1
            return
        self._waiting.append((name, tuple(fields), self._clock(), tuple(fields.values())))
        if not self._wake.is_set():
            self._wake.set()

    def emit_all(self, name: str, keys: tuple[str, ...], rows: Sequence[Sequence[str | int]]) -> None:
        """Report the same event many times, all at this moment, a row of values each."""
        room = max(0, self._limit - len(self._waiting))
        self._dropped += max(0, len(rows) - room)
        self._waiting.extend(zip(repeat(name), repeat(keys), repeat(self._clock()), rows[:room]))
        if not self._wake.is_set():
            self._wake.set()

    def close(self, seconds: float = 1.0) -> None:
        """Write what waits, for at most `seconds`; a reader that does not read by then misses the rest."""
        self._closing = True
        self._wake.set()
        self._done.wait(seconds)

    def _write_all(self) -> None:
        try:
            while self._waiting or not self._closing:
                self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    self._write(self._lines())
        except OSError:
            # The reader is gone for good: keep taking events off, so that memory stays flat.
            self._discard()
        finally:
            self._done.set()

    def _lines(self) -> bytes:
        if self._dropped:
            self._dropped, count = 0, self._dropped
            self._waiting.appendleft(("events_dropped", ("count",), self._clock(), (count,)))
        some = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        said: list[str] = []
        innocent = True
        for (name, keys, at), group in groupby(some, key=itemgetter(0, 1, 2)):
            rows = [event[3] for event in group]
            said += self._safe_lines(name, keys, at, rows)
            innocent = innocent and len(rows) > 1 and self._innocent(rows)
        text = "\n".join(said) + "\n"
        if innocent:
            return text.encode()
        # JSON escapes C0 controls already; bidirectional and C1 characters would still reach a terminal.
        return self._clean(text if text.isascii() else escape(text)).encode("utf-8", "backslashreplace")

    def _innocent(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Say whether rows hold texts and numbers only, and nothing to hide: their lines then hold nothing either."""
        try:
            foreign = "\n".join([value for row in rows for value in row if type(value) is not int])
        except TypeError:
            return False
        return foreign.isascii() and self._clean(foreign) == foreign

    def _safe_lines(self, name: str, keys: tuple[str, ...], at: float, rows: Sequence[Sequence[Any]]) -> list[str]:
        """Give a line an event; what cannot be written (a bug of whoever told it) must not end the writer."""
        first, self._seq = self._seq + 1, self._seq + len(rows)
        try:
            return lines(name, keys, rows, at=at, seq=first, run_id=self._run_id)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            wrong = f"The event {name} could not be written: {type(error).__name__}: {error}"[:500]
            return lines("notice", ("message",), [(wrong,)] * len(rows), at=at, seq=first, run_id=self._run_id)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:  # whoever shares the terminal or pipe made it non-blocking: the reader is only slow
                _wait_writable(self._fd)

    def _discard(self) -> None:
        while not self._closing:
            self._wake.wait(1.0)
            self._wake.clear()
            self._waiting.clear()


def _wait_writable(fd: int) -> None:
    """Wait until the descriptor may take something, at most a moment: the caller tries again."""
    if hasattr(select, "poll"):
        waiting = select.poll()
        waiting.register(fd, select.POLLOUT)
        waiting.poll(1000)
    else:  # Windows selects on sockets only
        time.sleep(_POLL_SECONDS)
