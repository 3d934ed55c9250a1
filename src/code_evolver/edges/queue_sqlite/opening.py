"""Open the queue file for writing: look at it first, set aside what is not ours or damaged, migrate, salvage."""

import os
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

from code_evolver.core.errors import StoreError
from code_evolver.edges.queue_sqlite import schema, sql
from code_evolver.edges.queue_sqlite.options import NO_DUE, Options, note
from code_evolver.edges.queue_sqlite.salvage import salvage
from code_evolver.edges.queue_sqlite.trouble import FOREIGN_ERRORS, MARK, is_damage, mapped

MAGIC = b"SQLite format 3\0"
SMALL = 16 << 20
"""Bytes up to which a file is always checked; a larger one only after a run that did not close it."""
CHECK_SECONDS = 5.0
SIDE_FILES = ("", "-wal", "-shm", MARK)


def open_file(path: Path, options: Options, owner: str = "") -> tuple[sqlite3.Connection, list[str]]:
    """Open for writing, made or mended where need be; give the connection and notices for a person.

    Raises StoreError (newer version, not writable, no plain file, disk) or DiskFull.
    """
    _refuse_odd(path)
    notices: list[str] = []
    try:
        notices += _finish_replacement(path)
        if why := _what_is_wrong(path):
            notices.append(_replace(path, why, options))
        try:
            db = _opened(path, options, owner, notices)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            notices.append(_replace(path, f"is damaged ({error})", options))
            db = _opened(path, options, owner, notices)
    except FOREIGN_ERRORS as error:
        raise mapped(error, path) from error
    return db, notices


def _opened(path: Path, options: Options, owner: str, notices: list[str]) -> sqlite3.Connection:
    with ExitStack() as undo:
        db = _connect(path, options)
        undo.callback(db.close)
        _prepare(db, path, options, notices)
        note(db, "owner", owner)
        undo.pop_all()
    return db


def _new_name(path: Path) -> Path:
    return Path(f"{path}.new")


def _replace(path: Path, why: str, options: Options) -> str:
    """Put a new file in the place of a bad one, with what can be read of it; give the notice.

    The new file is complete before the bad one is moved: a kill at any moment leaves one of the two to go on from.
    """
    fresh = _new_name(path)
    for side in SIDE_FILES:
        Path(f"{fresh}{side}").unlink(missing_ok=True)  # of a start that was killed: only a part of what `path` holds
    with closing(_connect(fresh, options)) as db:
        _prepare(db, fresh, options, [])
        saved = salvage(db, path, options)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    aside = set_aside(path)
    fresh.rename(path)
    of = f"{saved.known} " if saved.known > saved.waiting else ""
    left_out = f" {saved.left_out} damaged rows were left out." if saved.left_out else ""
    taken = f"{saved.waiting} of its {of}waiting tasks were taken over."
    return f"{path.name} {why}; it was set aside as {aside.name}, and {taken}{left_out}"


def _finish_replacement(path: Path) -> list[str]:
    """Go on where a start was killed between moving a bad file away and moving the new one in; give the notice."""
    if path.exists():
        return []
    notices = []
    if left := [f"{path.name}{side}" for side in SIDE_FILES if Path(f"{path}{side}").exists()]:
        aside = set_aside(path)  # a -wal without its file would be written into the next file of that name
        notices = [
            f"{path.name} is missing; {', '.join(left)}, which was left of it, was set aside under the name {aside.name}."
        ]
    if _new_name(path).exists():
        _new_name(path).rename(path)
        notices = [f"A start was killed while it set {path.name} aside; what could be read of it has been taken over."]
    return notices


def _refuse_odd(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise StoreError(
            f"The queue file {path} is no plain file.", "Move it away; a new one is made at the next start."
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise StoreError(
            f"The queue file {path} cannot be written.", "Give the user write access to it and its folder."
        )


def _what_is_wrong(path: Path) -> str:
    """Say why a file cannot be gone on with ("is damaged: …"), "" where it can. It is not written to."""
    if not path.exists():
        return ""
    if path.stat().st_size == 0:
        wal = Path(f"{path}-wal")  # SQLite would delete it
        return "is empty, though its -wal is not" if wal.exists() and wal.stat().st_size > 0 else ""
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return "is not a queue file"
    try:
        with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)) as db:
            return _inspect(db, path)
    except sqlite3.DatabaseError as error:
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if kind in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
            return f"is damaged ({error})"
        raise mapped(error, path) from error


def _inspect(db: sqlite3.Connection, path: Path) -> str:
    (identity,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if identity == 0 and version == 0 and tables == 0:
        return ""
    if identity != schema.APPLICATION_ID:
        return "belongs to another program"
    if version > schema.VERSION:
        raise StoreError(f"The queue file {path} was written by a newer Code Evolver (version {version} of the file, "
                         f"this one reads up to {schema.VERSION}).", "Upgrade, or use another workspace.")  # fmt: skip
    if Path(f"{path}{MARK}").exists():
        return "is damaged (it was found so while it was used)"
    clean = dict(db.execute(sql.NOTES)).get("clean") == "1"
    if path.stat().st_size > SMALL and clean:
        return ""
    return _quick_check(db)


def _quick_check(db: sqlite3.Connection) -> str:
    until = time.monotonic() + CHECK_SECONDS
    db.set_progress_handler(lambda: time.monotonic() > until, 100_000)
    try:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            return ""
        raise
    return "" if verdict == "ok" else f"is damaged ({' '.join(verdict.split())})"


def set_aside(path: Path) -> Path:
    """Rename the file with what lies beside it to `.damaged-<n>`; nothing is ever deleted.

    The file goes first: side files that a kill leaves behind follow it under the same number at the next start.
    """
    number = 1
    there = [side for side in SIDE_FILES if Path(f"{path}{side}").exists()]
    while any(Path(f"{path}.damaged-{number}{side}").exists() for side in there):
        number += 1
    target = Path(f"{path}.damaged-{number}")
    for side in there:
        Path(f"{path}{side}").rename(f"{target}{side}")
    return target


def _connect(path: Path, options: Options) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=5.0)
    for name, value in (
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        ("fullfsync", "1"),  # macOS: a plain fsync there leaves data in the drive's cache
        ("checkpoint_fullfsync", "1"),
        ("wal_autocheckpoint", "0"),  # ours are explicit, so that an error of theirs is seen
        ("journal_size_limit", "0"),  # the size of the -wal then says how much waits for a checkpoint
        ("cache_size", f"-{options.cache_kib}"),
    ):
        db.execute(f"PRAGMA {name} = {value}").fetchone()
    return db


def _prepare(db: sqlite3.Connection, path: Path, options: Options, notices: list[str]) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if 0 < version < schema.VERSION:
        notices.append(_migrate(db, path, version))
    db.execute("BEGIN IMMEDIATE")
    if version == 0:
        for statement in schema.TABLES:
            db.execute(statement)
        db.executemany("INSERT INTO counters (name, value) VALUES (?, 0)", [(name,) for name in schema.COUNTERS])
        _stamp(db, schema.VERSION)
    db.execute(sql.RAISE_SEQ)
    _reorder(db, options)
    note(db, "clean", "0")
    db.execute("COMMIT")


def _stamp(db: sqlite3.Connection, version: int) -> None:
    db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {version}")


def _migrate(db: sqlite3.Connection, path: Path, version: int) -> str:
    """Bring an older file to this version, one transaction, after a copy; give the notice."""
    copy = _free_name(path, version)
    with closing(sqlite3.connect(copy)) as target:
        db.backup(target)
    db.execute("BEGIN IMMEDIATE")
    for step in range(version, schema.VERSION):
        for statement in schema.MIGRATIONS[step]:
            db.execute(statement)
    _stamp(db, schema.VERSION)
    db.execute("COMMIT")
    return f"{path.name} was brought from version {version} to {schema.VERSION}; a copy of before is {copy.name}."


def _free_name(path: Path, version: int) -> Path:
    number = 1
    while (found := Path(f"{path}.version-{version}-{number}")).exists():
        number += 1
    return found


def _reorder(db: sqlite3.Connection, options: Options) -> None:
    """Put waiting tasks in the order in force, where it is another than the one they were stored in."""
    wanted = f"priority={int(options.use_priority)} due={int(options.use_due_date)}"
    stored = dict(db.execute(sql.NOTES)).get("order")
    if stored is not None and stored != wanted:
        db.execute(sql.REORDER, (options.use_priority, options.use_due_date, NO_DUE))
    note(db, "order", wanted)
