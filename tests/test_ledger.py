"""The check of the kill suite can fail: each kind of loss, made by hand in a queue file that is right, is found and named."""

import sqlite3
from contextlib import closing

import pytest

from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.edges.queue_sqlite.codec import id_key
from code_evolver.ports import End, Outcome
from tests.ledger import read_places, troubles
from tests.queue_helpers import task, tell

ACCEPTED = {"waits", "held", "generated", "reused", "failed"}
ENDED = {"generated", "reused", "failed"}


@pytest.fixture
def path(tmp_path):
    """A queue file with a task in each state, seen while it is open: as a kill would leave it."""

    async def story(queue: SqliteQueue) -> None:
        await queue.put([task(name, name) for name in ("generated", "reused", "failed", "held", "waits")], [])
        leases = await queue.lease(4)
        await queue.begin_many(leases)
        outcomes: list[Outcome] = ["generated", "reused", "failed"]
        await queue.finish(
            [End(lease, outcome, "node", "r", "c") for lease, outcome in zip(leases, outcomes, strict=False)]
        )
        assert troubles(tmp_path / "queue.db", ACCEPTED, ENDED) == []

    tell(tmp_path / "queue.db", story)
    return tmp_path / "queue.db"


def test_each_task_has_its_one_place(path):
    assert read_places(path, {*ACCEPTED, "never"}) == {
        "waits": ["pending"], "held": ["pending"], "generated": ["ended"], "reused": ["ended"], "failed": ["dead"], "never": [],
    }  # fmt: skip
    assert troubles(path, ACCEPTED, ENDED) == []
    assert troubles(path, {"never"}) == ["never was accepted and has no place"]
    assert troubles(path, {"waits"}, {"waits"}) == ["waits had ended and is ['pending']"]


def test_before_the_file_is_made_nothing_may_have_been_accepted(tmp_path):
    assert troubles(tmp_path / "queue.db", set()) == []
    assert troubles(tmp_path / "queue.db", {"a"}) == ["a was accepted and has no place"]


OF = "(SELECT seq FROM seen WHERE id = :id)"


@pytest.mark.parametrize(
    ("victim", "damage"),
    [
        ("waits", "DELETE FROM seen WHERE id = :id"),
        ("waits", f"DELETE FROM bodies WHERE seq = {OF}"),
        ("generated", f"DELETE FROM tasks WHERE seq = {OF}"),
        ("failed", f"DELETE FROM dead WHERE seq = {OF}"),
        ("reused", f"INSERT INTO bodies SELECT seq, x'7b7d' FROM seen WHERE seq = {OF}"),
        ("reused", f"UPDATE tasks SET state = 0 WHERE seq = {OF}"),
        ("waits", f"UPDATE tasks SET state = 3 WHERE seq = {OF}"),
        ("held", "UPDATE seen SET id = x'00' WHERE id = :id"),
    ],
)
def test_one_row_too_few_or_too_many_is_found(victim, damage, path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(damage, {"id": id_key(victim)})
    found = troubles(path, ACCEPTED, ENDED)
    assert any(words.startswith(f"{victim} ") for words in found), found


@pytest.mark.parametrize("name", ["pending", "received", "generated", "reused", "failed"])
def test_a_count_that_is_not_its_rows_is_found(name, path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE counters SET value = value + 1 WHERE name = ?", (name,))
    assert troubles(path, ACCEPTED, ENDED) == ["1 times a count that is not its rows'"]
