"""Lengths of time in figures and words: "90", "90s", "1h30m", "1.5 hours", "an hour and a half", "twenty-five minutes"."""

import math
import re
from collections.abc import Sequence
from typing import NoReturn

from code_evolver.core.errors import InputError
from code_evolver.core.strict_json import show

YEAR = 365 * 86400.0
"""The longest duration that is taken, in seconds."""
HINT = "Write a number and a unit, such as 90s, 5m, 1.5h or 2 hours, of more than zero and at most a year."

_UNIT_NAMES = {
    0.001: "ms msec msecs millisecond milliseconds",
    1.0: "s sec secs second seconds",
    60.0: "m min mins minute minutes",
    3600.0: "h hr hrs hour hours",
    86400.0: "d day days",
    604800.0: "w wk wks week weeks",
    YEAR: "y yr yrs year years",
}
UNITS = {name: seconds for seconds, names in _UNIT_NAMES.items() for name in names.split()}
_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_SMALL = {word: float(value) for value, word in enumerate(f"{_ONES} seventeen eighteen nineteen".split())}
_TENS = dict(
    zip(
        ["twenty", "thirty", "forty", "fourty", "fifty", "sixty", "seventy", "eighty", "ninety"],
        (20.0, 30.0, 40.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0),
        strict=True,
    )
)
_FRACTIONS = {"½": 0.5, "¼": 0.25, "¾": 0.75, "1/2": 0.5, "1/4": 0.25, "3/4": 0.75}
_PHRASES: tuple[tuple[tuple[str, ...], float], ...] = (
    (("three", "quarters", "of", "an"), 0.75),
    (("a", "quarter", "of", "an"), 0.25),
    (("a", "quarter", "of", "a"), 0.25),
    (("quarter", "of", "an"), 0.25),
    (("quarter", "of", "a"), 0.25),
    (("half", "an"), 0.5),
    (("half", "a"), 0.5),
    (("a", "half"), 0.5),
    (("a", "quarter"), 0.25),
    (("half",), 0.5),
    (("quarter",), 0.25),
    (("an",), 1.0),
    (("a",), 1.0),
)
NUMBER_WORDS = frozenset({*_SMALL, *_TENS, *_FRACTIONS, "half", "quarter", "quarters"})
_FIGURE = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_PIECE = re.compile(r"[0-9]+/[0-9]+|[0-9]+(?:\.[0-9]+)?|[a-zµ]+|[½¼¾,]|[ \t\r\n-]+")
_HALF = ("and", "a", "half")


def parse_duration(text: str) -> float:
    """Give the seconds that `text` says; a bare number is seconds.

    Raises InputError for zero, negative, NaN, over a year, and anything that is no duration.
    """
    words = split_words(text[:200].strip().lower())
    if words is None or len(text) > 200:
        _refuse(text)
    if len(words) == 1 and _FIGURE.fullmatch(words[0]):
        return in_range(float(words[0]), text)
    found = match(words, 0)
    if found is None or found[1] != len(words):
        _refuse(text)
    return in_range(found[0], text)


def _refuse(text: str) -> NoReturn:
    stripped = text.strip()
    if re.match(r"[-\u2212]\s*[0-9.]", stripped):
        raise InputError(f"The duration {show(stripped)} is negative.", HINT)
    if not stripped:
        raise InputError("The duration is empty.", HINT)
    raise InputError(f"{show(stripped)} is not a duration.", HINT)


def in_range(seconds: float, words: str) -> float:
    """Give `seconds` back; raises InputError, quoting `words`, where it is zero, not finite or over a year."""
    if not math.isfinite(seconds) or seconds > YEAR:
        raise InputError(f"The duration {show(words.strip())} is over a year.", HINT)
    if seconds <= 0:
        raise InputError(f"The duration {show(words.strip())} is zero.", HINT)
    return seconds


def split_words(text: str) -> list[str] | None:
    """Cut lower-case text into figures, words and commas ("1h30m" → 1 h 30 m); None where other characters stand."""
    words, at = [], 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        # A leading "-" is a sign, not a hyphen.
        if piece is None or (at == 0 and text[0] == "-"):
            return None
        at = piece.end()
        if piece.group().strip(" \t\r\n-"):
            words.append(piece.group())
    return words


def match(words: Sequence[str], at: int) -> tuple[float, int] | None:
    """Give (seconds, number of words) of the longest duration that begins at `at`; None where none does.

    Parts go from the larger unit to the smaller ("1 hour and 5 minutes"); the seconds are not checked for their range.
    """
    part = _part(words, at)
    if part is None:
        return None
    total, unit, end = part
    while True:
        follower = _joined(words, end)
        # "5 min and 300 s" says one length twice, or two lengths: only a part below the larger unit is added.
        if follower is None or follower[1] >= unit or follower[0] >= unit:
            return total, end - at
        total, unit, end = total + follower[0], follower[1], follower[2]


def _joined(words: Sequence[str], at: int) -> tuple[float, float, int] | None:
    start = at
    if _word(words, start) == ",":
        start += 1
    if _word(words, start) == "and":
        start += 1
    # "5 minutes a day" is a rate: an article joins only after "and".
    if _word(words, start) in {"a", "an"} and _word(words, start - 1) != "and":
        return None
    return _part(words, start)


def _part(words: Sequence[str], at: int) -> tuple[float, float, int] | None:
    number = _number(words, at)
    if number is None:
        return None
    amount, end = number
    unit = UNITS.get(_word(words, end))
    if unit is None:
        return None
    end += 1
    if tuple(words[end : end + 3]) == _HALF and _word(words, end + 3) not in UNITS:
        return (amount + 0.5) * unit, unit, end + 3
    return amount * unit, unit, end


def _number(words: Sequence[str], at: int) -> tuple[float, int] | None:
    simple = _simple_number(words, at)
    if simple is not None:
        value, end = simple
        if tuple(words[end : end + 3]) == _HALF and _word(words, end + 3) in UNITS:
            return value + 0.5, end + 3
        if _word(words, end) in _FRACTIONS and value.is_integer():
            return value + _FRACTIONS[words[end]], end + 1
        return simple
    for phrase, value in _PHRASES:
        if tuple(words[at : at + len(phrase)]) == phrase and _word(words, at + len(phrase)) in UNITS:
            return value, at + len(phrase)
    return None


def _simple_number(words: Sequence[str], at: int) -> tuple[float, int] | None:
    word = _word(words, at)
    if _FIGURE.fullmatch(word):
        return float(word), at + 1
    if word in _FRACTIONS:
        return _FRACTIONS[word], at + 1
    if word in _TENS:
        ones = _SMALL.get(_word(words, at + 1), 0.0)
        return (_TENS[word] + ones, at + 2) if 1 <= ones <= 9 else (_TENS[word], at + 1)
    # "three quarters of an hour" is a phrase.
    if word in _SMALL and _word(words, at + 1) != "quarters":
        return _SMALL[word], at + 1
    return None


def _word(words: Sequence[str], at: int) -> str:
    return words[at] if 0 <= at < len(words) else ""
