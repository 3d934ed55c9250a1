"""Events on a real pipe: in order, whole, cleaned; a reader that is slow, gone or still costs events and nothing else."""

import contextlib
import json
import os
import sys
import threading
from typing import Any

import pytest

from code_evolver.core.redact import Redactor
from code_evolver.edges.log import EventLog


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    for end in (read, write):
        with contextlib.suppress(OSError):
            os.close(end)


def lines_of(read, write):
    os.close(write)
    with os.fdopen(os.dup(read), encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def test_events_come_whole_and_in_order(pipe):
    read, write = pipe
    log = EventLog(write, "run-1", clock=lambda: 1.5)
    for number in range(50):
        log.emit("notice", message=f"Nummer {number} ü")
    log.close()
    events = lines_of(read, write)
    assert [event["seq"] for event in events] == list(range(1, 51))
    assert events[7] == {
        "event": "notice",
        "ts": "1970-01-01T00:00:01.500Z",
        "seq": 8,
        "run_id": "run-1",
        "message": "Nummer 7 ü",
    }


def test_secrets_and_terminal_escapes_never_leave(pipe):
    read, write = pipe
    log = EventLog(write, "r", clean=Redactor(["S3CRET-value"]).clean)
    log.emit("notice", message="a S3CRET-value and \x1b[2J and \u202e and \ud800")
    log.close()
    os.close(write)
    data = os.read(read, 10_000)
    assert b"S3CRET" not in data
    assert b"\x1b" not in data
    assert "\u202e".encode() not in data
    json.loads(data)


def test_secrets_in_a_burst_of_equal_events_never_leave_either(pipe):
    read, write = pipe
    log = EventLog(write, "r", clock=lambda: 1.5, clean=Redactor(["S3CRET-value"]).clean)
    rows = [(f"task {number}", "summarize", number) for number in range(40)]
    log.emit_all("task_queued", ("task_id", "task_type", "queue_size"), rows)
    log.emit_all("task_queued", ("task_id", "task_type", "queue_size"), [*rows, ("S3CRET-value", "a\u202eb", 1)])
    for _ in range(2):  # at one moment, with equal names: what is nested is looked at, too
        log.emit("notice", message={"inner": "S3CRET-value"})
    log.close()
    os.close(write)
    with os.fdopen(os.dup(read), encoding="utf-8") as stream:
        data = stream.read()
    assert "S3CRET" not in data
    assert "\u202e" not in data
    events = [json.loads(line) for line in data.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, 84))
    assert events[39] == {
        "event": "task_queued", "ts": "1970-01-01T00:00:01.500Z", "seq": 40, "run_id": "r",
        "task_id": "task 39", "task_type": "summarize", "queue_size": 39,
    }  # fmt: skip


def test_a_burst_over_the_limit_is_dropped_and_counted(pipe):
    read, write = pipe
    log = EventLog(write, "r", limit=10)
    log.emit_all("task_duplicate", ("task_id",), [(str(number),) for number in range(100)])
    log.close()
    events = lines_of(read, write)
    assert sum(event["event"] == "task_duplicate" for event in events) == 10
    assert [event["count"] for event in events if event["event"] == "events_dropped"] == [90]


def test_an_event_that_cannot_be_written_does_not_end_the_log(pipe):
    read, write = pipe
    log = EventLog(write, "r")
    log.emit("no_such_event", x=1)
    log.emit("workflow_saved", node_id="a")
    log.emit("notice", message=object())
    log.emit("notice", message="still here")
    log.close()
    events = lines_of(read, write)
    assert [event["event"] for event in events] == ["notice"] * 4
    assert events[-1]["message"] == "still here"


def test_a_reader_that_does_not_read_costs_events_and_says_how_many(pipe):
    read, write = pipe
    log = EventLog(write, "r", limit=100)
    for number in range(20_000):  # far more than the pipe and the limit hold; emit must not block
        log.emit("notice", message="x" * 100 + str(number))
    events: list[dict[str, Any]] = []

    def read_all():
        with os.fdopen(os.dup(read), encoding="utf-8") as stream:
            events.extend(json.loads(line) for line in stream)

    reader = threading.Thread(target=read_all)
    reader.start()
    log.close(10.0)
    os.close(write)
    reader.join(10.0)
    dropped = sum(event["count"] for event in events if event["event"] == "events_dropped")
    assert dropped > 0
    assert dropped + sum(event["event"] == "notice" for event in events) == 20_000


def test_a_reader_that_is_gone_is_no_error(pipe):
    read, write = pipe
    os.close(read)
    log = EventLog(write, "r", limit=10)
    for _ in range(1000):
        log.emit("notice", message="x")
    log.close()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Windows are not made non-blocking")
def test_a_non_blocking_descriptor_with_a_slow_reader_loses_no_events(pipe):
    read, write = pipe
    os.set_blocking(write, False)
    log = EventLog(write, "r")
    for number in range(3_000):  # several times what the pipe holds
        log.emit("notice", message="x" * 100 + str(number))
    events: list[dict[str, Any]] = []

    def read_all():
        with os.fdopen(os.dup(read), encoding="utf-8") as stream:
            events.extend(json.loads(line) for line in stream)

    reader = threading.Thread(target=read_all)
    reader.start()
    log.close(10.0)
    os.close(write)
    reader.join(10.0)
    assert [event["seq"] for event in events] == list(range(1, 3_001))
