"""Which nodes are like a task (full-text search, else LIKE), and what earlier drafts of its kind got wrong."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from code_evolver.core.examples import Candidate, words_of

MOST_MATCHES = 48
NEWEST_OF_TYPE = 12
NEWEST_OF_ALL = 4
LESSONS_A_KEY = 8
MOST_LESSONS = 5_000
_COLUMNS = "n.number, n.name, n.task_type, n.program_key, n.title, n.sha256, n.rating"
_GOOD = "n.generator != 'copy' AND n.rating != 'bad'"
_NEWEST_FIRST = " ORDER BY n.number DESC LIMIT ?"
_OF_TYPE = f"SELECT {_COLUMNS} FROM nodes AS n INDEXED BY by_original WHERE {_GOOD} AND n.task_type = ?{_NEWEST_FIRST}"  # noqa: S608 - constants
_OF_ALL = f"SELECT {_COLUMNS} FROM nodes AS n INDEXED BY originals WHERE {_GOOD}{_NEWEST_FIRST}"  # noqa: S608 - constants
_MATCHING = (
    f"SELECT {_COLUMNS} FROM (SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC LIMIT ?) AS w "  # noqa: S608 - constants
    f"CROSS JOIN nodes AS n ON n.number = w.rowid WHERE {_GOOD}"
)
_LIKE = f"SELECT {_COLUMNS} FROM nodes AS n WHERE {_GOOD} AND n.name LIKE ?{_NEWEST_FIRST}"  # noqa: S608 - constants


def remember_words(db: sqlite3.Connection, number: int, record: Mapping[str, Any]) -> None:
    """Make an original program's words searchable; a copy says nothing new."""
    if record["generator"].get("kind") != "copy":
        db.execute("INSERT INTO words (rowid, words) VALUES (?, ?)", (number, " ".join(words_of(record))))


def candidates(db: sqlite3.Connection, task_type: str, words: Sequence[str], *, full_text: bool) -> list[Candidate]:
    """Give nodes that could serve as examples: those that share words, the newest of the type, a few of any."""
    found: dict[int, Candidate] = {}
    rows = _matching(db, words, full_text=full_text)
    rows += db.execute(_OF_TYPE, (task_type, NEWEST_OF_TYPE))
    rows += db.execute(_OF_ALL, (NEWEST_OF_ALL,))
    for number, name, kind, key, title, sha256, rating in rows:
        found[number] = Candidate(number, name, kind, key, title, sha256, rating)
    return list(found.values())


def _matching(db: sqlite3.Connection, words: Sequence[str], *, full_text: bool) -> list[tuple[Any, ...]]:
    """Give nodes with all the words, then with any, the newest first: no scoring, so that size does not matter."""
    kept = [word for word in words if word.isalnum()][:8]
    if not kept:
        return []
    rows: list[tuple[Any, ...]] = []
    if not full_text:
        for word in kept:
            rows += db.execute(_LIKE, (f"%{word}%", MOST_MATCHES))
        return rows
    for joint in (" AND ", " OR ") if len(kept) > 1 else (" OR ",):
        rows += db.execute(_MATCHING, (joint.join(f'"{word}"' for word in kept), MOST_MATCHES))
    return rows


def learn(db: sqlite3.Connection, program_key: str, task_type: str, found: Sequence[tuple[str, str]]) -> None:
    """Count what a draft got wrong; of each key the most frequent are kept, and of all keys the latest."""
    (number,) = db.execute("SELECT coalesce(max(number), 0) + 1 FROM lessons").fetchone()
    db.executemany(
        "INSERT INTO lessons VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET count = count + 1, number = excluded.number",
        [(program_key, task_type, rule, message, number) for rule, message in found],
    )
    db.execute(
        "DELETE FROM lessons WHERE program_key = ?1 AND rowid NOT IN (SELECT rowid FROM lessons WHERE program_key = ?1"
        " ORDER BY count DESC, number DESC, rule, message LIMIT ?2)",
        (program_key, LESSONS_A_KEY),
    )
    (total,) = db.execute("SELECT count(*) FROM lessons").fetchone()
    if total > MOST_LESSONS:
        db.execute(
            "DELETE FROM lessons WHERE rowid IN (SELECT rowid FROM lessons ORDER BY number LIMIT ?)",
            (total - MOST_LESSONS,),
        )


def lessons(db: sqlite3.Connection, program_key: str, task_type: str, limit: int) -> list[tuple[str, str]]:
    """Give (rule, message) of what drafts of this kind got wrong most often: of this program first, then of its type."""
    rows = db.execute(
        "SELECT rule, message, max(program_key = ?) AS same, sum(count) AS total FROM lessons WHERE task_type = ?"
        " GROUP BY rule, message ORDER BY same DESC, total DESC, rule, message LIMIT ?",
        (program_key, task_type, limit),
    )
    return [(rule, message) for rule, message, _, _ in rows]
