"""core.tiers: who answers for a tier, what stands above, and a circuit that opens and closes by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_evolver.core.llm_config import ModelRef
from code_evolver.core.tiers import (
    COOL_DOWN,
    LONGEST_COOL_DOWN,
    OPENS_AFTER,
    Circuit,
    above,
    answered,
    asked,
    failed,
    may_ask,
    models_of,
)

SMALL, MIDDLE, LARGE = (ModelRef("a", name) for name in ("small", "middle", "large"))
ALL = {"fast": (SMALL,), "general": (MIDDLE, SMALL), "strong": (LARGE,)}


@pytest.mark.parametrize(
    ("tiers", "tier", "models"),
    [
        (ALL, "general", (MIDDLE, SMALL)),
        ({"general": (MIDDLE,)}, "fast", (MIDDLE,)),
        ({"general": (MIDDLE,)}, "strong", (MIDDLE,)),
        ({"fast": (SMALL,), "strong": (LARGE,)}, "general", (LARGE,)),
        ({"fast": (SMALL,)}, "general", (SMALL,)),
        (ALL, "odd", (MIDDLE, SMALL)),
        ({}, "general", ()),
    ],
)
def test_a_tier_without_models_is_served_by_the_nearest(tiers, tier, models):
    assert models_of(tiers, tier) == models


@pytest.mark.parametrize(
    ("tiers", "tier", "names"),
    [
        (ALL, "fast", ("general", "strong")),
        (ALL, "general", ("strong",)),
        (ALL, "strong", ()),
        ({"general": (MIDDLE,), "strong": (MIDDLE,)}, "general", ()),
        ({"strong": (LARGE,)}, "general", ()),
        ({}, "general", ()),
    ],
)
def test_only_tiers_with_other_models_stand_above(tiers, tier, names):
    assert above(tiers, tier) == names


def after(times: int, now: float = 100.0) -> Circuit:
    circuit = Circuit()
    for _ in range(times):
        circuit = failed(circuit, now)
    return circuit


def test_a_circuit_opens_after_so_many_failures_in_a_row():
    assert after(OPENS_AFTER - 1).state == "closed"
    assert after(OPENS_AFTER).state == "open"
    assert after(OPENS_AFTER).down_since == 100.0


def test_an_open_circuit_lets_one_request_through_after_the_pause():
    circuit = after(OPENS_AFTER)
    later = 100.0 + COOL_DOWN
    assert not may_ask(circuit, later - 0.1)
    assert may_ask(circuit, later)
    trying = asked(circuit, later)
    assert not may_ask(trying, later + 0.1)


def test_a_request_that_passes_closes_it_and_one_that_fails_doubles_the_pause():
    trying = asked(after(OPENS_AFTER), 105.0)
    assert answered(trying) == Circuit()
    again = failed(trying, 106.0)
    assert (again.state, again.opens_at, again.down_since) == ("open", 106.0 + 2 * COOL_DOWN, 100.0)


@given(st.lists(st.booleans(), max_size=30))
def test_whatever_happens_the_pause_stays_bounded_and_an_answer_closes(answers):
    circuit, now = Circuit(), 0.0
    for good in answers:
        now = max(now, circuit.opens_at)
        assert may_ask(circuit, now)
        circuit = answered(asked(circuit, now)) if good else failed(asked(circuit, now), now)
        assert circuit.cool_down <= LONGEST_COOL_DOWN
        assert not good or circuit.state == "closed"
