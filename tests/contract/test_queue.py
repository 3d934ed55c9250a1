"""What every queue must keep to, whatever it is made of. A new implementation is one more factory here."""

from typing import Any

import pytest

from code_evolver.core.task import Refusal
from code_evolver.edges.queue_sqlite import read_days
from code_evolver.ports import End, Queue
from tests.contract.queue_bench import Bench, only
from tests.queue_helpers import anonymous, refusal, task


def test_tasks_are_leased_by_priority_then_due_date_then_arrival(bench: Bench):
    async def story(queue: Queue) -> None:
        await queue.put(
            [
                task("late", priority=1, dueDate=300.0), task("none", priority=1), task("soon", priority=1, dueDate=200.0),
                task("low", priority=2, dueDate=1.0), task("high", priority=0), task("none too", priority=1),
            ], [],
        )  # fmt: skip
        assert [lease.task.id for lease in await queue.lease(10)] == ["high", "soon", "late", "none", "none too", "low"]

    bench.run(story)


@pytest.mark.parametrize(
    ("off", "order"),
    [
        ({"use_priority": False}, ["b", "a", "c"]),
        ({"use_due_date": False}, ["c", "a", "b"]),
        ({"use_priority": False, "use_due_date": False}, ["a", "b", "c"]),
    ],
)
def test_each_order_can_be_switched_off_also_for_tasks_that_wait_already(bench: Bench, off, order):
    async def fill(queue: Queue) -> None:
        await queue.put([task("a"), task("b", dueDate=5.0), task("c", priority=0)], [])
        assert [lease.task.id for lease in await queue.lease(1)] == ["c"]

    async def story(queue: Queue) -> None:
        await queue.recover()
        assert [lease.task.id for lease in await queue.lease(3)] == order

    bench.run(fill)
    bench.run(story, **off)


def test_a_known_id_with_the_same_content_is_a_duplicate_and_with_other_content_a_revision(bench: Bench):
    async def story(queue: Queue) -> None:
        first, second = task("1", "one"), task("1", "two")
        assert list(await queue.put([first, second, first, second], [])) == [
            "queued",
            "revised",
            "duplicate",
            "duplicate",
        ]
        assert list(await queue.put([first, second, task("1", "three")], [])) == ["duplicate", "duplicate", "revised"]
        counts = await queue.counts()
        assert (counts.received, counts.pending, counts.duplicates) == (3, 3, 4)

    bench.run(story)


def test_a_task_is_still_known_after_it_ended_and_after_the_queue_was_opened_again(bench: Bench):
    async def first(queue: Queue) -> None:
        await queue.put([task("1")], [])
        assert list(await queue.finish([End(await only(queue), "generated", "node")])) == [True]

    async def second(queue: Queue) -> None:
        assert list(await queue.put([task("1")], [])) == ["duplicate"]
        counts = await queue.counts()
        assert (counts.received, counts.generated, counts.pending, counts.duplicates) == (1, 1, 0, 1)

    bench.run(first)
    bench.run(second)


def test_a_task_without_an_id_of_its_own_is_a_duplicate_for_a_day_only(bench: Bench):
    async def story(queue: Queue) -> None:
        nameless = anonymous()
        assert list(await queue.put([nameless, nameless], [])) == ["queued", "duplicate"]
        bench.clock.now += 23.9 * 3600
        assert list(await queue.put([nameless], [])) == ["duplicate"]
        bench.clock.now += 0.2 * 3600
        assert list(await queue.put([nameless, nameless], [])) == ["queued", "duplicate"]
        assert (await queue.counts()).received == 2

    bench.run(story)


def test_a_closed_task_is_recorded_and_never_leased(bench: Bench):
    async def story(queue: Queue) -> None:
        assert list(await queue.put([task("1", closed=True), task("2")], [])) == ["recorded", "queued"]
        assert [lease.task.id for lease in await queue.lease(5)] == ["2"]
        counts = await queue.counts()
        assert (counts.received, counts.pending) == (1, 1)
        assert list(await queue.put([task("1", closed=True)], [])) == ["duplicate"]

    bench.run(story)


def test_a_task_that_was_recorded_as_closed_is_worked_on_when_it_comes_open_and_then_never_again(bench: Bench):
    async def story(queue: Queue) -> None:
        await queue.put([task("1", closed=True), anonymous(status="done")], [])
        again = [task("1"), anonymous()]
        assert list(await queue.put(again, [])) == ["revised", "queued"]
        assert [lease.task.id for lease in await queue.lease(5)] == ["1", anonymous().id]
        assert list(await queue.put([*again, task("1", closed=True)], [])) == ["duplicate"] * 3

    bench.run(story)


def test_a_closed_task_is_worked_on_where_closed_ones_are_not_skipped(bench: Bench):
    async def story(queue: Queue) -> None:
        assert list(await queue.put([task("1", closed=True)], [])) == ["queued"]
        assert [lease.task.id for lease in await queue.lease(5)] == ["1"]

    bench.run(story, skip_closed=False)


def test_refused_elements_are_dead_letters_with_their_bytes_and_equal_bytes_are_one_with_a_count(bench: Bench):
    async def story(queue: Any) -> None:
        assert list(await queue.put([], [refusal(b"x"), refusal(b"x", "again"), refusal(b"y")])) == []
        assert list(await queue.put([task("1")], [refusal(b"x")])) == ["queued"]
        letters = await queue.dead_letters(0, 10)
        assert [(letter.kind, letter.raw, letter.count, letter.task) for letter in letters] == [
            ("refused", b"x", 3, None), ("refused", b"y", 1, None),
        ]  # fmt: skip
        counts = await queue.counts()
        assert (counts.rejected, counts.dead, counts.failed, counts.pending) == (4, 2, 0, 1)

    bench.run(story)


def test_a_refusal_that_stands_for_many_elements_is_one_dead_letter_and_counts_them_all(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([], [refusal(b"x"), Refusal(1, "", "50 more.", b"whole", 50)])
        assert [(letter.raw, letter.count) for letter in await queue.dead_letters(0, 10)] == [(b"x", 1), (b"whole", 1)]
        assert (await queue.counts()).rejected == 51

    bench.run(story)


def test_very_many_tasks_at_once_are_taken_in_order_each_known_to_those_behind_it(bench: Bench):
    async def story(queue: Any) -> None:
        many = [task(str(number)) for number in range(12_000)]
        put = await queue.put([*many, task("1"), task("2", "other content")], [])
        assert list(put) == ["queued"] * len(many) + ["duplicate", "revised"]
        assert [lease.task.id for lease in await queue.lease(3)] == ["0", "1", "2"]
        assert (await queue.counts()).received == len(many) + 1

    bench.run(story)


def test_elements_too_large_to_keep_are_told_apart_by_id_and_reason(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([], [refusal(b"", "over 1 MB"), refusal(b"", "over 2 MB"), refusal(b"", "over 1 MB")])
        assert [letter.count for letter in await queue.dead_letters(0, 10)] == [2, 1]

    bench.run(story)


def test_a_leased_task_is_not_leased_again_and_gives_back_what_was_put(bench: Bench):
    async def story(queue: Queue) -> None:
        put = task("1", "ein Text — 漢字 🚢", languages=["en-fr", "de"], dueDate=3.5, priority=0)
        await queue.put([put], [])
        lease = await only(queue)
        assert lease.task == put
        assert (lease.starts, lease.failures) == (0, 0)
        assert list(await queue.lease(5)) == []

    bench.run(story)


def test_an_end_counts_once_and_a_second_end_of_the_same_lease_changes_nothing(bench: Bench):
    async def story(queue: Queue) -> None:
        await queue.put([task("1")], [])
        end = End(await only(queue), "reused", "node")
        assert list(await queue.finish([end, end])) == [True, False]
        assert list(await queue.finish([end])) == [False]
        counts = await queue.counts()
        assert (counts.reused, counts.pending) == (1, 0)

    bench.run(story)


def test_a_lease_that_ran_out_is_given_to_another_and_the_first_is_fenced_off(bench: Bench):
    async def story(queue: Queue) -> None:
        await queue.put([task("1")], [])
        old = await only(queue)
        bench.clock.now = old.expires + 1
        new = await only(queue)
        assert not await queue.begin(old)
        assert not await queue.postpone(old, 1, "late", failure=True)
        await queue.release([old])
        assert list(await queue.finish([End(old, "generated"), End(new, "generated")])) == [False, True]

    bench.run(story)


def test_a_postponed_task_comes_back_when_it_is_due_with_its_failures_counted(bench: Bench):
    async def story(queue: Queue) -> None:
        await queue.put([task("1")], [])
        lease = await only(queue)
        assert await queue.begin(lease)
        assert await queue.postpone(lease, 60, "model down", failure=False)
        assert list(await queue.lease(1)) == []
        assert await queue.next_due() == bench.clock.now + 60
        bench.clock.now += 60
        assert await queue.postpone(await only(queue), 1, "odd answer", failure=True)
        bench.clock.now += 1
        lease = await only(queue)
        assert (lease.starts, lease.failures) == (1, 1)
        assert (await queue.counts()).pending == 1

    bench.run(story)


def test_next_due_is_none_without_pending_tasks_and_now_with_a_ready_one(bench: Bench):
    async def story(queue: Queue) -> None:
        assert await queue.next_due() is None
        await queue.put([task("1")], [])
        assert await queue.next_due() == bench.clock.now
        lease = await only(queue)
        assert await queue.next_due() == lease.expires
        await queue.finish([End(lease, "generated")])
        assert await queue.next_due() is None

    bench.run(story)


def test_released_leases_are_due_at_once_and_were_no_start(bench: Bench):
    async def story(queue: Queue) -> None:
        await queue.put([task("1"), task("2")], [])
        await queue.release(await queue.lease(2))
        assert [(lease.task.id, lease.starts) for lease in await queue.lease(2)] == [("1", 0), ("2", 0)]

    bench.run(story)


def test_recover_resets_leases_and_brings_far_due_times_near(bench: Bench):
    async def first(queue: Queue) -> None:
        await queue.put([task("1"), task("2")], [])
        await queue.postpone(await only(queue), 500, "wait", failure=False)
        await only(queue)
        bench.clock.now -= 30 * 86400

    async def second(queue: Queue) -> None:
        assert await queue.recover() == 2
        assert [lease.task.id for lease in await queue.lease(5)] == ["2"]
        bench.clock.now += 100
        assert [lease.task.id for lease in await queue.lease(5)] == ["1"]

    bench.run(first)
    bench.run(second, longest_wait=100)


def test_a_clock_that_is_set_back_under_an_open_queue_delays_a_task_by_the_longest_wait_at_most(bench: Bench):
    async def story(queue: Queue) -> None:
        await queue.put([task("1"), task("2")], [])
        await queue.postpone(await only(queue), 60, "wait", failure=False)
        held = await only(queue)
        bench.clock.now -= 30 * 86400
        assert await queue.next_due() == bench.clock.now + 100
        assert list(await queue.lease(5)) == []
        assert await queue.next_due() == bench.clock.now + 100
        bench.clock.now += 100
        assert [lease.task.id for lease in await queue.lease(5)] == ["1"]
        bench.clock.now += 900
        assert [lease.task.id for lease in await queue.lease(5)] == ["2"]
        assert list(await queue.finish([End(held, "generated")])) == [False]

    bench.run(story, longest_wait=100, lease_seconds=1000)


def test_a_task_is_given_up_as_crashed_only_at_its_tenth_start_that_never_came_back(bench: Bench):
    async def start_and_die(queue: Queue) -> None:
        await queue.recover()
        assert await queue.begin(await only(queue))

    async def look(queue: Any) -> None:
        assert await queue.recover() == 0
        (letter,) = await queue.dead_letters(0, 5)
        assert (letter.code, letter.id, letter.task) == ("crashed", "1", task("1"))
        counts = await queue.counts()
        assert (counts.failed, counts.pending, counts.received) == (1, 0, 1)

    async def fill(queue: Queue) -> None:
        await queue.put([task("1")], [])
        for _ in range(12):
            lease = await only(queue)
            assert await queue.begin(lease)
            await queue.postpone(lease, 0, "model down", failure=False)

    bench.run(fill)
    for _ in range(10):
        bench.run(start_and_die)
    bench.run(look)


def test_a_task_that_is_given_up_as_crashed_is_told_once_reported_and_in_the_accounts(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([task("1"), task("2")], [])
        for _ in range(10):
            for lease in await queue.lease(2):
                assert lease.task.id == "2" or await queue.begin(lease)
            bench.clock.now += 3601
        assert queue.take_lost() == []
        assert [lease.task.id for lease in await queue.lease(2)] == ["2"]
        assert [(end.lease.task.id, end.outcome, end.code) for end in queue.take_lost()] == [("1", "failed", "crashed")]
        assert queue.take_lost() == []
        (report,) = await queue.reports(5)
        assert (report.payload["taskId"], report.payload["status"]) == ("1", "failed")
        counts = await queue.counts()
        assert (counts.failed, counts.pending) == (1, 1)

    bench.run(story, reports=True)
    (day,) = read_days(bench.folder / "queue.db")
    assert (day.outcome, day.tasks) == ("failed", 1)
