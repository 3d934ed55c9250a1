"""The index of nodes: one SQLite file, and registry.json kept in step with it."""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_evolver.core.errors import StoreError
from code_evolver.core.examples import Candidate
from code_evolver.core.registry import summary
from code_evolver.edges.node_index import search
from code_evolver.edges.node_index.registry_file import RegistryFile
from code_evolver.edges.node_index.schema import BUSY_SECONDS, has_words, open_database, set_aside
from code_evolver.edges.node_index.trouble import mapped

SMALL = 1000
"""Up to so many nodes registry.json is complete after each save; above, at most a second behind (call `catch_up`)."""


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
    version: int
    rating: str


_COLUMNS = "name, node_key, program_key, task_type, source_task, sha256, generator, covers, title, version, rating"
_UPSERT = (
    "INSERT INTO nodes (name, node_key, program_key, task_type, source_task, sha256, generator, covers, title, summary, version,"
    " rating) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (name) DO UPDATE SET node_key = excluded.node_key,"
    " program_key = excluded.program_key, sha256 = excluded.sha256, covers = excluded.covers, summary = excluded.summary,"
    " rating = excluded.rating"
)
_CHANGED = "INSERT INTO notes VALUES ('changed', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"


class NodeIndex:
    """Find and register nodes. Safe to use from several threads; writing registry.json holds nobody up who looks.

    Every method raises StoreError where index.db cannot be used (locked, damaged, disk), DiskFull where there is no room.
    """

    def __init__(self, database: Path, registry: Path) -> None:
        """Open, or make, index.db. A damaged or foreign one is set aside and says so in `notices`: reconcile it."""
        self._database = database
        self._lock = threading.RLock()
        self._registry_lock = threading.RLock()
        self._db, self.notices = open_database(database)
        with ExitStack() as undo:
            undo.callback(self._db.close)
            with self._reading() as db:
                self._full_text = has_words(db)
                self._count = int(db.execute("SELECT count(*) FROM nodes").fetchone()[0])
            undo.pop_all()
        self._behind: list[tuple[str, dict[str, Any]]] = []
        self._stale = False
        self._file = RegistryFile(registry, self._note("registry").rpartition("|")[0])

    def __len__(self) -> int:
        """Count the nodes."""
        return self._count

    # ── looking up ───────────────────────────────────────────────────────────────────────────────────────────────────
    def newest(self, node_key: str) -> Entry | None:
        """Find the newest node of a node key, however rated."""
        return self._one("node_key = ? ORDER BY number DESC", node_key)

    def program(self, program_key: str) -> Entry | None:
        """Find a node whose program serves a program key: the oldest, of a program that nobody has rated bad."""
        return self._one(
            "program_key = ?1 AND sha256 NOT IN (SELECT sha256 FROM nodes WHERE program_key = ?1 AND rating = 'bad') "
            "ORDER BY number",
            program_key,
        )

    def of_task(self, node_key: str, task_id: str) -> Entry | None:
        """Find the newest node that a task was the source of."""
        return self._one("node_key = ? AND +source_task = ? ORDER BY number DESC", node_key, task_id)

    def with_program(self, sha256: str) -> str | None:
        """Find the oldest node with this very program."""
        found = self._one("sha256 = ? ORDER BY number", sha256)
        return None if found is None else found.name

    def page(self, offset: int, limit: int, task_type: str = "") -> list[tuple[str, dict[str, Any]]]:
        """Give a page of (name, summary with rating) in the order of registration."""
        query, values = "SELECT name, summary, rating FROM nodes WHERE task_type = ?", [task_type]
        where: tuple[Any, ...] = (*values, limit, offset)
        if not task_type:
            query, where = "SELECT name, summary, rating FROM nodes WHERE number > ?", (self._before(offset), limit, 0)
        with self._reading() as db:
            rows = db.execute(f"{query} ORDER BY number LIMIT ? OFFSET ?", where).fetchall()
        return [(name, {**json.loads(shown), "rating": rating}) for name, shown, rating in rows]

    def _before(self, offset: int) -> int:
        """Give the number after which a page begins: counted, or read off where no number is missing."""
        with self._reading() as db:
            first, last = db.execute(
                "SELECT (SELECT min(number) FROM nodes), (SELECT max(number) FROM nodes)"
            ).fetchone()
            if offset <= 0 or first is None:
                return -1
            if last - first + 1 == self._count:
                return int(first) + offset - 1
            found = db.execute("SELECT number FROM nodes ORDER BY number LIMIT 1 OFFSET ?", (offset - 1,)).fetchone()
        return int(last if found is None else found[0])

    def names(self) -> Iterator[str]:
        """Give all names, a piece at a time."""
        last = -1
        while True:
            with self._reading() as db:
                rows = db.execute(
                    "SELECT number, name FROM nodes WHERE number > ? ORDER BY number LIMIT 1000", (last,)
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from (name for _, name in rows)

    def copies(self) -> int:
        """Count the nodes that are copies of a proven program."""
        with self._reading() as db:
            return int(db.execute("SELECT count(*) FROM nodes WHERE generator = 'copy'").fetchone()[0])

    def originals(self) -> Iterator[str]:
        """Give the names of nodes that are no copies, each program once, a piece at a time."""
        last = -1
        while True:
            with self._reading() as db:
                rows = db.execute(
                    "SELECT number, name FROM nodes AS n WHERE number > ? AND generator != 'copy' AND NOT EXISTS (SELECT 1 FROM"
                    " nodes AS e WHERE e.sha256 = n.sha256 AND e.generator != 'copy' AND e.number < n.number)"
                    " ORDER BY number LIMIT 500",
                    (last,),
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from (name for _, name in rows)

    def unlisted(self, names: Sequence[str]) -> list[str]:
        """Give those of some names (a few hundred) that the index does not have."""
        marks = ",".join("?" * len(names))
        with self._reading() as db:
            rows = db.execute(f"SELECT name FROM nodes WHERE name IN ({marks})", list(names)).fetchall()  # noqa: S608 - question marks only
        known = {name for (name,) in rows}
        return [name for name in names if name not in known]

    def near(self, task_type: str, words: Sequence[str]) -> list[Candidate]:
        """Give nodes that could serve as examples (core.examples.nearest chooses)."""
        with self._reading() as db:
            return search.candidates(db, task_type, words, full_text=self._full_text)

    def lessons(self, program_key: str, task_type: str, limit: int = 5) -> list[tuple[str, str]]:
        """Give (rule, message) of what earlier drafts of this kind got wrong."""
        with self._reading() as db:
            return search.lessons(db, program_key, task_type, limit)

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def learn(self, program_key: str, task_type: str, found: Sequence[tuple[str, str]]) -> None:
        """Note what a draft got wrong."""
        with self._lock, self._writing():
            search.learn(self._db, program_key, task_type, found)

    def register(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Add nodes, or note their new state, and see to registry.json; give how many. Idempotent. Raises DiskFull."""
        fresh: list[tuple[str, dict[str, Any]]] = []
        given = added = changed = 0
        with self._lock:
            with self._writing():
                for record in records:
                    given += 1
                    state = self._insert(record)
                    added += state == "new"
                    changed += state == "changed"
                    if state == "new" and len(fresh) <= SMALL:
                        fresh.append((record["name"], summary(record)))
                if added or changed:
                    self._db.execute(_CHANGED)
            self._count += added
            # So many at once: registry.json is made anew from the index, nothing is held.
            self._stale = self._stale or changed > 0 or len(fresh) + len(self._behind) > SMALL
            self._behind = [] if self._stale else [*self._behind, *fresh]
        if self._count <= SMALL:
            self.catch_up()
        return given

    def _insert(self, record: Mapping[str, Any]) -> str:
        text = json.dumps(summary(record), ensure_ascii=False)
        before = self._db.execute("SELECT summary FROM nodes WHERE name = ?", (record["name"],)).fetchone()
        row = self._db.execute(
            _UPSERT,
            (record["name"], record["node_key"], record["program_key"], record["task_type"], record["source_task"],
             record["sha256"], record["generator"].get("kind", ""), json.dumps(record["proof"].get("covers", {})),
             str(record.get("title", "")), text, record["version"], str(record.get("rating", ""))),
        )  # fmt: skip
        if before is not None:
            return "same" if before[0] == text else "changed"
        if self._full_text:
            search.remember_words(self._db, int(row.lastrowid or 0), record)
        return "new"

    def forget(self, names: Iterable[str]) -> None:
        """Take nodes off whose folders are gone."""
        with self._lock:
            gone = 0
            with self._writing():
                for name in names:
                    gone += self._db.execute("DELETE FROM nodes WHERE name = ?", (name,)).rowcount
                self._db.execute(_CHANGED)
            self._count -= gone
            self._stale = True
        self.catch_up()

    def clear(self) -> None:
        """Forget all nodes: they are about to be registered anew."""
        with self._lock, self._writing():
            self._db.execute("DELETE FROM nodes")
            if self._full_text:
                self._db.execute("INSERT INTO words (words) VALUES ('delete-all')")
            self._db.execute(_CHANGED)
            self._count, self._stale = 0, True

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, mapped(self._database):
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with mapped(self._database), self._db:
            yield

    # ── registry.json ────────────────────────────────────────────────────────────────────────────────────────────────
    def catch_up(self) -> None:
        """Bring registry.json up to date: what is new is appended to a copy, which then replaces the file."""
        with self._registry_lock:
            with self._lock:
                fresh, self._behind = self._behind, []
                stale, self._stale = self._stale, False
                first, state = self._count == len(fresh), self._note("changed")
            if not fresh and not stale:
                return
            try:
                if stale or not self._file.ours:
                    self._write_anew()
                else:
                    self._file.add(fresh, first=first)
                self._keep_note("registry", f"{self._file.seal}|{state}")
            except StoreError:
                with self._lock:
                    self._stale = True
                raise

    def _write_anew(self) -> None:
        with (
            mapped(self._database),
            closing(sqlite3.connect(self._database, timeout=BUSY_SECONDS)) as reader,  # who looks up need not wait
        ):
            rows = reader.execute("SELECT name, summary FROM nodes ORDER BY number")
            self._file.write((name, json.loads(shown)) for name, shown in rows)

    def mend_registry(self) -> str:
        """Write registry.json anew where it is missing, damaged or behind; a damaged one is set aside. Give the notice."""
        with self._registry_lock:
            seal, _, state = self._note("registry").rpartition("|")
            if seal and self._file.ours and state == self._note("changed"):
                return ""  # not touched since it was written, and nothing is new: no need to read it
            problem, unreadable = self._file.problem(self.names, len(self))
            if problem:
                if unreadable:
                    problem += f" It was kept as {set_aside(self._file.path).name}."
                with self._lock:
                    self._stale = True
                self.catch_up()
        return problem

    def close(self) -> None:
        """Write what registry.json lacks, where there is room for it, and close."""
        with suppress(StoreError):  # the next start sees that it is behind
            self.catch_up()
        with self._lock:
            self._db.close()

    def _one(self, where: str, *values: str) -> Entry | None:
        with self._reading() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM nodes WHERE {where} LIMIT 1", values).fetchone()  # noqa: S608 - ours
        if row is None:
            return None
        name, key, program, kind, source, sha256, generator, covers, title, version, rating = row
        return Entry(name, key, program, kind, source, sha256, generator, json.loads(covers), title, version, rating)

    def _note(self, name: str) -> str:
        with self._reading() as db:
            row = db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def _keep_note(self, name: str, value: str) -> None:
        with self._lock, self._writing():
            self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))
