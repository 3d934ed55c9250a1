"""core.schema_check: an answer is checked here, whatever the server promised."""

import pytest

from code_evolver.core.schema_check import read_data

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.mark.parametrize("text", ['{"n": 1}', ' {"n" :1}\n', '```json\n{"n": 1}\n```', 'Here: {"n": 1}. Good?'])
def test_an_answer_that_fits_is_read(text):
    assert read_data(SCHEMA, text) == ({"n": 1}, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not the JSON"),
        ("hello", "not the JSON"),
        ('{"n": 1', "not the JSON"),
        ('{"n": 1, "n": 2}', "stands twice"),
        ('{"n": NaN}', "NaN"),
        ('{"n": "1"}', "does not fit the schema"),
        ('{"n": 1, "m": 2}', "does not fit the schema"),
        ("[1]", "does not fit the schema"),
        ("{" * 5000, "not the JSON"),
    ],
)
def test_an_answer_that_does_not_fit_is_told_and_never_completed(text, words):
    value, wrong = read_data(SCHEMA, text)
    assert value is None
    assert words in wrong


def test_without_a_schema_nothing_is_read():
    assert read_data(None, "words") == (None, "")
