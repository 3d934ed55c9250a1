"""registry.json and node.json as values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_evolver.core.errors import StoreError
from code_evolver.core.registry import appended, entry, read_record, read_registry, render, source_hash

NAMES = st.text(alphabet="abc_", min_size=1, max_size=5)


@given(
    st.dictionaries(NAMES, st.dictionaries(NAMES, st.text(max_size=9)), max_size=5),
    st.dictionaries(NAMES, st.dictionaries(NAMES, st.text(max_size=9)), min_size=1, max_size=5),
)
def test_appending_gives_what_rendering_all_gives(old, new):
    new = {name: shown for name, shown in new.items() if name not in old} or {"zzzzzz": {}}
    whole = "".join(render([*old.items(), *new.items()])).encode()
    before = "".join(render(old.items())).encode()
    cut, text = appended(len(before), not old, [entry(name, shown) for name, shown in new.items()])
    assert before[:cut] + text.encode() == whole
    assert read_registry(whole) == {**old, **new}


def test_a_hash_is_the_same_with_either_line_end():
    assert source_hash(b"a\r\nb\r\n") == source_hash(b"a\nb\n") != source_hash(b"a\nb")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "{}", '{"nodes": {"a": 1}, "schema_version": 1}', '{"nodes": {}, "schema_version": "1"}', "\xff"],
)
def test_a_registry_that_is_none_is_told(text):
    with pytest.raises(StoreError, match=r"registry\.json"):
        read_registry(text)


GOOD = {
    "name": "a", "task_type": "summarize", "tools": [], "program_key": "p", "node_key": "k", "source_task": "t",
    "generator": {}, "proof": {}, "isolation": {}, "sha256": "0", "created": "now", "version": 1,
}  # fmt: skip


def test_a_good_record_is_read():
    assert read_record(json.dumps(GOOD), "a") == GOOD
    whole = {**GOOD, "title": "T", "description": "D", "tools": ["summarizer"], "generator": {"kind": "hand"},
             "proof": {"covers": {"languages": 2, "fields": ["content"], "max_chars": 9, "cases": 4}}}  # fmt: skip
    assert read_record(json.dumps(whole), "a") == whole


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"tools": "x"},
        {"version": "1"},
        {"proof": None},
        {"version": True},
        {"version": 2**31},
        {"version": -1},
        {"tools": ["summarizer", 5]},
        {"tools": [["summarizer"]]},
        {"title": 5},
        {"title": None},
        {"description": ["x"]},
        {"rating": 1},
        {"generator": {"kind": 5}},
        {"generator": {"kind": "copy", "origin": ["model"]}},
        {"isolation": {"level": 1}},
        {"proof": {"covers": None}},
        {"proof": {"covers": [1]}},
        {"proof": {"covers": {"languages": "many"}}},
        {"proof": {"covers": {"max_chars": 1.5}}},
        {"proof": {"covers": {"fields": "content"}}},
        {"proof": {"covers": {"fields": [["content"]]}}},
    ],
)
def test_a_record_of_another_form_is_told(change):
    with pytest.raises(StoreError, match=r"nodes/a/node\.json"):
        read_record(json.dumps({**GOOD, **change}), "a")
