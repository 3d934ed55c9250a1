"""A recording comes back as it was; what is no recording says which line; drift is named."""

import json

import pytest

from code_evolver.core.errors import InputError
from code_evolver.core.recording import Recorded, drift, read_line, write_line


@pytest.mark.parametrize("one", [
    Recorded(1.5, "TaskHub", [{"id": "1", "taskName": "a \u2028 ü"}]),
    Recorded(0.0, "stream", []),
    Recorded(2.0, "TaskHub", [], "bad JSON: cut", b'{"type":1,"\xff'),
])  # fmt: skip
def test_a_message_comes_back_as_it_was(one):
    line = write_line(one)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert read_line(line, 1) == one


@pytest.mark.parametrize("text", [
    "", "nonsense", "[]", "7", "{}", '{"at": "x", "target": "t", "arguments": []}', '{"at": 1, "target": 2, "arguments": []}',
    '{"at": 1, "target": "t", "arguments": {}}', '{"at": 1, "target": "t", "arguments": [], "raw": "%%%"}',
    "[" * 100_000,
])  # fmt: skip
def test_another_line_is_refused_by_its_number(text):
    with pytest.raises(InputError, match="Line 12 "):
        read_line(text, 12)


@pytest.mark.parametrize("argument", ["half a pair \ud800", float("inf"), -float("inf"), ["deep"]])
def test_whatever_a_hub_may_say_comes_back_from_its_line(argument):
    for _ in range(150 if argument == ["deep"] else 0):
        argument = [argument]
    one = Recorded(1.0, "TaskHub", [argument])
    assert read_line(write_line(one), 1) == one


def test_repeated_keys_and_endless_numbers_are_read_as_the_hub_reads_them():
    assert read_line('{"at": 1, "target": "t", "arguments": [{"a": 1, "a": 2, "b": 1e999}]}', 1).arguments == [
        {"a": 2, "b": float("inf")}
    ]


def test_a_line_without_the_optional_parts_is_enough():
    assert read_line(json.dumps({"at": 1, "target": "t", "arguments": [1]}), 1) == Recorded(1.0, "t", [1])


def test_drift_names_each_node_once():
    before = {"a": {"sha256": "1"}, "b": {"sha256": "1"}, "c": {"sha256": "1"}}
    after = {"a": {"sha256": "1"}, "b": {"sha256": "2"}, "d": {"sha256": "1"}}
    assert drift(before, after) == {"same": ["a"], "drifted": ["b"], "gone": ["c"], "new": ["d"]}
