"""The table of states and moves, and what becomes of a task that arrives."""

import pytest

from code_evolver.core.errors import Unexpected
from code_evolver.core.lifecycle import (
    DONE,
    ENDS,
    PENDING,
    TRANSITIONS,
    Event,
    State,
    admit,
    after,
    as_recorded,
    entry,
    move,
    worn_out,
)


def test_the_numbers_in_queue_files_never_change():
    assert {state.name: int(state) for state in State} == {
        "READY": 0, "DELAYED": 1, "LEASED": 2, "GENERATED": 3, "REUSED": 4, "FAILED": 5, "RECORDED": 6,
    }  # fmt: skip


def test_every_event_happens_in_exactly_one_state():
    assert sorted(event for _, event in TRANSITIONS) == sorted(Event)
    for event in Event:
        before, then = move(event)
        assert after(before, event) is then


def test_a_move_that_is_not_in_the_table_is_refused_with_its_names():
    with pytest.raises(Unexpected, match="generated cannot lease"):
        after(State.GENERATED, Event.LEASE)


def test_every_state_is_pending_done_or_failed_and_done_is_for_good():
    assert PENDING | DONE | {State.FAILED} == set(State)
    assert {before for before, _ in TRANSITIONS} == PENDING | {State.FAILED}


def test_every_pending_state_can_reach_every_end():
    for start in PENDING:
        reached = {start}
        while more := {then for (before, _), then in TRANSITIONS.items() if before in reached} - reached:
            reached |= more
        assert {State.GENERATED, State.REUSED, State.FAILED} <= reached


def test_each_outcome_has_the_state_of_its_name():
    assert {outcome: move(event)[1].name.lower() for outcome, event in ENDS.items()} == {name: name for name in ENDS}


def test_a_closed_task_enters_as_recorded():
    assert (entry(closed=True), entry(closed=False)) == (State.RECORDED, State.READY)


def test_the_tenth_crash_is_the_last():
    assert [worn_out(crashes) for crashes in (0, 9, 10, 11)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("known", "given", "closed", "expected"),
    [
        ({}, True, False, "queued"),
        ({}, False, False, "queued"),
        ({}, True, True, "recorded"),
        ({b"a": 0.0}, True, False, "duplicate"),
        ({b"a": 0.0}, True, True, "duplicate"),
        ({b"b": 0.0}, True, False, "revised"),
        ({b"b": 0.0}, True, True, "recorded"),
        ({b"a": 0.0, b"b": 9.0}, True, False, "duplicate"),
        ({b"a": 13_601.0}, False, False, "duplicate"),
        ({b"a": 13_600.0}, False, False, "queued"),
        ({b"b": 0.0}, False, False, "queued"),
        ({as_recorded(b"a"): 0.0}, True, True, "duplicate"),
        ({as_recorded(b"a"): 0.0}, True, False, "revised"),
        ({as_recorded(b"a"): 99_999.0}, False, False, "queued"),
        ({as_recorded(b"b"): 0.0}, True, True, "recorded"),
    ],
)
def test_what_arrives_is_told_apart_by_id_content_and_age(known, given, closed, expected):
    assert admit(known, b"a", id_given=given, closed=closed, now=100_000.0) == expected
