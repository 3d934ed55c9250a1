"""index.db (SQLite) and registry.json: how nodes are found. Both can be made anew from nodes/ at any time."""

import contextlib
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_evolver.core.errors import DiskFull, StoreError
from code_evolver.core.registry import SCHEMA_VERSION, appended, entry, read_registry, render, summary

SMALL = 1000
"""Up to so many nodes registry.json is complete after each save; above, at most a second behind."""
_APPLICATION_ID = 0x43454958  # "CEIX"
_NO_SPACE = (28, 122)  # ENOSPC, EDQUOT
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)  # SQLite calls a write of the WAL that finds no room an i/o error
_SCHEMA = """
CREATE TABLE nodes (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, node_key TEXT NOT NULL, program_key TEXT NOT NULL, task_type TEXT NOT NULL,
  source_task TEXT NOT NULL, sha256 TEXT NOT NULL, generator TEXT NOT NULL, covers TEXT NOT NULL, title TEXT NOT NULL,
  summary TEXT NOT NULL, rating TEXT NOT NULL DEFAULT '', uses INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX by_node_key ON nodes (node_key, number);
CREATE INDEX by_program_key ON nodes (program_key, number);
CREATE INDEX by_source_task ON nodes (source_task);
CREATE INDEX by_sha256 ON nodes (sha256, number);
CREATE INDEX by_type ON nodes (task_type, number);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index knows of a node."""

    name: str
    node_key: str
    program_key: str
    task_type: str
    source_task: str
    sha256: str
    generator: str
    covers: Mapping[str, Any]
    title: str
    rating: str


_COLUMNS = "name, node_key, program_key, task_type, source_task, sha256, generator, covers, title, rating"


class NodeIndex:
    """Find and register nodes. Safe to use from several threads."""

    def __init__(self, database: Path, registry: Path) -> None:
        """Open, or make, index.db. A damaged or foreign one is set aside; `fresh` is then true: reconcile it."""
        self._registry = registry
        self._database = database
        self._lock = threading.RLock()
        self.notices: list[str] = []
        database.parent.mkdir(parents=True, exist_ok=True)
        self._connection = self._open()
        self._behind: list[tuple[str, dict[str, Any]]] = []
        self._registry_size = -1

    def __len__(self) -> int:
        """Count the nodes."""
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM nodes").fetchone()[0])

    def find(self, node_key: str) -> Entry | None:
        """Find the newest node of a node key that nobody has rated bad."""
        return self._one("node_key = ? AND rating != 'bad' ORDER BY number DESC", node_key)

    def program(self, program_key: str) -> Entry | None:
        """Find a node whose program serves a program key: the oldest that nobody has rated bad."""
        return self._one("program_key = ? AND rating != 'bad' ORDER BY number", program_key)

    def get(self, name: str) -> Entry | None:
        """Find a node by its name."""
        return self._one("name = ?", name)

    def of_task(self, node_key: str, task_id: str) -> Entry | None:
        """Find the node that a task was the source of."""
        with self._lock:
            row = self._connection.execute(
                f"SELECT {_COLUMNS} FROM nodes WHERE node_key = ? AND source_task = ?",
                (node_key, task_id),
            ).fetchone()
        return _entry(row)

    def with_program(self, sha256: str) -> str | None:
        """Find the oldest node with this very program."""
        with self._lock:
            row = self._connection.execute(
                "SELECT name FROM nodes WHERE sha256 = ? ORDER BY number LIMIT 1", (sha256,)
            ).fetchone()
        return None if row is None else str(row[0])

    def newest(self, node_key: str) -> tuple[str, int] | None:
        """Give (name, version) of the newest node of a node key, however rated."""
        with self._lock:
            row = self._connection.execute(
                "SELECT name, summary FROM nodes WHERE node_key = ? ORDER BY number DESC LIMIT 1",
                (node_key,),
            ).fetchone()
        return None if row is None else (str(row[0]), int(json.loads(row[1])["version"]))

    def page(self, offset: int, limit: int, task_type: str = "") -> list[tuple[str, dict[str, Any]]]:
        """Give a page of (name, summary) in the order of registration."""
        where = "WHERE task_type = ?" if task_type else "WHERE '' = ?"
        with self._lock:
            rows = self._connection.execute(
                f"SELECT name, summary FROM nodes {where} ORDER BY number LIMIT ? OFFSET ?",  # noqa: S608
                (task_type, limit, offset),
            ).fetchall()
        return [(name, json.loads(shown)) for name, shown in rows]

    def names(self) -> Iterator[str]:
        """Give all names."""
        with self._lock:
            rows = self._connection.execute("SELECT name FROM nodes").fetchall()
        return (name for (name,) in rows)

    def similar(self, task_type: str, limit: int) -> list[tuple[str, str]]:
        """Give (name, title) of good nodes of a type, distinct programs first, newest first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT name, title FROM nodes WHERE task_type = ? AND rating != 'bad' AND generator != 'copy' ORDER BY number DESC LIMIT ?",
                (task_type, limit),
            ).fetchall()
        return [(name, title) for name, title in rows]

    def rate(self, name: str, rating: str) -> None:
        """Note what people say of a node: "good", "bad" or ""."""
        with self._lock, self._connection:
            self._connection.execute("UPDATE nodes SET rating = ? WHERE name = ?", (rating, name))

    def register(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add nodes, or note their new state, and write registry.json. Idempotent."""
        with self._lock:
            known = {record["name"]: self.get(record["name"]) is not None for record in records}
            try:
                with self._connection:
                    for record in records:
                        self._insert(record)
            except sqlite3.OperationalError as error:
                raise _no_room("index.db", error) from error
            fresh = [(record["name"], summary(record)) for record in records if not known[record["name"]]]
            self._behind.extend(fresh)
            if len(fresh) < len(records):
                self._write_registry_anew()
            elif len(self) <= SMALL:
                self.catch_up()

    def forget(self, names: Iterable[str]) -> None:
        """Take nodes off whose folders are gone."""
        with self._lock:
            with self._connection:
                for name in names:
                    self._connection.execute("DELETE FROM nodes WHERE name = ?", (name,))
            self._write_registry_anew()

    def catch_up(self) -> None:
        """Bring registry.json up to date: what is new is appended to a copy, which then replaces the file."""
        with self._lock:
            if not self._behind:
                return
            if not self._registry_is_ours():
                self._write_registry_anew()
                return
            first = len(self) == len(self._behind)
            cut, text = appended(self._registry_size, first, [entry(name, shown) for name, shown in self._behind])
            self._replace_registry(cut, [text])
            self._behind.clear()

    def registry_problem(self) -> str:
        """Say what is wrong with registry.json: "" when it holds exactly the nodes of the index."""
        return self._look_at_registry()[0]

    def mend_registry(self) -> str:
        """Write registry.json anew where it is missing, damaged or behind; a damaged one is set aside. Give the notice."""
        problem, unreadable = self._look_at_registry()
        if problem:
            with self._lock:
                if unreadable:
                    problem += f" It was kept as {set_aside(self._registry).name}."
                self._write_registry_anew()
        return problem

    def _look_at_registry(self) -> tuple[str, bool]:
        """Give (what is wrong, whether the file is not ours to read)."""
        try:
            found = read_registry(self._registry.read_bytes())
        except FileNotFoundError:
            return ("registry.json is missing." if len(self) else "", False)
        except StoreError as error:
            return (error.message, True)
        except OSError as error:
            return (f"registry.json cannot be read: {error.strerror}.", False)
        same = len(found) == len(self) and found.keys() == set(self.names())
        return ("" if same else "registry.json does not list all nodes.", False)

    def close(self) -> None:
        """Write what registry.json lacks and close."""
        with self._lock:
            self.catch_up()
            self._connection.close()

    def _one(self, where: str, value: str) -> Entry | None:
        with self._lock:
            row = self._connection.execute(
                f"SELECT {_COLUMNS} FROM nodes WHERE {where} LIMIT 1",
                (value,),
            ).fetchone()
        return _entry(row)

    def _insert(self, record: Mapping[str, Any]) -> None:
        self._connection.execute(
            "INSERT INTO nodes (name, node_key, program_key, task_type, source_task, sha256, generator, covers, title, summary) "
            "VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (name) DO UPDATE SET node_key = excluded.node_key, "
            "program_key = excluded.program_key, sha256 = excluded.sha256, covers = excluded.covers, summary = excluded.summary",
            (record["name"], record["node_key"], record["program_key"], record["task_type"], record["source_task"],
             record["sha256"], record["generator"].get("kind", ""), json.dumps(record["proof"].get("covers", {})),
             str(record.get("title", "")), json.dumps(summary(record), ensure_ascii=False)),
        )  # fmt: skip

    def _all(self) -> Iterator[tuple[str, dict[str, Any]]]:
        rows = self._connection.execute("SELECT name, summary FROM nodes ORDER BY number")
        return ((name, json.loads(shown)) for name, shown in rows)

    def _write_registry_anew(self) -> None:
        self._replace_registry(0, render(self._all()))
        self._behind.clear()

    def _registry_is_ours(self) -> bool:
        with contextlib.suppress(OSError):
            return self._registry.stat().st_size == self._registry_size
        return False

    def _replace_registry(self, keep: int, text: Iterable[str]) -> None:
        """Write the first `keep` bytes of the present file, then `text`, to a new file, and put that in its place."""
        fresh = self._registry.with_name(".registry.json.new")
        try:
            if keep:
                shutil.copyfile(self._registry, fresh)
            with fresh.open("r+b" if keep else "wb") as stream:
                stream.seek(keep)
                stream.truncate()
                for piece in text:
                    stream.write(piece.encode("utf-8"))
                size = stream.tell()
            _replace(fresh, self._registry)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise _no_room("registry.json", error) from error
            raise StoreError(
                f"registry.json cannot be written: {error.strerror}.", "Check the workspace's permissions and room."
            ) from error
        self._registry_size = size

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            kept = set_aside(self._database)
            self.notices.append(
                f"index.db could not be used ({error}); it was kept as {kept.name} and is made anew from nodes/"
            )
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, check_same_thread=False)
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if not empty and (application, version) != (_APPLICATION_ID, SCHEMA_VERSION):
                raise sqlite3.DatabaseError("another program's or version's file")
            # Rebuildable from nodes/: a lost last transaction costs a look at the folder at the next start, so no sync a commit.
            connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-8000;")
            if empty:
                connection.executescript(
                    f"{_SCHEMA} PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION};"
                )
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection


def _no_room(file: str, error: Exception) -> StoreError:
    """Read an error of a write that the disk refused: a full one passes, so what was to be written is tried again."""
    full = isinstance(error, OSError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _FULL
    kind = DiskFull if full else StoreError
    return kind(f"{file} cannot be written: {error}.", "Check the workspace's disk: its room and permissions.")


def set_aside(path: Path) -> Path:
    """Rename a damaged file, with SQLite's companions, to the first free `<name>.damaged-<n>`."""
    number = 1
    while os.path.lexists(path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(path.with_name(f"{path.name}.damaged-{number}{suffix}"))
    return path.with_name(f"{path.name}.damaged-{number}")


def _entry(row: Sequence[Any] | None) -> Entry | None:
    if row is None:
        return None
    *texts, covers, title, rating = row
    name, node_key, program_key, task_type, source_task, sha256, generator = texts
    return Entry(
        name, node_key, program_key, task_type, source_task, sha256, generator, json.loads(covers), title, rating
    )


def _replace(source: Path, target: Path) -> None:
    for _ in range(20):  # Windows refuses while a virus scanner or an editor has the target open
        with contextlib.suppress(PermissionError):
            source.replace(target)
            return
        threading.Event().wait(0.05)
    source.replace(target)
