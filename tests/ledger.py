"""Reads a queue file as a kill left it, and holds it against what the outside was told: nothing accepted may be missing.

It reads a copy of file and -wal, so that the next start finds what the kill left and not what a look has mended; and by
statements of its own, so that an error in the program's cannot hide itself.
"""

import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from code_evolver.edges.queue_sqlite.codec import id_key

PLACES = (
    "SELECT s.seq, 'pending' FROM seen s JOIN bodies b ON b.seq = s.seq WHERE s.id = ?1"
    " UNION ALL SELECT s.seq, 'ended' FROM seen s JOIN tasks t ON t.seq = s.seq WHERE s.id = ?1 AND t.state IN (3, 4)"
    " UNION ALL SELECT s.seq, 'dead' FROM seen s JOIN dead d ON d.seq = s.seq WHERE s.id = ?1"
)
NEVER = {
    "a body of a task that does not wait": "SELECT count(*) FROM bodies WHERE seq NOT IN (SELECT seq FROM tasks WHERE state < 3)",
    "a task that waits without its body": "SELECT count(*) FROM tasks WHERE state < 3 AND seq NOT IN (SELECT seq FROM bodies)",
    "a failed task without its dead letter": "SELECT count(*) FROM tasks WHERE state = 5 AND seq NOT IN (SELECT seq FROM dead WHERE seq IS NOT NULL)",
    "a dead letter of a task that did not fail": "SELECT count(*) FROM dead WHERE seq IS NOT NULL AND seq NOT IN (SELECT seq FROM tasks WHERE state = 5)",
    "a task that nobody remembers": "SELECT count(*) FROM tasks WHERE seq NOT IN (SELECT seq FROM seen)",
    "a count that is not its rows'": "SELECT count(*) FROM counters c JOIN (SELECT 'pending' AS name, count(*) AS value FROM tasks"
    " WHERE state < 3 UNION SELECT 'received', count(*) FROM tasks WHERE state < 6 UNION SELECT 'generated', count(*) FROM tasks"
    " WHERE state = 3 UNION SELECT 'reused', count(*) FROM tasks WHERE state = 4 UNION SELECT 'failed', count(*) FROM tasks"
    " WHERE state = 5) r ON r.name = c.name AND r.value <> c.value",
}  # fmt: skip
"""What a queue file that was never pruned holds at no moment."""


@contextmanager
def copied(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of the file with its -wal; an empty one where there is none yet."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / path.name
        for side in ("", "-wal"):
            if Path(f"{path}{side}").exists():
                shutil.copyfile(f"{path}{side}", f"{target}{side}")
        with closing(sqlite3.connect(target)) as db:
            yield db


def read_places(path: Path, ids: Collection[str]) -> dict[str, list[str]]:
    """Where each id stands: "pending", "ended", "dead"; one word for each time it was accepted and for each place."""
    with copied(path) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'counters'").fetchone():
            return {one: [] for one in ids}  # killed before the tables were made
        found: defaultdict[str, list[str]] = defaultdict(list)
        for one in ids:
            found[one] += [place for _, place in db.execute(PLACES, (id_key(one),))]
        return dict(found)


def troubles(path: Path, accepted: Collection[str], ended: Collection[str] = ()) -> list[str]:
    """Say what is wrong: accepted ids that have not exactly one place, ended ones that wait again, rows that do not fit."""
    places = read_places(path, {*accepted, *ended})
    found = [
        f"{one} was accepted and has {' and '.join(places[one]) or 'no place'}"
        for one in sorted(accepted)
        if len(places[one]) != 1
    ]
    found += [
        f"{one} had ended and is {places[one]}" for one in sorted(ended) if places[one] not in (["ended"], ["dead"])
    ]
    with copied(path) as db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'counters'").fetchone():
            found += [
                f"{times} times {what}" for what, query in NEVER.items() for (times,) in db.execute(query) if times
            ]
            found += [f"damaged: {word}" for (word,) in db.execute("PRAGMA integrity_check") if word != "ok"]
    return found
