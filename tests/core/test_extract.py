"""A summary without a model is made of the text's own sentences, in any script and in time that grows with the text."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core.extract import LONGEST, split, summarize

STORY = (
    "The harbour opened in 1932. Dr. Meyer built it for ferries, e.g. the Aurora. It cost 3.5 million crowns! "
    "My aunt likes cheese. The flood of 1953 destroyed the harbour and its ferries. Was the harbour rebuilt? "
    "The harbour was rebuilt for ferries in 1955."
)


def test_the_sentences_of_the_summary_stand_in_the_text_in_this_order():
    told = split(summarize(STORY, 3))
    assert len(told) == 3
    assert [sentence for sentence in split(STORY) if sentence in told] == told
    assert "cheese" not in summarize(STORY, 3)


def test_abbreviations_and_numbers_end_no_sentence():
    assert split(STORY)[1:3] == ["Dr. Meyer built it for ferries, e.g. the Aurora.", "It cost 3.5 million crowns!"]
    assert len(split(STORY)) == 7


@pytest.mark.parametrize("text", ["", " \n\t ", "...", "?!"])
def test_a_text_without_words_has_an_empty_summary(text):
    assert summarize(text) == ""


def test_a_short_text_is_its_own_summary():
    assert summarize("Keep dry.  And cool.") == "Keep dry. And cool."
    assert summarize("no end at all") == "no end at all"


def test_a_text_without_sentence_ends_is_cut_between_words():
    told = summarize("word " * 1000)
    assert len(told) <= LONGEST
    assert told.endswith("word…")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("港は1932年に開かれた。洪水で壊れた！再建されたか？はい。", 4),  # noqa: RUF001
        ("बंदरगाह 1932 में खुला। बाढ़ आई। फिर बना।", 3),
        ("هل فتح الميناء؟ نعم فتح. ثم جاء الفيضان.", 3),
        ("First line\nSecond line\n\nThird line", 3),
    ],
)
def test_other_scripts_and_lines_have_sentences_too(text, parts):
    assert len(split(text)) == parts
    assert summarize(text, 1) in text


def test_one_sentence_at_least_is_given_and_repeats_count_once():
    assert summarize("One. One. One.", 0) == "One."
    assert summarize(STORY, -5) in STORY


@pytest.mark.parametrize(
    "text",
    ["A sentence about the harbour number 1. " * 26_000, "." * 1_000_000, "x" * 1_000_000, "\n" * 1_000_000, "。" * 1_000_000,
     '."' * 500_000, "字" * 1_000_000, "".join(f"Word{n} and word{n % 99}. " for n in range(50_000)), "a. " * 330_000],
    ids=["repeats", "dots", "one word", "line ends", "full stops", "quotes", "no spaces", "many", "initials"],
)  # fmt: skip
def test_a_megabyte_is_summarized_in_seconds(text):
    start = time.perf_counter()
    assert len(summarize(text)) <= 3 * LONGEST + 3
    assert time.perf_counter() - start < 10  # 0.1 to 1 s on an idle machine; a quadratic way takes minutes


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=400), st.integers(min_value=1, max_value=4))
def test_any_text_gives_the_same_summary_twice_never_longer_than_it_may_be(text, count):
    told = summarize(text, count)
    assert told == summarize(text, count)
    assert len(told) <= count * (LONGEST + 1)
