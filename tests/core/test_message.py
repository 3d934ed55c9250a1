import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core.message import (
    LARGEST_RAW,
    LARGEST_RECEIPT,
    MOST_REFUSALS,
    Message,
    holds_tasks,
    read_message,
    receipt,
)
from code_evolver.core.setting_table import ROWS
from code_evolver.core.strict_json import LARGE
from code_evolver.core.task import Put, Refusal, Task, node_input
from code_evolver.core.task_reading import CONTENT_FIELDS

TASK = {"id": "a", "taskName": "Summarize notes", "llmTaskType": "summarize", "content": "Some notes."}
OTHER = {"id": "b", "taskName": "Translate sign", "llmTaskType": "translate", "content": "Wet paint."}


def ids(message: Message) -> list[str]:
    return [task.id for task in message.tasks]


FORMS: dict[str, tuple[Sequence[Any], list[str]]] = {
    "a task": ([TASK], ["a"]),
    "a list": ([[TASK, OTHER]], ["a", "b"]),
    "tasks in an object": ([{"tasks": [TASK, OTHER]}], ["a", "b"]),
    "Tasks in PascalCase": ([{"Tasks": [TASK]}], ["a"]),
    "one task in an object": ([{"task": TASK}], ["a"]),
    "data": ([{"data": TASK}], ["a"]),
    "payload with a list": ([{"payload": [TASK, OTHER]}], ["a", "b"]),
    "envelope in an envelope": ([{"payload": {"data": {"tasks": [TASK]}}}], ["a"]),
    "JSON text of a task": ([json.dumps(TASK)], ["a"]),
    "JSON text of a list": ([json.dumps([TASK, OTHER])], ["a", "b"]),
    "JSON text of JSON text": ([json.dumps(json.dumps({"tasks": [TASK]}))], ["a"]),
    "JSON text with a byte-order mark": (["\ufeff" + json.dumps(TASK)], ["a"]),
    "JSON text inside data": ([{"data": json.dumps([TASK])}], ["a"]),
    "a list of JSON texts": ([[json.dumps(TASK), json.dumps(OTHER)]], ["a", "b"]),
    "mock-data hub, a task": ([{"context": "X", "method": "GET", "path": "/t", "timestamp": 1, "data": TASK}], ["a"]),
    "mock-data hub, a list": (
        [{"context": "X", "method": "GET", "path": "/t", "timestamp": 1, "data": [TASK, OTHER]}],
        ["a", "b"],
    ),
    "mock-data hub, tasks": (
        [{"context": "X", "method": "GET", "path": "/t", "timestamp": 1, "data": {"tasks": [TASK]}}],
        ["a"],
    ),
    "mock-data hub, nothing": ([{"context": "X", "method": "GET", "path": "/t", "timestamp": 1, "data": None}], []),
    "a map of id to task": ([{"x": {"taskName": "Summarize a"}, "y": {"taskName": "Summarize b"}}], ["x", "y"]),
    "a map, own ids win": ([{"x": TASK, "y": OTHER}], ["a", "b"]),
    "a map under tasks": ([{"tasks": {"x": {"taskName": "Summarize a"}}}], ["x"]),
    "a map with a count beside": ([{"count": 1, "x": {"taskName": "Summarize a"}}], ["x"]),
    "an event about a task": ([{"id": "e1", "type": "task.created", "source": "/q", "data": TASK}], ["a"]),
    "values of a serialiser": ([{"$id": "1", "$values": [TASK]}], ["a"]),
    "context name and task": (["LLMTasks", TASK], ["a"]),
    "context name, envelope, odds": (["LLMTasks", {"tasks": [TASK]}, None, 1.5, True], ["a"]),
    "two tasks as arguments": ([TASK, OTHER], ["a", "b"]),
    "context name and JSON text": (["LLMTasks", json.dumps(TASK)], ["a"]),
    "the same id twice": ([[TASK, TASK]], ["a", "a"]),
    "no arguments": ([], []),
    "null": ([None], []),
    "an empty list": ([[]], []),
    "an empty object": ([{}], []),
    "an empty envelope": ([{"tasks": []}], []),
    "an empty data object": ([{"data": {}}], []),
    "a null envelope": ([{"tasks": None}], []),
    "empty JSON list": (["[]"], []),
    "a task with a field called data": ([{**TASK, "data": {"x": 1}}], ["a"]),
    "a weak task with odd data": ([{"id": "w", "type": "summarize", "data": {"x": 1}}], ["w"]),
    "a weak task with deep odd data": (
        [{"id": "w", "type": "x", "data": json.loads('{"a":' * 12 + "1" + "}" * 12)}],
        ["w"],
    ),
    "a weak task with lists of odd data": ([{"id": "w", "type": "x", "data": [[1], ["y"]]}], ["w"]),
    "a task with a field called tasks": ([{**TASK, "tasks": ["one", "two"]}], ["a"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_message_gives_its_tasks(form):
    arguments, wanted = FORMS[form]
    message = read_message(arguments)
    assert (ids(message), message.refusals, message.elements) == (wanted, (), len(wanted))


REFUSED: dict[str, tuple[Sequence[Any], str]] = {
    "plain text": (["hello"], "no JSON"),
    "broken JSON": (['{"id": 1,'], "no JSON"),
    "broken JSON in braces": (["{id: 1}"], "no JSON"),
    "JSON text of plain text": (['"hello"'], "no JSON"),
    "a number": ([5], "a number, not a task"),
    "a truth value": ([True], "true or false, not a task"),
    "an object that says nothing": ([{"id": 7, "colour": "red"}], "neither a type, nor a name, nor content"),
    "garbage in data": ([{"data": {"x": 1}}], "neither a type"),
    "null in a list": ([[None]], "null, not a task"),
    "an empty object in a list": ([[{}]], "empty object"),
    "several arguments without a container": (["LLMTasks", 5], "None of the 2 arguments of 'TaskHub'"),
    "endless envelopes": ([json.loads('{"data":' * 20 + '{"taskName":"x"}' + "}" * 20)], "more than 8 envelopes"),
    "JSON text that nests too deep": (["[" * 5000 + "]" * 5000], "no JSON"),
    "a deep unknown field": ([{**TASK, "x": json.loads("[" * 150 + "]" * 150)}], "nests deeper"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_an_element_that_is_no_task_is_refused_with_its_bytes(form):
    arguments, reason = REFUSED[form]
    message = read_message(arguments, hub_name="TaskHub")
    (refusal,) = message.refusals
    assert message.tasks == ()
    assert reason in refusal.reason
    assert refusal.raw


def test_a_bad_element_costs_only_itself():
    message = read_message([[TASK, 5, OTHER, {"id": 9}]])
    assert ids(message) == ["a", "b"]
    assert [(refusal.index, refusal.id, refusal.raw) for refusal in message.refusals] == [
        (1, "", b"5"),
        (3, "9", b'{"id":9}'),
    ]
    assert message.elements == 4


def test_equal_elements_have_equal_bytes_whatever_their_key_order():
    first, second = (read_message([value]).refusals[0].raw for value in ({"id": 1, "x": 2}, {"x": 2, "id": 1}))
    assert first == second


def test_a_refused_element_of_the_largest_message_keeps_its_bytes_and_has_a_short_reason():
    text = "y" * (ROWS["max_message_bytes"].default - 100)
    (refusal,) = read_message([text]).refusals
    assert refusal.raw == f'"{text}"'.encode()
    assert len(refusal.reason) <= 500


def test_an_element_that_escapes_make_too_long_keeps_the_record():
    (refusal,) = read_message(["ü" * (LARGEST_RAW // 6 + 1)], raw=b"the record").refusals
    assert refusal.raw == b"the record"


def test_an_element_too_deep_to_be_written_keeps_the_record():
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]
    (refusal,) = read_message([{"id": 1, "x": deep}], raw=b"the record").refusals
    assert refusal.raw == b"the record"
    while deep:  # taken apart by hand: freeing a deep list recurses too
        deep = deep.pop()


def test_repeated_keys_in_json_text_are_tolerated():
    assert ids(read_message(['{"id": "1", "taskName": "Summarize x", "taskName": "Summarize y"}'])) == ["1"]


def test_control_characters_are_escaped_in_reasons():
    (refusal,) = read_message(["\x1b[31mred"]).refusals
    assert "\x1b" not in refusal.reason


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["a-b", "summarize", "0", "completed", '{"taskName":"x"}', "[]", '"x"', "\ud800", "2024-07-27"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.text(max_size=6) | st.sampled_from(
            ["id", "Id", "taskName", "task_name", "type", "llmTaskType", "content", "Prompt", "tasks", "data", "payload",
             "task", "translationLanguages", "priority", "dueDate", "status", "from", "to", "$type", "context"]),
        inner, max_size=6),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(json_values, max_size=4))
def test_nothing_that_json_can_say_raises_and_every_element_is_a_task_or_a_refusal(arguments):
    message = read_message(arguments, raw=b"{}", hub_name="TaskHub")
    assert message.elements == len(message.tasks) + len(message.refusals)
    for task in message.tasks:
        assert 0 < len(task.id) <= 256
        assert len(task.type) <= 64
        json.dumps(node_input(task)).encode("utf-8")
        json.dumps(node_input(task), ensure_ascii=False).encode("utf-8")
        assert set(task.fields) <= set(CONTENT_FIELDS)
    for refusal in message.refusals:
        assert len(refusal.reason) <= 500
        assert refusal.reason.endswith(".")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([TASK, OTHER, 5, None, "x", {"id": 1}]), max_size=8))
def test_a_list_has_as_many_elements_as_it_is_long(elements):
    assert read_message([elements]).elements == len(elements)


def made(count: int, letters: str = "") -> tuple[Task, ...]:
    return read_message([[{**TASK, "id": f"{letters}{number}"} for number in range(count)]]).tasks


@pytest.mark.parametrize(
    "result",
    [
        TASK, [TASK], {"tasks": [TASK, 17]}, json.dumps([TASK]), {"t1": TASK},
        {"id": 7, "content": "Some notes."}, {"name": "Summarize notes"}, {"id": 7, "type": "poem"}, {"prompt": "A poem."},
        [{"name": "LLMTasks"}, {"name": "Notes", "text": "Some notes."}],
    ],
)  # fmt: skip
def test_a_result_with_tasks_holds_some(result):
    assert holds_tasks(read_message([result]))


@pytest.mark.parametrize(
    "result",
    [
        True, 5, "", "subscribed to LLMTasks", [], {}, ["a", "b"], [{"id": 5}], {"success": True}, {"connectionId": "abc"},
        {"status": "ok", "count": 3}, {"success": True, "message": "joined group LLMTasks"}, {"tasks": []},
        {"name": "LLMTasks", "members": 3}, {"id": "c", "name": "LLMTasks", "members": 3}, {"id": "c", "context": "LLMTasks"},
        {"text": "subscribed"}, {"type": "subscribed"},
    ],
)  # fmt: skip
def test_a_result_about_the_hub_holds_none(result):
    assert not holds_tasks(read_message([result]))


def test_a_receipt_names_what_became_of_each_task():
    puts: list[Put] = ["queued", "duplicate", "revised", "recorded"]
    answer = receipt(made(4), puts, [Refusal(4, "z", "No.", b"")])
    assert answer == {"received": True, "accepted": ["0", "2", "3"], "duplicates": ["1"], "rejected": 1,
                      "errors": [{"index": 4, "id": "z", "reason": "No."}]}  # fmt: skip


@pytest.mark.parametrize(("count", "letters"), [(6000, ""), (200, "ключ" * 40)])
def test_a_receipt_over_24_kilobytes_counts_in_the_place_of_lists(count, letters):
    tasks = made(count, letters)
    puts: list[Put] = ["queued"] * len(tasks)
    answer = receipt(tasks, puts, [])
    assert answer == {
        "received": True,
        "accepted": count,
        "duplicates": 0,
        "rejected": 0,
        "errors": 0,
        "ids_omitted": True,
    }


def test_a_receipt_with_lists_is_never_over_the_limit():
    for count in (100, 1000, 3000, 4000):
        tasks = made(count)
        answer = receipt(tasks, ["duplicate"] * count, [])
        size = len(json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode())
        assert size <= LARGEST_RECEIPT
        assert answer.get("ids_omitted", False) == (count >= 4000)


def test_beyond_a_hundred_refusals_the_rest_of_a_message_is_one_that_keeps_the_whole_of_it():
    numbers = [5] * (MOST_REFUSALS + 50)
    message = read_message([[TASK, *numbers, OTHER]], raw=b"the record")
    assert ids(message) == ["a", "b"]
    assert message.elements == len(numbers) + 2
    *single, rest = message.refusals
    assert [(one.index, one.elements, one.raw) for one in single] == [
        (place, 1, b"5") for place in range(1, MOST_REFUSALS + 1)
    ]
    assert (rest.index, rest.elements, rest.raw, rest.id) == (MOST_REFUSALS + 1, 50, b"the record", "")
    assert "50 more elements" in rest.reason


def test_of_the_rest_of_a_message_nothing_is_lost_where_the_record_is_not_at_hand():
    texts = [f"text {number}" for number in range(MOST_REFUSALS + 1)]
    rest = read_message([texts]).refusals[-1]
    assert json.loads(rest.raw) == [texts]


def test_a_hundred_refusals_are_just_these():
    message = read_message([[5] * MOST_REFUSALS])
    assert [one.elements for one in message.refusals] == [1] * MOST_REFUSALS


def test_a_receipt_counts_every_element_that_was_refused():
    message = read_message([[5] * 1000], raw=b"the record")
    answer = receipt(message.tasks, [], message.refusals)
    assert (answer["rejected"], len(answer["errors"])) == (1000, MOST_REFUSALS + 1)


def test_long_json_text_is_read_as_short_text_is():
    text = json.dumps([{**TASK, "n": [1, -0.5, 1e3, None, True, "ü"]}] * 1000)
    assert len(text) > LARGE
    assert read_message([text]) == read_message([json.loads(text)])
