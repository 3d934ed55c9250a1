"""Reception beside an output file that cannot be written, and the size of the queue that it tells."""

import asyncio
import json

import pytest

from code_evolver.core.errors import DiskFull, StoreError
from code_evolver.core.journey import Deferred
from code_evolver.core.session import HubSettings
from code_evolver.core.tally import Tally
from code_evolver.edges.hub.inbox import Inbox
from code_evolver.edges.hub.intake import Intake as HubIntake
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.intake import HELD_CHARACTERS, Intake, Keeping
from code_evolver.ports import Lease, Received
from code_evolver.worker import pause_of
from tests.queue_helpers import task
from tests.told import Told

FULL = DiskFull("tasks.json cannot be written: no room.", "Free some room.")


class Output:
    """An output file on a disk that fails so often."""

    def __init__(self, *faults):
        self.faults, self.tasks, self.flushed = list(faults), [], 0

    def spool(self, raw):
        if self.faults:
            raise self.faults.pop(0)
        self.tasks += raw

    def flush(self):
        self.flushed += 1
        return True


def received(*numbers):
    raws = [{"id": str(number), "taskType": "summarize", "content": f"Text {number}."} for number in numbers]
    return [Received(1, "TaskHub", [raw], str(raw["id"]), json.dumps(raw).encode()) for raw in raws]


def test_an_output_file_that_cannot_be_written_costs_no_receipt_is_told_once_and_written_later(tmp_path):
    log = Told()

    async def scene():
        queue = SqliteQueue.open(tmp_path / "queue.db")
        output, woken = Output(FULL, FULL, StoreError("Another one.", "Mend it."), FULL), []
        keeping = Keeping(output, log.emit)
        intake = Intake(queue, log, "TaskHub", pending=lambda: 7, wake=lambda: woken.append(1), keep=keeping.keep)
        (receipt,) = await intake.receive(received(1))
        assert receipt is not None
        assert receipt["duplicates"] == []
        await intake.receive(received(2))
        assert woken == [1, 1]
        for _ in range(3):
            await keeping.keep()
        await intake.receive(received(3))
        await queue.close()
        return output

    output = asyncio.run(scene())
    assert [one["id"] for one in output.tasks] == ["1", "2", "3"]
    notices = [fields["message"] for fields in log.of("notice")]
    assert [text.partition(".")[0] for text in notices] == ["tasks", "Another one", "tasks"]
    assert [fields["queue_size"] for fields in log.of("task_queued")] == [8, 8, 8]


def test_while_the_output_file_cannot_be_written_memory_holds_so_much_and_what_is_left_out_is_counted():
    log = Told()
    long = [{"id": str(number), "content": "x" * 1_000_000} for number in range(40)]

    async def scene():
        output = Output(*[FULL] * 44)
        keeping = Keeping(output, log.emit)
        for raw in long:
            await keeping.keep([raw])
        await keeping.keep([{"id": "small"}])
        await keeping.close()  # as if the run ended here
        for _ in range(3):
            await keeping.keep()
        await keeping.keep([{"id": "later"}])
        await keeping.close()
        return output

    kept = [one["id"] for one in asyncio.run(scene()).tasks]
    count = len(kept) - 2
    assert kept == [*(str(number) for number in range(count)), "small", "later"]
    assert 0.9 * HELD_CHARACTERS < count * 1_000_000 < HELD_CHARACTERS
    told = [fields["message"] for fields in log.of("notice")]
    assert [text.partition(" ")[0] for text in told] == ["tasks.json", "41", str(40 - count)]


def test_a_batch_that_is_being_stored_when_its_receiver_is_cancelled_is_still_told_and_kept(tmp_path):
    log = Told()

    async def scene():
        queue = SqliteQueue.open(tmp_path / "queue.db")
        output = Output()
        keep = Keeping(output, log.emit).keep
        intake = Intake(queue, log, "TaskHub", pending=lambda: 0, wake=lambda: None, keep=keep)
        await intake.settled()
        receiving = asyncio.ensure_future(intake.receive(received(1)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.wait([receiving])
        assert receiving.cancelled()
        await intake.settled()
        await queue.close()
        return output

    assert [one["id"] for one in asyncio.run(scene()).tasks] == ["1"]
    assert log.names() == ["message_received", "task_queued"]


def test_a_queue_that_cannot_store_is_no_fault_of_the_task_that_came(tmp_path):
    log = Told()

    async def scene():
        queue = SqliteQueue.open(tmp_path / "queue.db")
        intake = Intake(queue, log, "TaskHub", pending=lambda: 0, wake=lambda: None)
        hub = HubIntake(HubSettings(hub_url="http://hub/x"), Inbox(), intake.receive, log.emit)
        await intake.receive(received(1))
        await queue._ask(lambda db: db.execute("UPDATE counters SET value = 0 WHERE name = 'seq'"))
        with pytest.raises(StoreError, match=r"queue\.db answered: UNIQUE"):
            await hub._store(received(2, 3))
        assert not await queue.dead_letters()
        await queue.close()

    asyncio.run(scene())
    assert not log.of("task_rejected")


def test_many_that_wait_for_a_model_wait_longer_each_time_up_to_a_minute():
    def pauses(ending):
        return [pause_of(Lease(1, "t", task("1"), starts, 0, 0.0), ending) for starts in (0, 1, 2, 3, 4, 5000)]

    assert pauses(Deferred(5.0, "down", failure=False)) == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert pauses(Deferred(300.0, "asked to wait", failure=False)) == [300.0] * 6


def test_what_a_record_of_very_many_elements_held_adds_up_and_leaves_others_their_turns(tmp_path):
    log, tally = Told(), Tally()

    async def scene():
        queue = SqliteQueue.open(tmp_path / "queue.db")
        intake = Intake(queue, _Counting(tally, log), "TaskHub", pending=lambda: tally.pending, wake=lambda: None)
        tasks = [{"id": str(number), "name": "x"} for number in range(20_000)]
        value = [*tasks, *range(100_000)]
        one = Received(1, "Pending", (value,), "7", json.dumps(value).encode())
        storing = asyncio.ensure_future(intake.receive([one]))
        turns = 0
        while not storing.done():
            await asyncio.sleep(0)
            turns += 1
        counts = await queue.counts()
        await queue.close()
        return storing.result()[0], counts, turns

    answer, counts, turns = asyncio.run(scene())
    assert (answer["accepted"], answer["rejected"]) == (20_000, 100_000)
    assert (counts.received, counts.rejected, counts.dead) == (20_000, 100_000, 101)
    assert (tally.received, tally.rejected) == (20_000, 100_000)
    sizes = [fields["queue_size"] for fields in log.of("task_queued")]
    assert sizes == list(range(1, 20_001))
    assert sum(fields["count"] for fields in log.of("task_rejected")) == 100_000
    assert turns > 100


class _Counting(Told):
    """A log that counts first, as a run's does."""

    def __init__(self, tally, log):
        super().__init__(log.emit)
        self._tally = tally

    def emit(self, name, /, **fields):
        self._tally.count(name, fields)
        super().emit(name, **fields)
