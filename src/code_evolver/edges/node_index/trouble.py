"""Errors of SQLite and the disk under index.db, mapped to ours."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from code_evolver.core.errors import DiskFull, StoreError

ROOM_ERRORS = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_BROKEN_DISK = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def primary(error: sqlite3.Error) -> int:
    """Give SQLite's primary code of an error, 0 where it has none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def damaged(error: sqlite3.Error) -> bool:
    """Say whether the file itself is at fault, rather than the disk, its rights or another program."""
    return primary(error) in _DAMAGED


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Raise DiskFull or StoreError, which name the file, in the place of SQLite's and the disk's errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(error, path) from error
    except OSError as error:
        kind = DiskFull if error.errno in ROOM_ERRORS else StoreError
        raise kind(
            f"The index {path} cannot be used: {error.strerror or error}.", "Check the disk: its room and permissions."
        ) from error


def _of_sqlite(error: sqlite3.Error, path: Path) -> StoreError:
    kind = primary(error)
    if damaged(error):
        return StoreError(
            f"The index {path} is damaged: {error}.", "Move it away: it is made anew from nodes/ at the next start."
        )
    if kind in _BUSY:
        return StoreError(f"Another program keeps the index {path} locked.", "Close the program that writes to it.")
    # SQLite calls a write of the WAL that finds no room an i/o error.
    no_room = kind == sqlite3.SQLITE_IOERR and getattr(error, "sqlite_errorcode", 0) not in _BROKEN_DISK
    fault = DiskFull if no_room or kind == sqlite3.SQLITE_FULL else StoreError
    return fault(f"The index {path} cannot be used: {error}.", "Check the disk: its room and permissions.")
