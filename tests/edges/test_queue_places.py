"""The queue where it cannot be written: full disks, read-only places, errors of the disk."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from code_evolver.core.errors import CodeEvolverError, DiskFull, StoreError, Unexpected
from code_evolver.core.task import Task
from code_evolver.edges.queue_sqlite import (
    SqliteQueue,
    read_status,
    writer,
)  # fmt: skip
from code_evolver.edges.queue_sqlite.trouble import is_fatal, mapped
from code_evolver.ports import End, Lease
from tests.queue_helpers import fill, task, tell


# ── places that cannot be written ────────────────────────────────────────────────────────────────────────────────────
def test_a_folder_or_a_link_in_the_files_place_is_refused_by_name(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("folder", "link"):
        with pytest.raises(StoreError, match=f"{name} is no plain file"):
            SqliteQueue.open(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()


def mounted(folder: Path, options: str) -> None:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no right to mount a small file system: {done.stderr.decode()[:100]}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if shutil.which("mount") is None:
        pytest.skip("no mount on this system")
    folder = tmp_path / "small"
    mounted(folder, "size=6m")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_read_only_file_system_is_said_clearly_and_can_be_read(small_disk: Path):
    path = small_disk / "queue.db"
    fill(path)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match="cannot be written"):
        SqliteQueue.open(path)
    assert read_status(path).counts.pending == 3


@pytest.mark.parametrize("reading", [False, True], ids=["alone", "beside a reader"])
def test_a_full_disk_refuses_what_arrives_ends_what_is_in_work_and_goes_on_with_room(small_disk: Path, reading: bool):
    path, reserve = small_disk / "queue.db", small_disk / "queue.db.reserve"
    accepted = 20

    async def story(queue: SqliteQueue) -> None:
        await queue.put([task(f"first {number}") for number in range(20)], [])
        leases = await queue.lease(20)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as reader:
            if reading:  # the -wal then cannot be written from its start again: only the reserve makes room
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM tasks").fetchone()
            await fill_disk_and_finish(queue, leases)
            assert not (reading and reserve.exists())
        (small_disk / "filler").unlink()
        (small_disk / "rest").unlink()
        assert list(await queue.put(many("after", 50), [])) == ["queued"] * 50
        assert reserve.stat().st_size == 1 << 20
        counts = await queue.counts()
        assert (counts.failed, counts.pending, counts.received) == (20, accepted + 50 - 20, accepted + 50)

    async def put_until_full(queue: SqliteQueue) -> None:
        nonlocal accepted
        while True:
            await queue.put(many(str(accepted), 50), [])
            accepted += 50

    async def fill_disk_and_finish(queue: SqliteQueue, leases: Sequence[Lease]) -> None:
        (small_disk / "filler").write_bytes(b"x" * (3 << 20))
        with pytest.raises(DiskFull, match="no room left"):
            await put_until_full(queue)
        counts = await queue.counts()
        assert counts.received == counts.pending == accepted, "nothing of the refused put was kept"
        fill_up(small_disk / "rest")
        drafts = [{"code": "z" * 25_000}]
        assert all(await queue.finish([End(one, "failed", reason="r", code="c", drafts=drafts) for one in leases]))
        with pytest.raises(DiskFull):
            await queue.put(many("while full", 1500), [])

    assert tell(path, story) == []
    assert read_status(path).counts.failed == 20


def many(name: str, number: int) -> list[Task]:
    return [task(f"{name} {place}", f"{name} {place}" + "y" * 2000) for place in range(number)]


def fill_up(path: Path) -> None:
    """Write until not one more page fits."""
    with path.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * 4096)
        except OSError:
            return


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from code_evolver.core.errors import DiskFull, StoreError
from code_evolver.edges.queue_sqlite import SqliteQueue
from tests.queue_helpers import task

async def main():
    queue = SqliteQueue.open(Path(sys.argv[1]), reserve_bytes=0)
    await queue.put([task("1")], [])
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    said = []
    for number in range(3):
        try:
            await queue.put([task(f"big {number}", "x" * 400_000)], [])
        except StoreError as error:
            said.append(isinstance(error, DiskFull))
    print(said)
    await queue.close()

asyncio.run(main())
"""


def test_after_an_error_of_the_disk_nothing_is_written_any_more(tmp_path: Path):
    path = tmp_path / "queue.db"
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], env=environment, capture_output=True, text=True,
                          check=False, timeout=60)  # fmt: skip
    assert done.stdout == "[False, False, False]\n", done.stderr
    assert read_status(path).counts.received == 1
    fill(path)


class FailingSync:
    """A connection whose commits reach the -wal and then fail to be synced, from when `failing` is set; what it was asked."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.failing = False
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self.asked.append(statement)
        done = self.db.execute(statement, *values)
        if self.failing and statement == "COMMIT":
            raise sqlite_error("SQLITE_IOERR_FSYNC")
        return done

    def after_the_failure(self) -> list[str]:
        return self.asked[len(self.asked) - self.asked[::-1].index("COMMIT") :]


def test_after_a_sync_that_failed_nothing_is_copied_from_the_wal_into_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "CHECKPOINT_BYTES", 1 << 16)

    async def story(queue: SqliteQueue) -> None:
        db: Any = FailingSync(queue._writer.db)
        queue._writer.db, queue._writer._checkpoint_at, db.failing = db, 1 << 16, True
        with pytest.raises(StoreError, match="FSYNC"):
            await queue.put([task(str(number), "x" * 4000) for number in range(100)], [])
        await queue.close()
        assert not db.after_the_failure()

    tell(tmp_path / "queue.db", story)


def test_a_sync_that_fails_at_the_end_leaves_the_wal_as_it_is(tmp_path: Path):
    path = tmp_path / "queue.db"

    async def story(queue: SqliteQueue) -> None:
        await queue.put([task("1")], [])
        db: Any = FailingSync(queue._writer.db)
        queue._writer.db, db.failing = db, True
        await queue.close()
        assert not db.after_the_failure()

    tell(path, story)
    assert Path(f"{path}-wal").stat().st_size > 0


def sqlite_error(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = getattr(sqlite3, name)
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("name", "kind", "fatal"),
    [
        ("SQLITE_FULL", DiskFull, False), ("SQLITE_IOERR_FSYNC", StoreError, True), ("SQLITE_IOERR", StoreError, True),
        ("SQLITE_CORRUPT", StoreError, True), ("SQLITE_NOTADB", StoreError, True), ("SQLITE_READONLY", StoreError, True),
        ("SQLITE_CANTOPEN", StoreError, True), ("SQLITE_BUSY", StoreError, False), ("SQLITE_ERROR", StoreError, False),
        ("SQLITE_CONSTRAINT_PRIMARYKEY", StoreError, False), ("SQLITE_CONSTRAINT_NOTNULL", Unexpected, False),
        ("SQLITE_TOOBIG", Unexpected, False),
    ],
)  # fmt: skip
def test_each_error_of_sqlite_becomes_one_of_ours(tmp_path: Path, name: str, kind: type[CodeEvolverError], fatal: bool):
    error = sqlite_error(name)
    ours = mapped(error, tmp_path / "queue.db")
    assert type(ours) is kind
    assert ours.hint
    assert is_fatal(error, ours) is fatal


def test_a_closed_queue_says_so_instead_of_hanging(tmp_path: Path):
    async def play() -> None:
        queue = SqliteQueue.open(tmp_path / "queue.db")
        await queue.close()
        await queue.close()
        with pytest.raises(StoreError, match="closed"):
            await queue.put([task("1")], [])

    asyncio.run(play())


def test_one_task_that_cannot_be_stored_does_not_spoil_its_neighbours_puts(tmp_path: Path):
    async def story(queue: SqliteQueue) -> None:
        odd: Any = task("odd")._replace(priority=object())  # type: ignore[arg-type]
        good, bad, other = await asyncio.gather(
            queue.put([task("1")], []), queue.put([odd], []), queue.put([task("2")], []), return_exceptions=True
        )
        assert (good, other) == (["queued"], ["queued"])
        assert isinstance(bad, Unexpected)
        assert (await queue.counts()).received == 2

    tell(tmp_path / "queue.db", story)
