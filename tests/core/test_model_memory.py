"""core.model_memory: what servers can do is remembered for a week; anything else in the file is not believed."""

import json

import pytest

from code_evolver.core.dialects.wire import Capability
from code_evolver.core.llm_config import read_config
from code_evolver.core.model_desk import Desk
from code_evolver.core.model_memory import KEPT_SECONDS, read_memory, write_memory

CONFIG = read_config(
    {"backends": {"a": {"type": "ollama", "base_url": "http://a:1", "context": 99}}, "tiers": {"fast": "a/x"}}
)
REF = CONFIG.tiers["fast"][0]


def written(known=None):
    desk = Desk(CONFIG, lambda _name: None, lambda: 0.0, lambda: 0.0)  # type: ignore[arg-type,return-value]
    desk.capabilities[REF] = known or Capability(
        "json", probed=True, context=5, cap_key="max_completion_tokens", temperature=False
    )
    return write_memory(desk, 1000.0)


def test_what_was_probed_comes_back_with_the_configured_context():
    found = read_memory(written(), CONFIG, 2000.0)
    assert found == {
        REF: Capability("json", probed=True, context=99, cap_key="max_completion_tokens", temperature=False)
    }


def test_what_was_only_supposed_is_not_kept():
    assert read_memory(written(Capability()), CONFIG, 2000.0) == {}


@pytest.mark.parametrize("now", [1000.0 + KEPT_SECONDS, 999.0])
def test_what_is_old_or_from_the_future_is_asked_again(now):
    assert read_memory(written(), CONFIG, now) == {}


@pytest.mark.parametrize("row", [{"schema": "magic"}, {"cap_key": "max"}, {"at": "now"}, {"at": None}])
def test_a_row_that_was_tampered_with_is_not_believed(row):
    value = json.loads(written())
    for name in value["models"]:
        value["models"][name].update(row)
    assert read_memory(json.dumps(value), CONFIG, 2000.0) == {}


@pytest.mark.parametrize("text", ["", "{torn", "[]", "null", '{"models": 3}'])
def test_a_damaged_file_is_nothing(text):
    assert read_memory(text, CONFIG, 2000.0) == {}
