"""What is remembered from one question to the next."""

from code_evolver.core.dialects.wire import Capability, Failure
from code_evolver.core.llm_config import ModelRef
from tests.desk_talk import DOWN, desk, said


def test_a_model_that_nothing_is_known_of_has_the_configured_context():
    made = desk(backend={"context": 4096})
    assert made.capability(ModelRef("b0", "m")).context == 4096
    made.capabilities[ModelRef("b0", "m")] = Capability(context=100)
    assert made.capability(ModelRef("b0", "m")).context == 100


def test_only_backends_that_a_tier_asks_are_used():
    assert desk(tiers={"general": "b1/m"}, backends=2).used() == {"b1"}


def test_three_failures_in_a_row_open_the_circuit_and_an_answer_closes_it():
    made = desk()
    for _ in range(3):
        made.note("b0", DOWN)
    assert made.circuit("b0").state == "open"
    made.note("b0", Failure("auth", "no", 401))  # it is there
    assert made.circuit("b0").state == "closed"
    made.note("b0", said("x"))
    assert made.circuit("b0").failures == 0


def test_all_are_down_since_the_last_of_them_went():
    made = desk(backends=2)
    assert made.down_since() is None
    for name, moment in (("b0", 1000.0), ("b1", 1050.0)):
        made.now.now = moment
        for _ in range(3):
            made.note(name, DOWN)
        assert made.down_since() == (None if name == "b0" else 1050.0)


def test_without_backends_nothing_is_down():
    made = desk()
    made.config.tiers.clear()
    assert made.down_since() is None
