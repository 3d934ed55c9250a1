"""Bytes of the queue file that a disk changed where SQLite checks nothing: what is hit ends, what stands behind it goes on."""

from pathlib import Path

import pytest

from code_evolver.edges.queue_sqlite import SqliteQueue, read_dead_letter, read_dead_letters
from code_evolver.ports import End
from tests.queue_helpers import Clock, task, tell


def filled(path: Path, number: int = 5) -> None:
    async def story(queue: SqliteQueue) -> None:
        await queue.put([task(str(one)) for one in range(number)], [])

    tell(path, story)


def damage(path: Path, was: bytes, now: bytes) -> None:
    found = path.read_bytes()
    assert found.count(was) == 1
    assert len(was) == len(now)
    path.write_bytes(found.replace(was, now))


def test_a_task_that_cannot_be_read_ends_and_those_behind_it_are_leased(tmp_path: Path):
    path = tmp_path / "queue.db"
    filled(path)
    for number in "02":
        damage(path, b'{"id":"%s"' % number.encode(), b'x"id":"%s"' % number.encode())

    async def story(queue: SqliteQueue) -> None:
        assert [lease.task.id for lease in await queue.lease(2)] == ["1", "3"]
        assert [lease.task.id for lease in await queue.lease(9)] == ["4"]
        lost = queue.take_lost()
        assert [(end.lease.task.id, end.outcome, end.code) for end in lost] == [
            ("0", "failed", "unreadable"), ("2", "failed", "unreadable"),
        ]  # fmt: skip
        counts = await queue.counts()
        assert (counts.received, counts.failed, counts.pending, counts.dead) == (5, 2, 3, 2)
        assert [report.payload["status"] for report in await queue.reports(5)] == ["failed", "failed"]
        first, second = await queue.dead_letters()
        assert (first.id, first.kind, first.code, first.task) == ("0", "task", "unreadable", None)
        assert second.raw == task("2").written.replace(b"{", b"x", 1)
        assert await queue.retry_dead([first.key, second.key]) == 0, "nobody can say what it was"
        assert await queue.drop_dead([first.key]) == 1

    tell(path, story, reports=True)
    letter = read_dead_letter(path, 2)
    assert letter is not None
    assert letter.id == "2"


def test_what_comes_under_the_id_of_a_task_that_cannot_be_read_is_new_and_its_neighbours_too(tmp_path: Path):
    path = tmp_path / "queue.db"
    filled(path)
    damage(path, b'{"id":"2"', b'x"id":"2"')

    async def story(queue: SqliteQueue) -> None:
        assert list(await queue.put([task("2"), task("3"), task("new")], [])) == ["revised", "duplicate", "queued"]
        assert [lease.task.id for lease in await queue.lease(9)] == ["0", "1", "3", "4", "2", "new"]
        assert list(await queue.put([task("2"), task("2", "other")], [])) == ["duplicate", "revised"]

    tell(path, story)


def test_a_task_that_took_its_workers_down_and_cannot_be_read_is_given_up(tmp_path: Path):
    path, clock = tmp_path / "queue.db", Clock()

    async def wear_out(queue: SqliteQueue) -> None:
        await queue.put([task("1"), task("2")], [])
        for _ in range(10):
            (lease,) = await queue.lease(1)
            assert await queue.begin(lease)
            clock.now += 3601

    async def story(queue: SqliteQueue) -> None:
        assert await queue.recover() == 1
        assert [(end.lease.task.id, end.code) for end in queue.take_lost()] == [("1", "crashed")]
        assert [lease.task.id for lease in await queue.lease(9)] == ["2"]

    tell(path, wear_out, clock=clock)
    damage(path, b'{"id":"1"', b'x"id":"1"')
    tell(path, story, clock=clock)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (b'{"id":"1"', b'x"id":"1"'),  # its body
        (b'[{"code":"print(1)"', b'x{"code":"print(1)"'),  # its drafts
        (b"why it failed", b"why it \xff\xfe\xfdled"),  # its reason
    ],
)
def test_dead_letters_are_listed_whatever_a_disk_changed_in_one(tmp_path: Path, was: bytes, now: bytes):
    path = tmp_path / "queue.db"

    async def story(queue: SqliteQueue) -> None:
        await queue.put([task("0"), task("1"), task("2")], [])
        for lease in await queue.lease(3):
            drafts = [{"code": f"print({lease.task.id})"}]
            reason = "why it failed" if lease.task.id == "1" else "r"
            await queue.finish([End(lease, "failed", reason=reason, code="c", drafts=drafts)])

    tell(path, story)
    letters = path.read_bytes()
    at = letters.rfind(was)  # of raw and body, which say the same, the body stands behind
    assert at > 0
    path.write_bytes(letters[:at] + now + letters[at + len(was) :])
    assert [letter.id for letter in read_dead_letters(path)] == ["0", "1", "2"]
    assert read_dead_letter(path, 2) is not None


def test_a_report_that_cannot_be_read_is_dropped_and_the_others_are_sent(tmp_path: Path):
    path = tmp_path / "queue.db"

    async def end(queue: SqliteQueue) -> None:
        await queue.put([task("1"), task("2")], [])
        await queue.finish([End(lease, "generated", "n") for lease in await queue.lease(2)])

    async def story(queue: SqliteQueue) -> None:
        assert [report.payload["taskId"] for report in await queue.reports(5)] == ["2"]
        assert len(await queue.reports(5)) == 1

    tell(path, end, reports=True)
    damage(path, b'{"taskId":"1"', b'x"taskId":"1"')
    tell(path, story, reports=True)
