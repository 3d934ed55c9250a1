"""The queue file itself: damaged, foreign, older, newer; a full disk; a failing one; readers beside and after."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from code_evolver.core.errors import StoreError
from code_evolver.edges.queue_sqlite import (
    SqliteQueue,
    opening,
    read_days,
    read_dead_letter,
    read_dead_letters,
    read_status,
    read_tasks,
    schema,
    sql,
)  # fmt: skip
from code_evolver.ports import End
from tests.queue_helpers import Clock, fill, nothing, refusal, task, tell


# ── how it is laid out ───────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (sql.READY, "tasks_ready"), (sql.FIRST_READY, "tasks_ready"), (sql.FIRST_DELAYED, "tasks_delayed"),
        (sql.FIRST_EXPIRY, "tasks_leased"), (sql.EXPIRED, "tasks_leased"), (sql.COME_DUE, "tasks_delayed"),
        (sql.KNOWN_IDS[4], "seen_id"), (sql.ENDED_SINCE, "tasks_ended"), (sql.CLAMP_DUE, "tasks_delayed"),
        (sql.CLAMP_EXPIRY, "tasks_leased"),
    ],
)  # fmt: skip
def test_what_runs_often_walks_an_index_and_sorts_nothing(tmp_path: Path, query: str, index: str):
    fill(tmp_path / "queue.db")
    with closing(sqlite3.connect(tmp_path / "queue.db")) as db:
        plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}", [1] * query.count("?")))
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_the_file_is_in_wal_mode_with_full_sync_and_our_mark(tmp_path: Path):
    async def story(queue: SqliteQueue) -> None:
        def look(db: sqlite3.Connection) -> list[Any]:
            return [
                db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "application_id")
            ]

        assert await queue._ask(look) == ["wal", 2, schema.APPLICATION_ID]

    tell(tmp_path / "queue.db", story)


def test_only_tasks_that_wait_keep_their_bodies(tmp_path: Path):
    async def story(queue: SqliteQueue) -> None:
        async def bodies() -> int:
            return int(await queue._ask(lambda db: db.execute("SELECT count(*) FROM bodies").fetchone()[0]))

        await queue.put([task("1"), task("2"), task("3"), task("4", closed=True)], [])
        assert await bodies() == 3
        first, second, _ = await queue.lease(3)
        await queue.finish([End(first, "generated"), End(second, "failed", reason="r", code="c")])
        assert await bodies() == 1
        await queue.retry_dead([1])
        assert await bodies() == 2

    tell(tmp_path / "queue.db", story)


# ── readers ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_commands_read_beside_a_running_queue_after_it_and_before_there_is_one(tmp_path: Path):
    path = tmp_path / "queue.db"
    assert read_status(path).counts.received == 0
    assert [read_tasks(path, 5), read_dead_letters(path), read_days(path)] == [[], [], []]
    assert read_dead_letter(path, 1) is None
    clock = Clock()

    async def story(queue: SqliteQueue) -> None:
        await queue.put([task("1"), task("2"), task("3")], [refusal()])
        lease, failing, later = await queue.lease(3)
        await queue.finish([End(lease, "generated", "node", usage={"tokens_in": 5, "llm_calls": 1})])
        await queue.finish([End(failing, "failed", reason="no draft", code="no_draft")])
        await queue.postpone(later, 60, "down", failure=False)
        check()
        assert read_status(path, clock.now) == await queue.status()
        assert read_tasks(path, 2) == await queue.tasks(2)

    def check() -> None:
        found = read_status(path, clock.now)
        assert (found.ready, found.delayed, found.leased, found.last_error) == (0, 1, 0, "no draft")
        assert found.ended_rate == pytest.approx(2 / 60)
        assert found.received_rate == pytest.approx(3 / 60)
        assert '"pid": 7' in found.owner
        assert [(row.id, row.state.name, row.node) for row in read_tasks(path, 2)] == [
            ("3", "DELAYED", ""),
            ("2", "FAILED", ""),
        ]
        assert [row.id for row in read_tasks(path, 9, pending=True)] == ["3"]
        assert [letter.kind for letter in read_dead_letters(path)] == ["refused", "task"]
        letter = read_dead_letter(path, 2)
        assert letter is not None
        assert letter.id == "2"
        (first, second) = read_days(path)
        assert (first.outcome, second.outcome, second.tokens_in, second.llm_calls) == ("failed", "generated", 5, 1)

    tell(path, story, clock=clock, owner={"pid": 7})
    check()


def test_a_file_of_another_program_is_not_read(tmp_path: Path):
    path = tmp_path / "queue.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE other (x)")
    with pytest.raises(StoreError, match="not a queue file"):
        read_status(path)


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_file_that_is_no_database_is_set_aside_with_its_side_files_and_a_new_one_is_made(tmp_path: Path):
    path = tmp_path / "queue.db"
    for number in (1, 2):
        path.write_bytes(b"not a database at all" * 300)
        Path(f"{path}-wal").write_bytes(b"leftover")
        (notice,) = tell(path, nothing)
        assert f"queue.db.damaged-{number}" in notice
        assert Path(f"{path}.damaged-{number}").read_bytes().startswith(b"not a database")
        assert Path(f"{path}.damaged-{number}-wal").read_bytes() == b"leftover"
    fill(path)


def test_another_programs_database_is_set_aside_untouched(tmp_path: Path):
    path = tmp_path / "queue.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE precious (x)")
    before = path.read_bytes()
    (notice,) = tell(path, nothing)
    assert "another program" in notice
    assert Path(f"{path}.damaged-1").read_bytes() == before


def test_a_torn_page_sets_the_file_aside_and_what_can_be_read_is_taken_over(tmp_path: Path):
    path = tmp_path / "queue.db"
    fill(path, 2000)
    content = bytearray(path.read_bytes())
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        pages = [row[0] for row in db.execute("SELECT pageno FROM dbstat WHERE name = 'bodies' AND pagetype = 'leaf'")] \
            if has_dbstat(db) else []  # fmt: skip
    page = pages[len(pages) // 2] if pages else len(content) // 4096 // 2
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    left: list[str] = []

    async def story(queue: SqliteQueue) -> None:
        left.extend(lease.task.id for lease in await queue.lease(5000))
        counts = await queue.counts()
        assert counts.received == counts.pending == len(left)
        assert (await queue.put([task(left[0], f"text {left[0]} " + "x" * 300)], [])) == ["duplicate"]

    (notice,) = tell(path, story)
    assert "damaged" in notice
    assert Path(f"{path}.damaged-1").exists()
    assert 0 < len(left) < 2000
    if pages:
        assert len(left) > 1900
        assert {"0", "1999"} <= set(left), "the rows on both sides of the torn page are taken over"


def has_dbstat(db: sqlite3.Connection) -> bool:
    return ("ENABLE_DBSTAT_VTAB",) in db.execute("PRAGMA compile_options").fetchall()


@pytest.mark.parametrize(
    "step", ["new file half written", "file moved", "file and -wal moved", "all but the new file moved"]
)
def test_a_start_killed_while_it_replaces_a_damaged_file_is_gone_on_with(tmp_path: Path, step: str):
    path = tmp_path / "queue.db"
    fill(tmp_path / "other.db", 4)
    complete = (tmp_path / "other.db").read_bytes()
    sides = {"new file half written": [], "file moved": [""], "file and -wal moved": ["", "-wal"]}.get(
        step, ["", "-wal", "-shm"]
    )
    for side in ("", "-wal", "-shm"):
        place = tmp_path / f"queue.db{'.damaged-1' if side in sides else ''}{side}"
        place.write_bytes(b"torn" * 2000)
    (tmp_path / "queue.db.new").write_bytes(complete if sides else b"half")

    async def story(queue: SqliteQueue) -> None:
        assert await queue.recover() == (4 if sides else 0)

    assert tell(path, story), "it is told, for no later start would"
    assert not (tmp_path / "queue.db.new").exists()
    for side in ("", "-wal", "-shm"):
        assert (tmp_path / f"queue.db.damaged-1{side}").exists()


def test_a_damaged_file_among_others_that_were_set_aside_keeps_its_side_files(tmp_path: Path):
    path = tmp_path / "queue.db"
    (tmp_path / "queue.db.damaged-1").write_bytes(b"older")
    path.write_bytes(b"torn" * 2000)
    Path(f"{path}-wal").write_bytes(b"leftover")
    tell(path, nothing)
    assert (tmp_path / "queue.db.damaged-1").read_bytes() == b"older"
    assert (tmp_path / "queue.db.damaged-2-wal").read_bytes() == b"leftover"


@pytest.mark.parametrize("length", [0, 50, 100, 4096, 5000])
def test_a_file_cut_at_any_length_never_stops_the_start(tmp_path: Path, length: int):
    path = tmp_path / "queue.db"
    fill(path, 50)
    with path.open("r+b") as stream:
        stream.truncate(length)
    notices = tell(path, nothing)
    assert bool(notices) == (length > 0)
    fill(path)


@pytest.mark.parametrize("file", ["empty", "missing"])
def test_a_wal_without_its_file_is_set_aside_and_told(tmp_path: Path, file: str):
    path = tmp_path / "queue.db"
    Path(f"{path}-wal").write_bytes(b"what a file was going to be" * 1000)
    if file == "empty":
        path.touch()
    (notice,) = tell(path, nothing)
    assert f"queue.db is {file}" in notice
    assert "queue.db.damaged-1" in notice
    assert Path(f"{path}.damaged-1-wal").read_bytes() == b"what a file was going to be" * 1000
    fill(path)


def test_an_empty_file_with_an_empty_wal_is_a_new_one(tmp_path: Path):
    path = tmp_path / "queue.db"
    path.touch()
    Path(f"{path}-wal").touch()
    assert tell(path, nothing) == []


def torn(path: Path, table: str) -> None:
    """Tear the first page of a table."""
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as stream:
        stream.seek((page - 1) * 4096)
        stream.write(b"\xff" * 4096)


def test_damage_that_the_look_at_the_start_missed_is_mended_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "queue.db"
    fill(path)
    torn(path, "bodies")
    monkeypatch.setattr(opening, "_quick_check", lambda _: "")  # as where it takes too long

    async def lease(queue: SqliteQueue) -> None:
        await queue.lease(5)

    with pytest.raises(StoreError, match="damaged"):
        tell(path, lease)
    (notice,) = tell(path, lease)
    assert "found so while it was used" in notice
    assert tell(path, lease) == []


def test_damage_that_the_look_missed_and_the_start_meets_is_mended_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "queue.db"
    fill(path)
    torn(path, "tasks")
    monkeypatch.setattr(opening, "SMALL", 0)  # a large file that was closed in order is not looked through

    async def story(queue: SqliteQueue) -> None:
        assert [lease.task.id for lease in await queue.lease(5)] == ["0", "1", "2"]

    (notice,) = tell(path, story)
    assert "3 of its waiting tasks were taken over" in notice


def test_a_torn_wal_costs_only_what_was_not_synced(tmp_path: Path):
    path, copy = tmp_path / "queue.db", tmp_path / "copy.db"
    read_wal, write_wal = Path(f"{path}-wal").read_bytes, Path(f"{copy}-wal").write_bytes

    async def story(queue: SqliteQueue) -> None:
        await queue.put([task("1")], [])
        shutil.copy(path, copy)
        whole = read_wal()
        await queue.put([task("2")], [])
        torn = read_wal()[:-100]
        assert len(torn) > len(whole)
        write_wal(torn)

    tell(path, story)

    async def again(queue: SqliteQueue) -> None:
        assert await queue.recover() == 1

    assert tell(copy, again) == []


# ── versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_older_version_is_copied_and_brought_forward_with_all_it_holds(tmp_path: Path):
    path = tmp_path / "queue.db"
    fill(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE daily")
        db.execute("PRAGMA user_version = 1")

    async def story(queue: SqliteQueue) -> None:
        leases = await queue.lease(5)
        assert len(leases) == 3
        assert all(await queue.finish([End(lease, "generated") for lease in leases]))

    (notice,) = tell(path, story)
    assert f"version 1 to {schema.VERSION}" in notice
    with closing(sqlite3.connect(tmp_path / "queue.db.version-1-1")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM bodies").fetchone() == (3,)
    assert tell(path, nothing) == []


def test_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / "queue.db"
    fill(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer Code Evolver"):
        SqliteQueue.open(path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.glob("*damaged*")] == []


def test_every_older_version_has_a_migration():
    assert set(schema.MIGRATIONS) == set(range(1, schema.VERSION))
