"""How a connector is asked to stop: signals, the launcher's pipe, the duration. One request drains, a second one stops now."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

LAUNCHED = "CODE_EVOLVER_LAUNCHED"
"""Set by the launcher: stdin then holds one line of settings, and stays open; "stop" lines follow, its end means drain."""


class StopRequest:
    """Counts what asks for a stop. `drain` is set by the first, `now` by the second request."""

    def __init__(self) -> None:
        """Make it within a running loop."""
        self._loop = asyncio.get_running_loop()
        self.drain = asyncio.Event()
        self.now = asyncio.Event()
        self.reason = ""

    def ask(self, reason: str) -> None:
        """Ask once more. Call it from the loop's thread."""
        if self.drain.is_set():
            self.now.set()
        else:
            self.reason = reason
            self.drain.set()

    def ask_once(self, reason: str) -> None:
        """Ask to drain; a second time it changes nothing (the duration, the end of the launcher's pipe)."""
        if not self.drain.is_set():
            self.ask(reason)

    def from_thread(self, call: Callable[[str], None], reason: str) -> None:
        """Do the same from another thread or a signal handler."""
        with contextlib.suppress(RuntimeError):  # the loop has just ended: nothing is left to stop
            self._loop.call_soon_threadsafe(call, reason)


@contextlib.contextmanager
def stop_on_signals(stop: StopRequest) -> Iterator[None]:
    """Take SIGINT, SIGTERM, SIGHUP (closed terminal) and, on Windows, SIGBREAK as requests."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    handler = _Handler(stop)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class _Handler:
    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop

    def __call__(self, number: int, _frame: object) -> None:
        name = signal.Signals(number).name
        ask = self._stop.ask_once if name == "SIGHUP" else self._stop.ask
        self._stop.from_thread(ask, name)


def watch_launcher(stop: StopRequest, fd: int = 0) -> None:
    """Read the launcher's pipe in a thread: each "stop" line is a request; its end means that the launcher is gone: drain."""
    thread = threading.Thread(target=_read_requests, args=(stop, fd), name="launcher pipe", daemon=True)
    thread.start()


def _read_requests(stop: StopRequest, fd: int) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(fd, 1024):
            for _ in range(data.count(b"stop")):
                stop.from_thread(stop.ask, "launcher")
    stop.from_thread(stop.ask_once, "launcher gone")


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


def leave_at_once(code: int) -> None:
    """End the process without waiting for threads: what was accepted is on disk."""
    sys.stdout.flush()
    os._exit(code)
