"""How a connector is asked to stop: signals, the launcher's pipe, the duration. One request drains, a second one stops now."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NoReturn

from code_evolver import early

LAUNCHED = "CODE_EVOLVER_LAUNCHED"
"""Set by the launcher: stdin then holds one line of settings, and stays open; "stop" lines follow, its end means drain."""
_LAST_RESORT_SECONDS = 0.85
"""A second request ends the process within 1 s, whatever is under way: past this it ends without a result."""
_INTERRUPTED = 130


class StopRequest:
    """Counts what asks for a stop. `drain` is set by the first, `now` by the second request that came the same way.

    A service manager signals every process of a group, and the launcher passes its own signal on: that is one request by
    two ways, and must drain.
    """

    def __init__(self) -> None:
        """Make it within a running loop."""
        self._loop = asyncio.get_running_loop()
        self.drain = asyncio.Event()
        self.now = asyncio.Event()
        self.reason = ""
        self._asked: Counter[str] = Counter()

    def ask(self, reason: str, way: str = "signal") -> None:
        """Ask once more. Call it from the loop's thread."""
        self._asked[way] += 1
        self.ask_once(reason)
        if self._asked[way] > 1:
            self.now.set()

    def ask_once(self, reason: str) -> None:
        """Ask to drain; a second time it changes nothing (the end of the launcher's pipe, a closed terminal)."""
        if not self.drain.is_set():
            self.reason = reason
            self.drain.set()

    def from_thread(self, call: Callable[[str], None], reason: str) -> None:
        """Do the same from another thread or a signal handler."""
        with contextlib.suppress(RuntimeError):  # the loop has just ended: nothing is left to stop
            self._loop.call_soon_threadsafe(call, reason)


@contextlib.contextmanager
def stop_on_signals(stop: StopRequest) -> Iterator[None]:
    """Take SIGINT, SIGTERM, SIGHUP (closed terminal) and, on Windows, SIGBREAK as requests, those that came early too."""
    handler = _Handler(stop)
    for number in early.numbers():
        signal.signal(number, handler)
    for number in early.taken():
        handler(number, None)
    try:
        yield
    finally:
        handler.over = True  # it stays: a late signal must not keep the result from being printed


class _Handler:
    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self.over = False
        self._count = 0

    def __call__(self, number: int, _frame: object) -> None:
        name = signal.Signals(number).name
        if name == "SIGHUP":
            self._stop.from_thread(self._stop.ask_once, name)
            return
        self._count += 1
        if self._count == 2 and not self.over:
            end_soon()
        self._stop.from_thread(self._stop.ask, name)


def end_soon(seconds: float = _LAST_RESORT_SECONDS) -> None:
    """End the process in so many seconds, whatever hangs by then: what was accepted is on disk. Made for a second request."""
    timer = threading.Timer(seconds, os._exit, (_INTERRUPTED,))
    timer.daemon = True
    timer.start()


def watch_launcher(stop: StopRequest, fd: int = 0) -> None:
    """Read the launcher's pipe in a thread: each "stop" line is a request; its end means that the launcher is gone: drain."""
    thread = threading.Thread(target=_read_requests, args=(stop, fd), name="launcher pipe", daemon=True)
    thread.start()


def _read_requests(stop: StopRequest, fd: int) -> None:
    asked = 0
    with contextlib.suppress(OSError):
        while data := os.read(fd, 1024):
            for _ in range(data.count(b"stop")):
                asked += 1
                if asked == 2:
                    end_soon()
                stop.from_thread(_ask_of_launcher(stop), "launcher")
    stop.from_thread(stop.ask_once, "launcher gone")


def _ask_of_launcher(stop: StopRequest) -> Callable[[str], None]:
    return lambda reason: stop.ask(reason, way="launcher")


def launched() -> bool:
    """Say whether the launcher started us."""
    return os.environ.get(LAUNCHED) == "1"


def read_settings_line(fd: int = 0, limit: int = 50_000_000) -> bytes:
    """Read the launcher's one line of settings without reading past it."""
    found = bytearray()
    while len(found) < limit:
        char = os.read(fd, 1)
        if char in (b"", b"\n"):
            break
        found += char
    return bytes(found)


def leave_at_once(code: int) -> NoReturn:
    """End the process without waiting for threads: what was accepted is on disk."""
    sys.stdout.flush()
    os._exit(code)
