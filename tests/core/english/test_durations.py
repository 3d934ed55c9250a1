import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core.english.durations import YEAR, parse_duration
from code_evolver.core.errors import InputError

GOOD = {
    "90": 90, "90s": 90, "5m": 300, "1.5h": 5400, "2 hours": 7200, "half an hour": 1800, "1h30m": 5400, "1h 30m": 5400,
    "an hour and a half": 5400, "one and a half hours": 5400, "1 1/2 hours": 5400, "1½ hours": 5400, "½ hour": 1800,
    "a quarter of an hour": 900, "three quarters of an hour": 2700, "twenty-five minutes": 1500, "FIVE MINUTES": 300,
    "1 hour, 5 minutes and 3 seconds": 3903, " 10 min ": 600, "500ms": 0.5, "2d": 172800, "1 week": 604800, "1y": YEAR, "0.5": 0.5,
    "5-minute": 300, "half-hour": 1800, "an hour and a minute": 3660, "twenty five secs": 25, "a quarter hour": 900,
}  # fmt: skip
BAD = ["", " ", "0", "0s", "zero minutes", "-5", "-5m", "\u22125", "nan", "inf", "infinity", "1e3", "5 apples", "5", "1h 30", "30 1h",
       "5m 1h", "1h1h", "5m300s", "1h90m", "5 minutes a day", "366 days", "2 years", "9" * 180, "9" * 400 + "s", "five", "minutes", "m", "5 m m", "1,5 h",
       "for 5 minutes", "5m!", "٣ minutes", "forever", "until noon", "1:30", "1.", ".5h", "1..5h", "h1", "a", "half"][:]  # fmt: skip
BAD.remove("5")


@pytest.mark.parametrize(("text", "seconds"), GOOD.items())
def test_a_length_of_time_is_read(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused_with_a_hint(text):
    with pytest.raises(InputError) as caught:
        parse_duration(text)
    assert "90s" in caught.value.hint


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 365 * 24), st.integers(0, 59), st.integers(0, 59))
def test_what_is_written_in_hours_minutes_seconds_is_read_back(hours, minutes, seconds):
    total = hours * 3600 + minutes * 60 + seconds
    if total <= YEAR:
        assert parse_duration(f"{hours}h{minutes}m{seconds}s") == total
        assert parse_duration(f"{hours} hours, {minutes} minutes and {seconds} seconds") == total
        assert parse_duration(str(total)) == total


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_positive_finite_length_or_an_input_error(text):
    try:
        seconds = parse_duration(text)
    except InputError:
        return
    assert 0 < seconds <= YEAR
    assert math.isfinite(seconds)
