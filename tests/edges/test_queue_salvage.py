"""What is taken over from a damaged queue file: all tables, past torn pages and flipped bits, with counters that fit."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from code_evolver.edges.queue_sqlite import SqliteQueue, read_tasks
from code_evolver.ports import Counts, End
from tests.queue_helpers import Clock, refusal, task, tell

PAGE = 4096
NOT_COPIED = {
    "counters": "what they count is taken over: see below",
    "notes": "who works, and in which order, is written anew",
}


def rows(path: Path, table: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return sorted(map(repr, db.execute(f"SELECT * FROM {table}")))


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def leaves(path: Path, table: str) -> dict[int, int]:
    """The pages of a table that hold rows, in order, with how many."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        if ("ENABLE_DBSTAT_VTAB",) not in db.execute("PRAGMA compile_options").fetchall():
            pytest.skip("this SQLite does not say which page is whose")
        query = "SELECT pageno, ncell FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"
        return dict(db.execute(query, (table,)))


def tear(path: Path, pages: Iterable[int]) -> None:
    with path.open("r+b") as stream:
        for page in pages:
            stream.seek((page - 1) * PAGE)
            stream.write(b"\xff" * PAGE)


def change(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


def looked_at(path: Path, **settings: Any) -> tuple[str, list[str], Counts]:
    """Open a damaged file; give the notice, the ids that can be leased, and the counts."""
    found: list[Any] = []

    async def story(queue: SqliteQueue) -> None:
        assert await queue.recover() == (await queue.counts()).pending
        found.append([lease.task.id for lease in await queue.lease(100_000)])
        found.append(await queue.counts())
        assert await queue.put([task("brand new")], []) == ["queued"]

    (notice,) = tell(path, story, **settings)
    return notice, found[0], found[1]


def balanced(counts: Counts) -> bool:
    parts = (counts.generated, counts.reused, counts.failed, counts.pending)
    return min(parts) >= 0 and counts.received == sum(parts)


async def all_sorts(queue: SqliteQueue) -> None:
    """One of everything: ended tasks with accounts and reports, dead letters, a postponed one, some that wait."""
    await queue.put([task(f"t{number}", "x" * 300) for number in range(40)], [refusal()])
    leases = await queue.lease(20)
    ends = [End(lease, "generated", "node", usage={"tokens_in": 10.0}) for lease in leases[:5]]
    ends += [End(lease, "reused", "node") for lease in leases[5:8]]
    ends += [End(lease, "failed", reason="no draft", code="no_draft") for lease in leases[8:12]]
    await queue.begin_many(leases)
    assert all(await queue.finish(ends))
    await queue.postpone(leases[12], 60.0, "down", failure=True)
    await queue.drop_dead([5])


def test_every_table_is_taken_over(tmp_path: Path):
    path = tmp_path / "queue.db"
    clock = Clock()
    tell(path, all_sorts, reports=True, clock=clock)
    before = {table: rows(path, table) for table in tables(path)}
    assert all(before.values()), "each table holds something: fill a new one in `all_sorts`"
    waiting = [row for row in before["tasks"] if "'t" in row]
    assert len(waiting) == 40
    (torn,) = leaves(path, "counters")
    tear(path, [torn])

    async def nothing_more(queue: SqliteQueue) -> None:
        assert balanced(await queue.counts())

    tell(path, nothing_more, reports=True, clock=clock)
    assert tables(path) == list(before)
    for table, held in before.items():
        if table not in NOT_COPIED and table != "tasks":
            assert rows(path, table) == held, table
    was, now = (
        {(row.id, row.node, row.code, row.reason, row.at, row.ended, row.starts, row.failures) for row in found}
        for found in (read_tasks(Path(f"{path}.damaged-1"), 99), read_tasks(path, 99))
    )
    assert now == was


def test_a_row_that_lost_its_id_is_made_again_of_its_body_and_stops_nothing(tmp_path: Path):
    path = tmp_path / "queue.db"
    tell(path, all_sorts)
    content = bytearray(path.read_bytes())
    header = content.rfind(bytes([0, 19, 31]), 0, content.find(b"t25summarize"))  # of the record: seq, id, type
    content[header + 1] = 0
    path.write_bytes(content)
    notice, waiting, counts = looked_at(path)
    assert "and 28 of its waiting tasks" in notice
    assert sorted(waiting) == sorted(f"t{number}" for number in (*range(12, 40),))
    assert (counts.received, counts.failed, counts.dead) == (40, 4, 4)


FLIPS = {
    "an id of NULL": ("UPDATE tasks SET id = ? WHERE id = 't25'", None),
    "an id that is no UTF-8": ("UPDATE tasks SET id = CAST(? AS TEXT) WHERE id = 't25'", b"\xff\xfe"),
    "a state that there is not": ("UPDATE tasks SET state = ? WHERE id = 't25'", 77),
    "a state that is a text": ("UPDATE tasks SET state = ? WHERE id = 't25'", "ready"),
    "an end without its time": ("UPDATE tasks SET state = ? WHERE id = 't25'", 3),
}


@pytest.mark.parametrize("flip", FLIPS)
def test_a_row_that_makes_no_sense_is_left_out_told_and_made_again(tmp_path: Path, flip: str):
    path = tmp_path / "queue.db"
    tell(path, all_sorts)
    statement, value = FLIPS[flip]
    loosened(path, "tasks")
    change(path, statement, value)
    tear(path, leaves(path, "notes"))
    notice, waiting, counts = looked_at(path)
    assert "28 of its waiting tasks were taken over. 1 damaged rows were left out." in notice
    assert "t25" in waiting
    assert balanced(counts)


def loosened(path: Path, table: str) -> None:
    """Drop what forbids odd values in a table, as damage does."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = 1")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = ?", (table,))
        db.commit()


def test_a_body_that_can_no_more_be_read_and_has_no_row_is_kept_as_a_dead_letter(tmp_path: Path):
    path = tmp_path / "queue.db"
    tell(path, all_sorts)
    loosened(path, "tasks")
    change(path, "UPDATE tasks SET id = NULL WHERE id = 't25'")
    change(path, "UPDATE bodies SET body = ? WHERE seq = 26", b'{"id": "t2')
    tear(path, leaves(path, "notes"))
    kept: list[bytes] = []

    async def story(queue: SqliteQueue) -> None:
        kept.extend(letter.raw for letter in await queue.dead_letters() if letter.kind == "refused")
        assert (await queue.counts()).pending == 27

    (notice,) = tell(path, story)
    assert "27 of its 28 waiting tasks" in notice
    assert b'{"id": "t2' in kept


@pytest.mark.parametrize("table", ["bodies", "tasks", "seen"])
@pytest.mark.parametrize("torn", [[0], [-1], [1, 5], [2, 3, 4, 9], [0, 4, -1]], ids=str)
def test_past_torn_pages_the_reading_goes_on(tmp_path: Path, table: str, torn: Sequence[int]):
    path = tmp_path / "queue.db"

    async def many(queue: SqliteQueue) -> None:
        await queue.put([task(str(number), "x" * 300) for number in range(3000)], [])

    tell(path, many)
    held = leaves(path, table)
    pages = [list(held)[place] for place in torn]
    tear(path, pages)
    notice, waiting, counts = looked_at(path)
    lost = sum(held[page] for page in pages) if table == "bodies" else 0
    assert len(waiting) == 3000 - lost, "what stood on the torn pages, and no more"
    assert f"{len(waiting)} of its " in notice
    assert counts.pending == counts.received == len(waiting) == len(set(waiting))


@pytest.mark.parametrize("also", ["", "seen", "tasks"])
def test_without_counters_the_rows_say_how_many_there_were_and_no_number_is_given_twice(tmp_path: Path, also: str):
    path = tmp_path / "queue.db"
    tell(path, all_sorts)
    tear(path, [*leaves(path, "counters"), *(list(leaves(path, also))[-1:] if also else [])])

    async def story(queue: SqliteQueue) -> None:
        await queue.recover()
        counts = await queue.counts()
        assert (counts.generated, counts.reused, counts.pending) == (5, 3, 28)
        assert counts.failed == (3 if also == "tasks" else 4), (
            "but for one that was dropped, of which nothing else tells"
        )
        assert balanced(counts)
        await queue.put([task("brand new")], [])
        assert max(await queue._ask(lambda db: db.execute("SELECT seq FROM tasks").fetchall())) == (41,)
        assert await queue.retry_dead([2, 3, 4, 5]) == 3
        assert balanced(await queue.counts())

    tell(path, story)


def test_a_task_that_was_lost_is_worked_on_where_the_hub_sends_it_again(tmp_path: Path):
    path = tmp_path / "queue.db"
    tell(path, all_sorts)
    tear(path, list(leaves(path, "bodies"))[-1:])

    async def story(queue: SqliteQueue) -> None:
        left = {row.id for row in await queue.tasks(99, pending=True)}
        gone = next(f"t{number}" for number in range(12, 40) if f"t{number}" not in left)
        assert await queue.put([task(gone, "x" * 300)], []) == ["revised"]
        assert await queue.put([task(min(left), "x" * 300)], []) == ["duplicate"]

    tell(path, story)


def test_a_retried_dead_letter_never_takes_the_row_of_another_task(tmp_path: Path):
    path = tmp_path / "queue.db"

    async def story(queue: SqliteQueue) -> None:
        await queue.put([task("1"), task("2")], [])
        first, second = await queue.lease(2)
        await queue.finish([End(first, "failed", reason="r", code="c"), End(second, "generated", "node")])
        await queue._ask(lambda db: db.execute("UPDATE dead SET seq = 2"))  # as where a number was given twice
        assert await queue.retry_dead([1]) == 1
        assert [(row.id, row.state.name) for row in await queue.tasks(9)] == [
            ("1", "READY"),
            ("2", "GENERATED"),
            ("1", "FAILED"),
        ]
        assert [lease.task.id for lease in await queue.lease(9)] == ["1"]
        assert await queue.put([task("3")], []) == ["queued"]

    tell(path, story)


def test_numbers_that_were_given_are_not_given_again_where_the_counter_lost_them(tmp_path: Path):
    path = tmp_path / "queue.db"
    tell(path, all_sorts)
    change(path, "UPDATE counters SET value = 0 WHERE name = 'seq'")

    async def story(queue: SqliteQueue) -> None:
        assert await queue.put([task("brand new")], []) == ["queued"]

    assert tell(path, story) == []


def test_what_was_taken_over_stands_in_the_order_in_force(tmp_path: Path):
    path = tmp_path / "queue.db"

    async def story(queue: SqliteQueue) -> None:
        await queue.put([task("low", priority=2), task("high", priority=0)], [])

    tell(path, story, use_priority=False)
    tear(path, leaves(path, "counters"))
    assert looked_at(path, use_priority=True)[1] == ["high", "low"]
