from datetime import UTC, datetime

import pytest

from code_evolver.core.backoff import LONGEST_RETRY_AFTER, full_jitter, retry_after


def test_the_range_doubles_from_one_second_to_thirty():
    assert [full_jitter(attempt, 1.0) for attempt in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert full_jitter(10_000, 1.0) == 30
    assert full_jitter(0, 1.0) == 1


def test_full_jitter_takes_any_point_of_the_range():
    assert full_jitter(4, 0.0) == 0
    assert full_jitter(4, 0.25) == 2
    assert full_jitter(3, 0.5, first=0.1, limit=0.2) == 0.1


NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7), (" 0 ", 0), ("Mon, 23 Nov 2026 12:00:30 GMT", 30), ("Mon, 23 Nov 2026 11:00:00 GMT", 0),
        ("99999999999999", LONGEST_RETRY_AFTER), ("Mon, 23 Nov 2099 11:00:00 GMT", LONGEST_RETRY_AFTER),
        (None, None), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("²", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_date_and_bounded(value, seconds):
    assert retry_after(value, NOW) == seconds
