"""Requests to stop that come before a door can act on them: remembered from its first lines on. Imports next to nothing.

A door calls `remember` before it imports the rest. Whoever can act on requests takes its signals over, then asks `taken`.
"""

import contextlib
import signal
from collections.abc import Iterator, Sequence

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_come: list[int] = []
_interrupting = False


def numbers() -> Sequence[int]:
    """Give the signals that ask for a stop; without SIGHUP (closed terminal) where it is ignored: nohup means stay."""
    found = _all()
    hang_up = getattr(signal, "SIGHUP", None)
    stay = hang_up is not None and signal.getsignal(hang_up) == signal.SIG_IGN
    return [number for number in found if not (stay and number == hang_up)]


def remember() -> None:
    """Note requests from now on; those that waited meanwhile (`held_back`) come now. In the main thread."""
    for number in numbers():
        signal.signal(number, _note)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _all())


def taken() -> list[int]:
    """Give the signals that came, in order, and forget them."""
    found = list(_come)
    _come.clear()
    return found


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """Raise KeyboardInterrupt at a request, also at one that came before: for what may wait for ever, as input may."""
    global _interrupting  # noqa: PLW0603 - signals are the process's own
    _interrupting = True
    try:
        if taken():
            raise KeyboardInterrupt
        yield
    finally:
        _interrupting = False


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Have a process that is started meanwhile begin with these signals blocked: it calls `remember`. Not on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _all())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _all() -> list[int]:
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


def _note(number: int, _frame: object) -> None:
    if _interrupting:
        raise KeyboardInterrupt
    _come.append(number)
