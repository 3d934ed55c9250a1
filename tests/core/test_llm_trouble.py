"""core.llm_trouble: what went wrong, in one sentence, with what to do next."""

from typing import get_args

import pytest

from code_evolver.core.dialects.wire import Failure, FailureKind
from code_evolver.core.errors import ModelRefused, ModelTruncated, ModelUnavailable
from code_evolver.core.llm_config import ModelRef, read_config
from code_evolver.core.llm_trouble import error_of, hint_of

CONFIG = read_config({
    "backends": {"a": {"type": "ollama", "base_url": "http://a:1"}, "b": {"type": "openai", "base_url": "http://b:2/v1"}},
    "tiers": {"general": ["a/x", "b"]},
})  # fmt: skip
A, B = CONFIG.tiers["general"]
REFUSED, DOWN, CUT = (
    Failure("auth", "Invalid API Key", 401),
    Failure("connect", "refused"),
    Failure("truncated", "was cut", 200),
)


@pytest.mark.parametrize("kind", get_args(FailureKind))
def test_every_kind_of_failure_has_a_hint(kind):
    assert hint_of(kind).endswith((".", "it."))


@pytest.mark.parametrize(
    ("troubles", "error"),
    [
        ([(A, REFUSED)], ModelRefused),
        ([(A, REFUSED), (B, DOWN)], ModelUnavailable),
        ([(A, DOWN), (B, CUT)], ModelTruncated),
    ],
)
def test_the_error_is_the_one_that_most_can_be_done_about_and_tells_all(troubles, error):
    found = error_of(troubles, CONFIG)
    assert type(found) is error
    assert all(failure.words in found.message for _, failure in troubles)
    assert all(hint_of(failure.kind) in found.hint for _, failure in troubles)


def test_a_sentence_names_backend_address_model_and_status():
    assert (
        error_of([(A, REFUSED)], CONFIG).message
        == "The backend 'a' (http://a:1, model x) answered with status 401: Invalid API Key."
    )
    assert error_of([(B, DOWN)], CONFIG).message == "The backend 'b' (http://b:2/v1) did not answer: refused."


def test_how_long_a_server_wants_to_be_left_alone_is_kept():
    slow = Failure("rate", "slow down", 429, "3600")
    assert error_of([(ModelRef("a", "x"), slow)], CONFIG, 1000.0).retry_after == 3600.0
