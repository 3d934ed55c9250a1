"""YAML that says one thing only."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core.errors import ConfigurationError, ManifestError
from code_evolver.core.yaml_strict import MAX_BYTES, line_of, load


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: NO", {"a": "NO"}),
        ("a: on\nb: off\nc: yes", {"a": "on", "b": "off", "c": "yes"}),
        ("a: true\nb: False", {"a": True, "b": False}),
        ("a: 2024-07-27", {"a": "2024-07-27"}),
        ("a: 12:30:45", {"a": "12:30:45"}),
        ("a: 0777\nb: 0x1f\nc: 1_000", {"a": "0777", "b": "0x1f", "c": "1_000"}),
        ("a: 5\nb: -2.5\nc: 1e3\nd: .inf\ne: .nan", {"a": 5, "b": -2.5, "c": 1000.0, "d": ".inf", "e": ".nan"}),
        ("a: ~\nb:\nc: null\nd: ''", {"a": None, "b": None, "c": None, "d": ""}),
        ("a: '5'\nb: \"true\"", {"a": "5", "b": "true"}),
        ("a: [1, {b: c}]", {"a": [1, {"b": "c"}]}),
        ("a: |-\n  x\n  y", {"a": "x\ny"}),
        ("no: 1\nyes: 2", {"no": 1, "yes": 2}),
        ("- a\n- b", ["a", "b"]),
        ("a: =", {"a": "="}),
        ("\ufeffa: é", {"a": "é"}),
    ],
)
def test_plain_data_is_read_and_words_stay_words(text, value):
    assert load(text, "f.yaml") == value
    assert load(text.encode(), "f.yaml") == value


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: &x 1\nb: 2", 1, "anchors"),
        ("a: 1\nb: *a", 2, "aliases"),
        ("a: 1\nb: 2\na: 3", 3, "twice"),
        ("a:\n  b: 1\n  b: 2", 3, "twice"),
        ("a: !!python/object/apply:os.system [x]", 1, "tag"),
        ("a: !!str 5", 1, "tag"),
        ("a: ! x", 1, "tag"),
        ("a: 1\n5: b", 2, "no text"),
        ("true: b", 1, "no text"),
        ("? [a, b]\n: c", 1, "no text"),
        ("<<: {a: 1}", 1, "merge"),
        ("a: 1\n---\nb: 2", 2, "one plain document"),
        ("%YAML 1.1\n---\na: 1", 1, "one plain document"),
        ("a: [1, 2", 1, "expected"),
        ("a: b\n\tc: d", 2, "."),
        ("a: 'x", 1, "."),
        ("a: \x07", 1, "."),
        ("[" * 21 + "]" * 21, 1, "deeper"),
        ("[" * 100_000, 1, "deeper"),
        ("{a: " * 30, 1, "deeper"),
    ],
)
def test_anything_else_is_refused_with_file_and_line(text, line, words):
    with pytest.raises(ManifestError) as caught:
        load(text, "tools/x.yaml")
    assert caught.value.message.startswith(f"tools/x.yaml, line {line}:")
    assert words in caught.value.message
    assert caught.value.hint


def test_twenty_levels_are_taken():
    assert load("[" * 20 + "]" * 20, "f") is not None


def test_a_file_over_the_limit_is_refused_before_it_is_parsed():
    with pytest.raises(ManifestError, match="256 KiB"):
        load(b"a: " + b"x" * MAX_BYTES, "f")


def test_bytes_that_are_not_utf8_name_their_line():
    with pytest.raises(ManifestError, match="line 2: not UTF-8"):
        load(b"a: b\nc: \xff", "f")


def test_the_caller_chooses_the_error():
    with pytest.raises(ConfigurationError) as caught:
        load("a: [", "config.yaml", ConfigurationError)
    assert type(caught.value) is ConfigurationError


@pytest.mark.parametrize(
    ("keys", "line"), [((), 1), (("a",), 1), (("a", "b"), 2), (("a", "x"), 1), (("c", 1), 5), (("c", 9), 3)]
)
def test_the_line_of_a_place_is_found(keys, line):
    assert line_of("a:\n  b: 1\nc:\n  - x\n  - y\n", keys) == line


@given(st.text(max_size=60) | st.text(alphabet="ab:-[]{}&*!|>'\"# \n?%,<", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_and_raises_nothing_else(text):
    try:
        found = load(text, "f")
    except ManifestError as error:
        found = error.message
        assert found.startswith("f, line ")
    assert found is None or isinstance(found, dict | list | str | int | float)
