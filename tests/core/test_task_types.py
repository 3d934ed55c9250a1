"""A type's names, aliases and numbers mean its row, and a task's fields say where its text lies."""

import pytest

from code_evolver.core.task_types import TASK_TYPES, known, text_keys


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("summarize", "summarize"), ("Summarisation", "summarize"), ("TEXT_SUMMARIZATION", "summarize"), (0, "summarize"),
        ("Content Generation", "generate"), ("1", "generate"), (1, "generate"), ("translation", "translate"), ("2", "translate"),
    ],
)  # fmt: skip
def test_names_aliases_and_numbers_mean_their_row(said, name):
    assert known(said) is TASK_TYPES[name]


@pytest.mark.parametrize("said", ["", "sentiment", "translateXsummarize", 3, -1, "17", "0000", "²"])
def test_anything_else_is_no_known_type(said):
    assert known(said) is None


def test_no_alias_means_two_types():
    said = [alias for row in TASK_TYPES.values() for alias in (row.name, *row.aliases)]
    assert len(said) == len(set(said))


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        (("content", "text"), "content"),
        (("prompt",), "content"),
        (("title", "text"), "text"),
        (("tone",), "content"),
        ((), "content"),
    ],
)
def test_the_text_is_looked_for_under_the_type_s_keys_and_else_under_the_task_s_own(fields, first):
    assert text_keys(TASK_TYPES["summarize"], fields)[0] == first
