"""A task is written down as the hub's own JSON, and reading that again gives the same task."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core.message import read_message
from code_evolver.core.task import Task, read_again, read_task, unreadable

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(
    st.sampled_from(["id", "taskName", "llmTaskType", "type", "content", "Content", "priority", "dueDate", "status", "languages", "x"]),
    values | st.sampled_from(["summarize", "high", "done", "2024-07-27T14:30:00Z", "\ud800", 10**30]),
)  # fmt: skip


def whole(task: Task | None) -> str:
    """Show all that a task says (by repr, for NaN is no equal of itself)."""
    assert task is not None
    return repr((*task, task.name, task.fields, task.languages, task.digest))


@given(objects, st.booleans(), st.sampled_from(["", "7", "Größe \ud800", "task-1"]))
@settings(max_examples=300, deadline=None)
def test_what_is_written_down_is_read_again_as_the_same_task(found: dict[str, Any], text_at_hand: bool, key: str):
    text = json.dumps(found, indent=1).encode() if text_at_hand else b""
    task = read_task(json.loads(text), "", text) if text else read_task(found, key)
    if isinstance(task, Task):
        assert whole(read_again(task.written)) == whole(task)


def test_the_text_that_a_hub_wrote_is_kept_as_it_is():
    text = '{"id":1,"taskName":"Größe \\ud800","n":1.0,"n":NaN,  "content":"x"}'.encode()
    (task,) = read_message([json.loads(text)], text=text).tasks
    assert task.written == text


@pytest.mark.parametrize(
    ("written", "identifier", "given_id"),
    [
        (b'[{"taskName":"Notes","type":"summarize"},"k-1"]', "k-1", True),
        (b'[{"taskName":"Notes"},"k-1",true,"Notes","untyped",{},[],1,null,false,"d"]', "k-1", True),
        (b'[{"id":5,"taskName":"Notes"},"5",true,"Notes","untyped",{},[],1,null,false,"d"]', "5", True),
        (b'[{"taskName":"Notes"},"task-0123456789abcdef",false,"Notes","untyped",{},[],1,null,false,"d"]', None, False),
    ],
)
def test_what_earlier_versions_wrote_down_is_read_too(written, identifier, given_id):
    task = read_again(written)
    assert (task.name, task.id_given) == ("Notes", given_id)
    assert task.id == (identifier or "task-" + task.digest[:16])
    assert whole(read_again(task.written)) == whole(task)


def test_an_object_that_newer_rules_would_refuse_is_still_the_task_that_it_was_accepted_as():
    task = read_again(b'{"id": 7, "x": 1}')
    assert (task.id, task.id_given, task.type, task.raw) == ("7", True, "untyped", {"id": 7, "x": 1})
    assert read_again(b"{}").id.startswith("task-")


@pytest.mark.parametrize(
    "written",
    [b"", b'x"id":"2"}', b'{"id":"2\xff"}', b"5", b'"text"', b"null", b"[]", b'[{"x":1}]', b'[5,"k"]', b'[{"x":1},5]', b"[" * 100_000],
)  # fmt: skip
def test_bytes_that_a_disk_changed_are_no_task_and_stop_nobody(written):
    assert read_again(written) is None
    stand_in = unreadable("2", "summarize", written)
    assert (stand_in.id, stand_in.type, stand_in.name, stand_in.fields) == ("2", "summarize", "", {})
    assert stand_in.received == stand_in.written == written


def test_what_was_received_is_the_hubs_own_text():
    text = b'{ "taskName":"Notes", "n":1.50e2, "n":12345678901234567890.123456789, "big":1e400}'
    task = read_task(json.loads(text), "", text)
    assert isinstance(task, Task)
    assert task.received == text
    again = read_again(task.written)
    assert again is not None
    assert again.received == text


@pytest.mark.parametrize("key", ["k-1", "Größe \ud800", '"],['])
def test_what_was_received_is_without_what_we_wrote_around_it(key):
    task = read_task({"taskName": "Notes"}, key)
    assert isinstance(task, Task)
    assert (task.id, task.received) == (key, b'{"taskName":"Notes"}')


def test_a_number_that_is_none_in_python_is_written_down_as_json_all_the_same():
    found = json.loads('{"taskName":"Infinity \\" Infinity","big":1e400,"small":[-1e400]}')
    task = read_task(found)
    assert isinstance(task, Task)
    assert task.received == b'{"taskName":"Infinity \\" Infinity","big":1e999,"small":[-1e999]}'
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert "nests deeper" in str(read_task({"taskName": "x", "big": float("inf"), "deep": deep}))
    assert whole(read_again(task.written)) == whole(task)
