"""A sample becomes at least ten further inputs, each of which tries something else."""

import json

import pytest

from code_evolver.core.proof_cases import LONG_CHARS, SECOND_TEXT, cases, text_key
from code_evolver.core.task_types import TASK_TYPES

SAMPLES = [(row, sample) for row in TASK_TYPES.values() for sample in row.examples]


@pytest.mark.parametrize(("row", "sample"), SAMPLES)
def test_the_sample_comes_first_and_at_least_ten_different_inputs_follow(row, sample):
    made = cases(row, sample)
    assert json.loads(made[0].input) == {"id": "sample-1", **sample}
    assert len({(case.input, case.failing) for case in made}) >= 11
    assert len({case.name for case in made}) == len(made)


@pytest.mark.parametrize(("row", "sample"), SAMPLES)
def test_each_tool_that_the_program_needs_fails_once(row, sample):
    asked = [row.pair_tool] if sample.get("translationLanguages") else []
    assert [case.failing for case in cases(row, sample) if case.failing] == [*([row.tool] if row.tool else []), *asked]


def test_the_same_sample_gives_the_same_cases():
    row = TASK_TYPES["summarize"]
    assert cases(row, row.examples[0]) == cases(row, dict(reversed(list(row.examples[0].items()))))


def test_texts_stand_under_the_key_that_the_sample_uses():
    made = {
        case.name: json.loads(case.input)
        for case in cases(TASK_TYPES["summarize"], {"text": "x", "tone": "dry"})
        if case.name != "no JSON"
    }
    assert made["second text"]["text"] == SECOND_TEXT
    assert len(made["long text"]["text"]) == LONG_CHARS
    assert "text" not in made["text missing"]
    assert made["other fields"]["tone"] != "dry"


def test_a_translation_without_languages_is_proven_with_some():
    made = cases(TASK_TYPES["translate"], {"content": "x"})
    assert json.loads(made[0].input)["translationLanguages"]


def test_an_unknown_type_is_tried_on_what_holds_for_every_node():
    sample = {"id": "u", "content": "x", "translationLanguages": [{"from": "en", "to": "fr"}]}
    names = {case.name for case in cases(None, sample, ("feeler",))}
    assert {"second text", "five languages", "feeler fails", "no JSON"} <= names
    assert not {"shared target", "pairs are texts"} & names


@pytest.mark.parametrize(
    ("row", "data", "key"),
    [
        (TASK_TYPES["summarize"], {"content": "a", "prompt": "b"}, "content"),
        (TASK_TYPES["generate"], {"content": "a", "prompt": "b"}, "prompt"),
        (TASK_TYPES["summarize"], {"content": None, "prompt": "b"}, "prompt"),
        (TASK_TYPES["summarize"], {"id": "x"}, ""),
        (None, {"id": "x", "tone": "t", "question": "q"}, "question"),
        (None, {"id": "x", "own_field": "q"}, "own_field"),
        (None, {"id": "x"}, ""),
    ],
)
def test_the_text_lies_under_the_first_key_that_holds_one(row, data, key):
    assert text_key(row, data) == key
