"""Settings: each source read, each bad value named, the layers laid over each other."""

import math

import pytest
from hypothesis import given
from hypothesis import settings as fewer
from hypothesis import strategies as st

from code_evolver.core.errors import ConfigurationError, InputError
from code_evolver.core.manifest import Manifest
from code_evolver.core.settings import (
    ROWS,
    HubCall,
    Settings,
    defaults_differ,
    flags,
    from_config,
    from_environment,
    from_flags,
    from_json,
    input_schema,
    require_hub,
    resolve,
    show_config,
)

HUB = "http://localhost:5000/taskhub"


def test_nothing_said_gives_the_defaults_of_the_contract():
    found = resolve().settings
    assert (found.hub_name, found.duration_seconds, found.auto_generate_workflows) == ("TaskHub", None, True)
    assert (found.max_reconnect_attempts, found.server_timeout_seconds, found.keep_alive_seconds) == (10, 30, 15)
    assert (found.max_message_bytes, found.drain_timeout_seconds, found.llm) == (16 * 1024 * 1024, 8, "auto")
    assert (found.isolation, found.model_per, found.client) == ("isolated", "program", "auto")
    assert set(resolve().origins.values()) == {"default"}


def test_every_setting_has_help_and_a_default_that_its_own_reader_takes():
    for row in ROWS.values():
        assert row.help.endswith(".")
        if row.default not in (None, "", ()):
            assert row.kind.read(row.default, False) == row.default


def test_json_settings_of_every_kind_are_read():
    found = resolve(
        from_json(
            {
                "hub_url": "wss://hub.example:8443/a/b?tenant=1",
                "duration_seconds": 90,
                "auto_generate_workflows": False,
                "subscribe": [{"method": "SubscribeToContext", "arguments": ["{hub_name}", 3]}, "Ready"],
                "listen": ["DataUpdate", "DataUpdate"],
                "stream": [{"method": "StreamTasks", "arguments": [3, 5]}],
                "headers": {"X-Tenant": "a"},
                "access_token_command": ["get-token", "--quiet"],
                "report_method": None,
            }
        )
    ).settings
    assert found.subscribe == (HubCall("SubscribeToContext", ("{hub_name}", 3)), HubCall("Ready"))
    assert found.subscribe[0].filled("LLMTasks") == ("LLMTasks", 3)
    assert found.listen == ("DataUpdate",)
    assert found.access_token_command == ("get-token", "--quiet")
    assert found.duration_seconds == 90.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "a list"),
        (None, "null"),
        ({"hub_ulr": HUB}, "hub_ulr"),
        ({"hub_url": 5}, "hub_url"),
        ({"hub_url": ""}, "hub_url"),
        ({"hub_url": None}, "null"),
        ({"hub_url": "localhost:5000/taskhub"}, "http://"),
        ({"hub_url": "ftp://x/y"}, "ftp"),
        ({"hub_url": "http://"}, "hub_url"),
        ({"hub_url": "http:///taskhub"}, "hub_url"),
        ({"hub_url": "http://:5000/hub"}, "no host"),
        ({"hub_url": "http://localhost:70000/hub"}, "port"),
        ({"hub_url": "http://localhost:0/hub"}, "port"),
        ({"hub_url": "http://localhost:abc/hub"}, "port"),
        ({"hub_url": "http://[::1/hub"}, "hub_url"),
        ({"hub_url": "http://a b/hub"}, "space"),
        ({"hub_url": "http://a/\nhub"}, "control"),
        ({"hub_url": "http://a/hub#x"}, "fragment"),
        ({"hub_url": "http://" + "a" * 5000}, "5007 characters"),
        ({"duration_seconds": 0}, "more than zero"),
        ({"duration_seconds": -1}, "more than zero"),
        ({"duration_seconds": math.nan}, "finite"),
        ({"duration_seconds": math.inf}, "finite"),
        ({"duration_seconds": 10**400}, "finite"),
        ({"duration_seconds": 31_536_001}, "over a year"),
        ({"duration_seconds": "5m"}, "number of seconds"),
        ({"duration_seconds": True}, "true or false"),
        ({"auto_generate_workflows": "yes"}, "true or false"),
        ({"auto_generate_workflows": 1}, "true or false"),
        ({"max_reconnect_attempts": 1.5}, "whole number"),
        ({"max_reconnect_attempts": -1}, "at least 0"),
        ({"max_message_bytes": 10}, "at least 1,024"),
        ({"llm": "maybe"}, "auto, off, required"),
        ({"llm": ["auto"]}, "auto, off, required"),
        ({"client": "SignalR"}, "pysignalr"),
        ({"listen": "DataUpdate"}, "list of names"),
        ({"listen": [1]}, "a number"),
        ({"listen": ["x"] * 101}, "101"),
        ({"subscribe": [{"arguments": []}]}, "without a method"),
        ({"subscribe": [{"method": "A", "argumants": []}]}, "argumants"),
        ({"subscribe": [{"method": "A", "arguments": "x"}]}, "list"),
        ({"subscribe": [{"method": "A", "arguments": [[math.inf]]}]}, "JSON cannot hold"),
        ({"stream": [{"method": "A", "arguments": [{"a": math.nan}]}]}, "JSON cannot hold"),
        ({"subscribe": [{"method": "A", "arguments": [b"x"]}]}, "JSON cannot hold"),
        ({"subscribe": 7}, "list of hub calls"),
        ({"subscribe": ["A"] * 101}, "101"),
        ({"headers": ["a"]}, "headers"),
        ({"headers": {"a b": "c"}}, "header"),
        ({"headers": {"a": "b\r\nc: d"}}, "single line"),
        ({"headers": {"a": "b\n"}}, "single line"),
        ({"headers": {"a": "é"}}, "ASCII"),
        ({"headers": {"a": 1}}, "ASCII text"),
        ({"headers": {"a": " b"}}, "spaces around"),
        ({"headers": {"host": "example.org"}}, "'host', which every connection has"),
        ({"headers": {"Sec-WebSocket-Key": "x"}}, "'Sec-WebSocket-Key', which"),
        ({"access_token_command": []}, "a command"),
        ({"access_token_command": 'a "b'}, "split"),
        ({"access_token": "a", "access_token_file": "b"}, "both"),
        ({"output_file": "  "}, "empty"),
        ({"drain_timeout_seconds": -0.5}, "zero or more"),
    ],
)
def test_a_wrong_value_is_bad_input_that_quotes_the_key_and_says_what_to_do(given, words):
    with pytest.raises(InputError) as caught:
        from_json(given)
    assert words in caught.value.message + caught.value.hint
    assert caught.value.hint
    if isinstance(given, dict):
        assert next(iter(given)) in caught.value.message


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("hub_ulr", "hub_url"),
        ("hubUrl", "hub_url"),
        ("duration", "duration_seconds"),
        ("Output-File", "output_file"),
        ("tokenfile", "access_token_file"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(key, meant):
    with pytest.raises(InputError) as caught:
        from_json({key: "x"})
    assert caught.value.hint == f"Did you mean {meant}?"


def test_an_unknown_key_far_from_all_points_to_the_help():
    with pytest.raises(InputError, match="'zzzz'") as caught:
        from_json({"zzzz": 1})
    assert "--help" in caught.value.hint


@pytest.mark.parametrize("url", ["http://me:canary-9@hub/x", "http://hub/x?access_token=canary-9", "http://me@hub/x"])
def test_an_address_with_credentials_is_refused_without_showing_them(url):
    with pytest.raises(InputError) as caught:
        from_json({"hub_url": url})
    assert "canary" not in caught.value.message + caught.value.hint
    assert "access_token_file" in caught.value.hint


def test_a_wrong_token_is_not_shown():
    with pytest.raises(InputError) as caught:
        from_json({"access_token": "canary\n9"})
    assert "canary" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("1h30m", 5400), ("half an hour", 1800), ("0.5", 0.5)],
)
def test_a_flag_takes_a_duration_with_its_unit(words, seconds):
    assert resolve(from_flags({"duration_seconds": words})).settings.duration_seconds == seconds


@pytest.mark.parametrize("words", ["0", "-5", "5x", "nan", "inf", "", "until noon", "400 days", "1e3000", "٣"])
def test_a_flag_that_is_no_duration_is_refused_by_its_name(words):
    with pytest.raises(InputError, match="--duration"):
        from_flags({"duration_seconds": words})


def test_flags_read_switches_lists_and_json():
    found = resolve(
        from_flags(
            {
                "auto_generate_workflows": False,
                "use_priority": "off",
                "listen": "A, B",
                "subscribe": '[{"method": "S", "arguments": [1]}]',
                "stream": '{"method": "T"}',
                "max_tokens": "5000",
                "headers": '{"X-A": "b"}',
                "hub_url": None,
                "access_token_command": "get token 'a b'",
            }
        )
    ).settings
    assert (found.auto_generate_workflows, found.use_priority, found.listen) == (False, False, ("A", "B"))
    assert (found.subscribe, found.stream) == ((HubCall("S", (1,)),), (HubCall("T"),))
    assert (found.max_tokens, found.headers) == (5000, {"X-A": "b"})
    assert found.access_token_command == ("get", "token", "a b")


def test_a_secret_header_on_the_command_line_is_refused():
    with pytest.raises(InputError, match="Authorization") as caught:
        from_flags({"headers": '{"Authorization": "Bearer canary"}'})
    assert "canary" not in caught.value.message


def test_broken_json_in_a_flag_says_where():
    with pytest.raises(InputError, match=r"--subscribe is no JSON.*line 1"):
        from_flags({"subscribe": '[{"method": }]'})
    with pytest.raises(InputError, match=r"--subscribe has arguments that JSON cannot hold"):
        from_flags({"subscribe": '[{"method": "A", "arguments": [1e999]}]'})


def test_the_environment_is_read_and_empty_variables_count_as_not_set():
    layer = from_environment(
        {"CODE_EVOLVER_HUB_URL": HUB, "CODE_EVOLVER_LLM": "off", "CODE_EVOLVER_CLIENT": " ", "PATH": "x"}
    )
    found = resolve(layer)
    assert (found.settings.hub_url, found.settings.llm, found.settings.client) == (HUB, "off", "auto")
    assert found.origins["llm"] == "environment CODE_EVOLVER_LLM"


def test_variables_of_models_and_translators_are_not_settings():
    from_environment(
        {"CODE_EVOLVER_LLM_URL": "http://x", "CODE_EVOLVER_NMT_URL": "http://x", "CODE_EVOLVER_OTHER_THING": "1"}
    )


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CODE_EVOLVER_HUB_ULR", HUB, "CODE_EVOLVER_HUB_URL"),
        ("CODE_EVOLVER_LLM", "perhaps", "CODE_EVOLVER_LLM must be one of"),
        ("CODE_EVOLVER_DURATION_SECONDS", "x", "CODE_EVOLVER_DURATION_SECONDS"),
        ("CODE_EVOLVER_USE_PRIORITY", "2", "true or false"),
    ],
)
def test_a_wrong_variable_is_a_configuration_error_that_names_it(variable, value, words):
    with pytest.raises(ConfigurationError) as caught:
        from_environment({variable: value})
    assert words in caught.value.message + caught.value.hint


def test_config_yaml_gives_settings_and_hands_sections_on():
    layer = from_config(
        {
            "hub_url": HUB,
            "duration_seconds": "5m",
            "llm": {"mode": "required", "tiers": {"fast": "a/b"}},
            "tools": {"t": {}},
        }
    )
    found = resolve(layer)
    assert (found.settings.hub_url, found.settings.duration_seconds, found.settings.llm) == (HUB, 300, "required")
    assert found.sections == {"llm": {"tiers": {"fast": "a/b"}}, "tools": {"t": {}}}
    assert resolve(from_config({"llm": "off"})).settings.llm == "off"
    assert from_config(None).values == {}


@pytest.mark.parametrize(
    "given",
    [["a"], "x", {"hub_ulr": HUB}, {"tols": {}}, {"hub_url": "x"}, {"access_token": "a", "access_token_command": "b"}],
)
def test_a_wrong_config_is_a_configuration_error_that_names_the_file(given):
    with pytest.raises(ConfigurationError, match=r"config\.yaml"):
        from_config(given)


def test_flags_win_over_the_environment_over_config_over_defaults():
    flag = from_flags({"hub_name": "Flag"})
    env = from_environment({"CODE_EVOLVER_HUB_NAME": "Env", "CODE_EVOLVER_LLM": "off"})
    config = from_config({"hub_name": "Config", "llm": "required", "client": "pysignalr"})
    found = resolve(flag, env, config)
    assert (found.settings.hub_name, found.settings.llm, found.settings.client) == ("Flag", "off", "pysignalr")
    assert (found.origins["hub_name"], found.origins["client"], found.origins["listen"]) == (
        "flag --hub-name",
        "config.yaml",
        "default",
    )


def test_a_token_of_a_stronger_layer_sets_weaker_ones_aside():
    found = resolve(from_flags({"access_token_file": "t"}), from_environment({"CODE_EVOLVER_ACCESS_TOKEN": "canary"}))
    assert (found.settings.access_token_file, found.settings.access_token) == ("t", None)
    assert found.origins["access_token"] == "default"


def test_null_in_json_overrides_a_weaker_layer():
    found = resolve(from_json({"duration_seconds": None}), from_config({"duration_seconds": 5}))
    assert found.settings.duration_seconds is None


def test_no_secret_has_a_flag_and_every_other_setting_has_one():
    names = {flag.setting: flag for flag in flags()}
    assert "access_token" not in names
    assert set(ROWS) - set(names) == {"access_token"}
    assert names["duration_seconds"].name == "--duration"
    assert names["output_file"].name == "--output"
    assert names["hub_url"].name == "--hub-url"
    assert names["use_priority"].switch
    assert [flag.name for flag in flags("tools")] == ["--workspace"]


def test_shown_configuration_hides_secrets_and_says_where_values_come_from():
    layer = from_json(
        {"hub_url": HUB, "access_token": "canary-token", "headers": {"X-Key": "canary-header"}, "subscribe": ["A"]}
    )
    rows = {row["name"]: row for row in show_config(resolve(layer))}
    assert "canary" not in repr(rows)
    assert rows["access_token"]["value"] == "***"
    assert rows["headers"]["value"] == {"X-Key": "***"}
    assert rows["subscribe"]["value"] == [{"method": "A", "arguments": []}]
    assert rows["hub_url"]["origin"] == "JSON on stdin"
    assert rows["duration_seconds"] == {"name": "duration_seconds", "value": None, "unit": "s", "origin": "default"}


def test_differences_from_the_defaults_are_json_that_reads_back():
    given = {
        "hub_url": HUB,
        "duration_seconds": 90,
        "listen": ["A"],
        "stream": [{"method": "S", "arguments": [1]}],
        "llm": "off",
    }
    found = resolve(from_json(given)).settings
    assert defaults_differ(found) == given
    assert defaults_differ(Settings()) == {}


def test_a_missing_hub_is_named():
    with pytest.raises(InputError, match="hub_url is missing"):
        require_hub(Settings())
    assert require_hub(Settings(hub_url=HUB)) == HUB


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(key=st.sampled_from(sorted(ROWS)), value=_VALUES)
@fewer(max_examples=200, deadline=None)
def test_any_json_value_is_taken_or_refused_as_bad_input_and_what_is_taken_fits_the_schema(key, value):
    try:
        layer = from_json({key: value})
    except InputError as error:
        assert key in error.message  # noqa: PT017 - some values are taken
        return
    tool = Manifest("t", "workflow", "", {**input_schema(), "required": []}, {})
    tool.check_input({key: value})
    assert resolve(layer).settings is not None
