"""What every queue must keep to of ends: dead letters, reports, pruning, and many callers at once."""

import asyncio
import json
from typing import Any

from code_evolver.core.message import read_message
from code_evolver.ports import End, Queue
from tests.contract.queue_bench import Bench, only
from tests.queue_helpers import refusal, task


def test_a_failed_task_is_a_dead_letter_with_drafts_and_can_be_put_back_as_itself(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([task("1")], [])
        drafts = [{"code": "print()", "findings": [{"rule": "r"}], "generator": "composer"}]
        end = End(await only(queue), "failed", reason="No draft was good enough.", code="no_draft", drafts=drafts)
        assert list(await queue.finish([end])) == [True]
        (letter,) = await queue.dead_letters(0, 5)
        assert (letter.kind, letter.code, letter.reason, list(letter.drafts)) == (
            "task",
            "no_draft",
            end.reason,
            drafts,
        )
        assert letter.task == task("1")
        assert b'"a text"' in letter.raw
        assert await queue.dead_letter(letter.key) == letter
        assert await queue.retry_dead([letter.key, 99]) == 1
        counts = await queue.counts()
        assert (counts.received, counts.failed, counts.pending, counts.dead) == (1, 0, 1, 0)
        lease = await only(queue)
        assert (lease.task, lease.starts, lease.failures) == (task("1"), 0, 0)
        await queue.finish([End(lease, "generated", "node")])
        assert list(await queue.put([task("1")], [])) == ["duplicate"]

    bench.run(story)


def test_dropped_dead_letters_stay_counted_and_refused_elements_cannot_be_retried(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([task("1")], [refusal()])
        await queue.finish([End(await only(queue), "failed", reason="r", code="c")])
        keys = [letter.key for letter in await queue.dead_letters(0, 5)]
        assert [letter.key for letter in await queue.dead_letters(keys[0], 5)] == keys[1:]
        assert (
            await queue.retry_dead([letter.key for letter in await queue.dead_letters() if letter.kind == "refused"])
            == 0
        )
        assert await queue.drop_dead([*keys, *keys]) == 2
        counts = await queue.counts()
        assert (counts.failed, counts.rejected, counts.dead, counts.received) == (1, 1, 0, 1)

    bench.run(story)


def test_reports_are_kept_until_answered_and_given_up_at_the_fifth_error(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([task("0"), task("1"), task("2")], [])
        await queue.finish([End(await only(queue), "generated", "node")])
        queue.set_reports(wanted=True)
        await queue.finish(
            [End(await only(queue), "reused", "node"), End(await only(queue), "failed", reason="r", code="c")]
        )
        first, second = await queue.reports(10)
        assert first.payload == {"taskId": "1", "nodeId": "node", "status": "reused", "reason": ""}
        assert second.payload == {"taskId": "2", "nodeId": "", "status": "failed", "reason": "r"}
        await queue.reported([first.key], failed=False)
        for attempts in range(5):
            assert [(report.key, report.attempts) for report in await queue.reports(10)] == [(second.key, attempts)]
            await queue.reported([second.key], failed=True)
        assert list(await queue.reports(10)) == []

    bench.run(story)


def test_pruning_takes_ended_tasks_and_old_ids_but_no_counter_and_nothing_that_waits(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([task(str(number)) for number in range(5)], [])
        await queue.finish([End(lease, "generated", "node") for lease in await queue.lease(4)])
        bench.clock.now += 8 * 86400
        assert await queue.prune(bench.clock.now) == 4
        assert list(await queue.put([task("0")], [])) == ["duplicate"]
        bench.clock.now += 83 * 86400
        await queue.prune(bench.clock.now)
        assert list(await queue.put([task("0")], [])) == ["queued"]
        counts = await queue.counts()
        assert (counts.received, counts.generated, counts.pending) == (6, 4, 2)

    bench.run(story)


def test_one_call_of_pruning_does_a_bounded_part(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([task(str(number)) for number in range(5_100)], [])
        await queue.finish([End(lease, "generated", "node") for lease in await queue.lease(5_100)])
        bench.clock.now += 8 * 86400
        assert await queue.prune(bench.clock.now, steps=1) == 5_000
        assert await queue.prune(bench.clock.now) == 100

    bench.run(story)


def test_pruning_keeps_to_numbers_too(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([task(str(number)) for number in range(20)], [])
        await queue.finish([End(lease, "generated", "node") for lease in await queue.lease(20)])
        assert await queue.prune(bench.clock.now) == 15 + 10
        assert len(await queue.tasks(50)) == 5
        assert list(await queue.put([task("0"), task("19")], [])) == ["queued", "duplicate"]

    bench.run(story, keep_done_at_most=5, remember_at_most=10)


def test_a_task_that_failed_long_ago_can_be_put_back_after_pruning(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([task("1")], [])
        await queue.finish([End(await only(queue), "failed", reason="r", code="c")])
        bench.clock.now += 200 * 86400
        await queue.prune(bench.clock.now)
        (letter,) = await queue.dead_letters()
        assert await queue.retry_dead([letter.key]) == 1
        assert (await only(queue)).task == task("1")

    bench.run(story)


def test_many_callers_at_once_each_get_their_own_answer(bench: Bench):
    async def story(queue: Queue) -> None:
        puts = [queue.put([task(str(number)), task(str(number // 2))], []) for number in range(0, 400, 2)]
        answers = await asyncio.gather(*puts)
        assert [len(answer) for answer in answers] == [2] * 200
        kinds = [kind for answer in answers for kind in answer]
        assert kinds.count("queued") == (await queue.counts()).received == 300 == (await queue.counts()).pending

    bench.run(story)


def test_the_oldest_pending_task_is_found_also_after_a_retry_of_an_older_one(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([task("1")], [])
        await queue.finish([End(await only(queue), "failed", reason="r", code="c")])
        assert (await queue.counts()).oldest_pending_seconds is None
        bench.clock.now += 10
        await queue.put([task("2")], [])
        bench.clock.now += 10
        assert (await queue.counts()).oldest_pending_seconds == 10
        await queue.retry_dead([1])
        bench.clock.now += 10
        await queue.finish([End(lease, "generated") for lease in await queue.lease(2) if lease.task.id == "2"])
        assert (await queue.counts()).oldest_pending_seconds == 10

    bench.run(story)


def test_a_task_that_waits_behind_one_that_was_put_back_is_the_oldest(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([task("1"), task("2"), task("3")], [])
        ends = [End(lease, "failed", reason="r", code="c") for lease in await queue.lease(2)]
        await queue.finish(ends)
        bench.clock.now += 3600
        await queue.retry_dead([1, 2])
        assert (await queue.counts()).oldest_pending_seconds == 3600
        await queue.finish([End(lease, "generated") for lease in await queue.lease(1)])
        bench.clock.now += 10
        assert (await queue.counts()).oldest_pending_seconds == 3610

    bench.run(story)


def test_a_dead_letter_keeps_the_text_that_the_hub_wrote(bench: Bench):
    text = b'{"id":"a", "taskName":"x", "n":1.50e2, "big":1e400, "content":"\\u00e9", "content":"second"}'

    async def story(queue: Any) -> None:
        await queue.put(read_message([json.loads(text)], text=text).tasks, [])
        await queue.finish([End(await only(queue), "failed", reason="r", code="c")])
        (letter,) = await queue.dead_letters()
        assert letter.raw == text
        assert await queue.retry_dead([letter.key]) == 1
        await queue.finish([End(await only(queue), "failed", reason="r", code="c")])
        assert [letter.raw for letter in await queue.dead_letters()] == [text]

    bench.run(story)


def test_a_number_beyond_all_keys_is_no_dead_letter_and_spoils_no_other(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([], [refusal(b"1"), refusal(b"2")])
        assert await queue.dead_letter(10**20) is None
        assert await queue.retry_dead([10**20]) == 0
        assert await queue.drop_dead([10**20, 1]) == 1
        assert [letter.key for letter in await queue.dead_letters(0, 10**20)] == [2]
        assert list(await queue.dead_keys(0, 10**20, 5)) == [2]

    bench.run(story)


def test_the_keys_of_a_range_of_dead_letters_are_given_in_order(bench: Bench):
    async def story(queue: Any) -> None:
        await queue.put([], [refusal(str(number).encode()) for number in range(6)])
        assert list(await queue.dead_keys(1, 5, 3)) == [2, 3, 4]
        assert list(await queue.dead_keys(4, 5, 3)) == [5]
        assert list(await queue.dead_keys(5, 5, 3)) == []

    bench.run(story)


def test_a_cancelled_caller_disturbs_nobody(bench: Bench):
    async def story(queue: Queue) -> None:
        waiting = asyncio.ensure_future(queue.put([task("1")], []))
        await asyncio.sleep(0)
        waiting.cancel()
        assert list(await queue.put([task("2")], [])) == ["queued"]
        assert {lease.task.id for lease in await queue.lease(5)} >= {"2"}

    bench.run(story)
