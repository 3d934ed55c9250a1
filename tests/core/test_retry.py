"""core.retry: which failure is tried again, after how long, and which never."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_evolver.core.dialects.wire import Failure
from code_evolver.core.errors import ModelUnavailable
from code_evolver.core.retry import LOADING_SECONDS, NextModel, Stop, Wait, decide, floor_of

NOW = 1_700_000_000.0
NEVER = [
    "quota",
    "auth",
    "model",
    "path",
    "context",
    "schema",
    "parameter",
    "filter",
    "request",
    "mismatch",
    "truncated",
    "down",
]
AGAIN = {"connect": 3, "read": 3, "server": 4, "rate": 5, "timeout": 1, "odd": 2, "empty": 2}
kinds = st.sampled_from([*NEVER, *AGAIN, "loading"])


@pytest.mark.parametrize("kind", NEVER)
def test_what_would_fail_again_is_not_tried_again(kind):
    assert decide(Failure(kind), 1, NOW, 0.5) == NextModel(down=False)


@pytest.mark.parametrize(("kind", "attempts"), AGAIN.items())
def test_what_may_pass_is_tried_so_often(kind, attempts):
    steps = [decide(Failure(kind), attempt, NOW, 0.5, waits=1) for attempt in range(1, attempts + 1)]
    assert all(isinstance(step, Wait) and step.counts for step in steps[:-1])
    assert isinstance(steps[-1], NextModel)


def test_a_backend_that_is_not_there_counts_towards_its_circuit_and_a_rate_limit_does_not():
    assert decide(Failure("connect"), 3, NOW, 0.5) == NextModel(down=True)
    assert decide(Failure("rate"), 5, NOW, 0.5) == NextModel(down=False)


def test_a_broken_connection_is_tried_once_at_once_without_burning_an_attempt():
    assert decide(Failure("read"), 1, NOW, 0.9) == Wait(0.0, counts=False)
    assert decide(Failure("read"), 1, NOW, 0.9, waits=1) == Wait(0.45, counts=True)


def test_loading_is_waiting_until_it_takes_too_long():
    first = decide(Failure("loading"), 1, NOW, 0.0)
    late = decide(Failure("loading"), 1, NOW, 1.0, waits=30, waiting_since=NOW - 60)
    assert first == Wait(0.5, counts=False)
    assert late == Wait(10.0, counts=False)
    assert decide(Failure("loading"), 1, NOW, 0.5, waits=99, waiting_since=NOW - LOADING_SECONDS) == NextModel(
        down=True
    )


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("0.25", 0.25), (" 3 ", 3.0), (formatdate(NOW + 20, usegmt=True), 20.0), (formatdate(NOW - 20, usegmt=True), 0.0),
     ("soon", 0.0), ("", 0.0), ("-5", 0.0), ("٣", 0.0), ("1.2.3", 0.0), ("Mon, 99 Foo 2024", 0.0)],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_as_a_date(said, seconds):
    assert floor_of(said, NOW) == pytest.approx(seconds, abs=1.0)


@given(st.floats(0, 0.999), st.integers(1, 4), st.integers(0, 200))
def test_retry_after_is_a_floor_that_jitter_only_raises(random, attempt, seconds):
    step = decide(Failure("rate", retry_after=str(seconds)), attempt, NOW, random)
    assert isinstance(step, Wait)
    assert seconds <= step.seconds <= seconds + 60.0


def test_an_hour_of_retry_after_is_not_waited_for():
    assert decide(Failure("rate", retry_after="3600"), 1, NOW, 0.5) == NextModel(down=False)


@given(kinds, st.integers(1, 9), st.floats(0, 0.999), st.floats(0, 30), st.sampled_from(["", "5", "100"]))
def test_nothing_is_ever_waited_for_past_the_deadline(kind, attempt, random, left, after):
    step = decide(Failure(kind, "words", retry_after=after), attempt, NOW, random, deadline=NOW + left)
    assert not isinstance(step, Wait) or NOW + step.seconds < NOW + left


def test_past_the_deadline_the_question_ends_as_one_that_waiting_mends():
    step = decide(Failure("server", "502 Bad Gateway"), 1, NOW, 0.5, deadline=NOW)
    assert isinstance(step, Stop)
    assert isinstance(step.error, ModelUnavailable)
    assert "502 Bad Gateway" in step.error.message
