"""core.llm_config: the `llm:` mapping and the environment, and errors that name the key."""

import pytest

from code_evolver.core.errors import ConfigurationError
from code_evolver.core.llm_config import Backend, ModelRef, Timeouts, combine, from_environment, read_config

LOCAL = {"type": "ollama", "base_url": "http://localhost:11434"}
CLOUD = {
    "type": "openai",
    "base_url": "https://api.example.com/v1/",
    "api_key_env": "KEY",
    "context": 8192,
    "timeouts": {"read": 30},
}


def test_the_mapping_of_the_contract_is_read():
    config = read_config({
        "backends": {"local": LOCAL, "cloud": CLOUD},
        "tiers": {"fast": "local/qwen2.5-coder:3b", "general": ["local/qwen2.5-coder:14b", "cloud/org/model"], "strong": "cloud"},
    })  # fmt: skip
    assert config.backends["cloud"] == Backend(
        "cloud", "openai", "https://api.example.com/v1", api_key_env="KEY", context=8192, timeouts=Timeouts(read=30.0)
    )
    assert config.tiers["general"] == (ModelRef("local", "qwen2.5-coder:14b"), ModelRef("cloud", "org/model"))
    assert config.tiers["strong"] == (ModelRef("cloud", ""),)


@pytest.mark.parametrize(
    ("llm", "words", "hint"),
    [
        ({"backend": {}}, "llm has the unknown key 'backend'", "nearest: backends"),
        ({"backends": {"a": {**LOCAL, "typ": "x"}}}, "llm.backends.a has the unknown key 'typ'", "nearest: type"),
        ({"backends": {"a": {**LOCAL, "type": "olama"}}}, "llm.backends.a.type is 'olama'", "nearest: ollama"),
        ({"backends": {"a": {**LOCAL, "api_key": "sk"}}}, "would put a secret", "api_key_env"),
        ({"backends": {"a": {**LOCAL, "base_url": "localhost:11434"}}}, "not an http or https address", "http://"),
        ({"backends": {"a": {**LOCAL, "base_url": "http://u:p@h/"}}}, "holds a user, a password", "api_key_env"),
        ({"backends": {"a": {**LOCAL, "base_url": "http://h:99999"}}}, "is no URL", "http://"),
        ({"backends": {"a": {**LOCAL, "context": "8k"}}}, "llm.backends.a.context is '8k'", "8192"),
        ({"backends": {"a": {**LOCAL, "context": True}}}, "llm.backends.a.context", "8192"),
        ({"backends": {"a": {**LOCAL, "timeouts": {"reed": 3}}}}, "unknown key 'reed'", "nearest: read"),
        ({"backends": {"a": {**LOCAL, "timeouts": {"read": -3}}}}, "llm.backends.a.timeouts.read", "600"),
        (
            {"backends": {"a": {**LOCAL, "api_key_env": "A", "api_key_file": "B"}}},
            "both api_key_env and api_key_file",
            "one",
        ),
        ({"backends": {"a/b": LOCAL}}, "may not be empty or hold a slash", "local"),
        ({"backends": {"a": "x"}}, "llm.backends.a is a string, not a mapping", ""),
        ({"backends": []}, "llm.backends is a list", ""),
        ({"backends": {"local": LOCAL}, "tiers": {"general": "locl/x"}}, "names the backend 'locl'", "nearest: local"),
        ({"backends": {"local": LOCAL}, "tiers": {"genral": "local/x"}}, "unknown key 'genral'", "nearest: general"),
        ({"backends": {"local": LOCAL}, "tiers": {"general": []}}, "llm.tiers.general is a list", "general:"),
        ({"backends": {"local": LOCAL}, "tiers": {"general": 3}}, "llm.tiers.general is a number", "general:"),
        ({"backends": {"local": LOCAL}}, "llm.tiers names no model", "local/MODEL"),
        ({"max_tokens": 0}, "llm.max_tokens is '0'", "8192"),
        ({"keep_prompts": "yes"}, "llm.keep_prompts is a string", "true"),
        ({"deadline_seconds": False}, "llm.deadline_seconds", "600"),
    ],
)
def test_a_mistake_is_named_with_what_to_write(llm, words, hint):
    with pytest.raises(ConfigurationError) as caught:
        read_config(llm)
    assert words in caught.value.message
    assert hint in caught.value.hint


def test_one_model_comes_from_the_environment():
    config = from_environment({"CODE_EVOLVER_LLM_URL": "http://h:1/v1", "CODE_EVOLVER_LLM_API_KEY": "secret"})
    assert config is not None
    assert config.tiers == {"general": (ModelRef("env", ""),)}
    assert config.backends["env"] == Backend("env", "openai", "http://h:1/v1", api_key_env="CODE_EVOLVER_LLM_API_KEY")
    assert "secret" not in repr(config)


def test_without_an_address_the_environment_names_nothing_and_half_of_it_is_a_mistake():
    assert from_environment({}) is None
    with pytest.raises(ConfigurationError, match="CODE_EVOLVER_LLM_URL is not set"):
        from_environment({"CODE_EVOLVER_LLM_MODEL": "x"})


def test_a_wrong_type_in_the_environment_is_named():
    with pytest.raises(ConfigurationError, match=r"CODE_EVOLVER_LLM.type is 'openia'") as caught:
        from_environment({"CODE_EVOLVER_LLM_URL": "http://h", "CODE_EVOLVER_LLM_TYPE": "openia"})
    assert "nearest: openai" in caught.value.hint


def test_the_environment_stands_above_the_file_but_keeps_its_limits():
    file = read_config({"backends": {"local": LOCAL}, "tiers": {"general": "local/x"}, "max_tokens": 500})
    env = from_environment({"CODE_EVOLVER_LLM_URL": "http://h"})
    both = combine(file, env)
    assert both is not None
    assert (set(both.backends), both.max_tokens) == ({"env"}, 500)
    assert combine(file, None) is file
    assert combine(None, None) is None
