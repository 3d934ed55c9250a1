"""HTTP tools against real servers of this machine: dialects, limits, and where they may not go."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from code_evolver.core.errors import ConfigurationError, ToolError
from code_evolver.edges.manifests import read_manifest
from code_evolver.edges.tool_http import HttpTools, servers
from tests.tool_servers import translator

NMT = read_manifest(Path(__file__).parents[2] / "tools" / "http" / "nmt_translator.yaml")
VALUES = {"prompt": 'Keep "dry" {q}.', "source_language": "en", "target_language": "fr"}


def tools(url, **row):
    return HttpTools({"nmt_translator": {"base_url": url, **row}})


def ask(url, values=VALUES, manifest=NMT, **row):
    return asyncio.run(tools(url, **row).call(manifest, values))


def test_libretranslate_is_asked_in_its_dialect():
    with translator("libre") as server:
        assert ask(server.url, api_key="k-1") == 'fr:Keep "dry" {q}.'
        path, body, headers = server.seen[0]
    assert path == "/translate"
    assert body == {"q": 'Keep "dry" {q}.', "source": "en", "target": "fr", "format": "text", "api_key": "k-1"}
    assert headers["Host"] == server.url.removeprefix("http://")


def test_easynmt_is_found_out_once_and_then_asked_in_its_own():
    async def twice(url):
        found = tools(url)
        return [await found.call(NMT, {**VALUES, "source_language": "auto"}) for _ in range(2)]

    with translator("easy") as server:
        assert asyncio.run(twice(server.url)) == ['fr:Keep "dry" {q}.'] * 2
        assert len(server.seen) == 3
        assert server.seen[2][1] == {"text": 'Keep "dry" {q}.', "target_lang": "fr"}


def test_a_path_before_the_tools_own_is_kept():
    with translator("libre") as server:
        ask(server.url + "/nmt/")
        assert server.seen[0][0] == "/nmt/translate"


@pytest.mark.parametrize(
    ("manner", "target", "words"),
    [
        ("libre", "xx", "xx is not supported"),
        ("slowdown", "fr", "Slowdown"),
        ("redirect", "fr", "HTTP 302"),
        ("html", "fr", "HTTP 200"),
        ("huge", "fr", "over 1,000,000 bytes"),
    ],
)
def test_what_a_server_refuses_is_told_in_its_words(manner, target, words):
    with translator(manner) as server, pytest.raises(ToolError) as caught:
        ask(server.url, {**VALUES, "target_language": target})
    assert words in caught.value.message
    assert len(server.seen) <= 2


def test_a_key_that_the_server_says_back_is_not_repeated():
    with translator("echo") as server, pytest.raises(ToolError) as caught:
        ask(server.url, api_key="k-secret-17")
    assert "is no valid key" in caught.value.message
    assert "k-secret-17" not in caught.value.message + caught.value.hint


def test_a_redirect_is_not_followed():
    with translator("redirect") as server, pytest.raises(ToolError):
        ask(server.url)
    assert [path for path, _, _ in server.seen] == ["/translate"]


def test_a_server_that_does_not_answer_in_time_is_given_up():
    assert NMT.http is not None
    hasty = replace(NMT, http=replace(NMT.http, timeout_seconds=0.2))
    with translator("slow") as server, pytest.raises(ToolError, match=r"no answer within 0\.2 s"):
        ask(server.url, manifest=hasty)


def test_a_server_that_is_down_is_told_without_credentials():
    with translator("libre") as server:
        url = server.url
    with pytest.raises(ToolError, match="cannot be asked"):
        ask(url)


@pytest.mark.parametrize(
    "url", ["http://me:canary@127.0.0.1:5000", "ftp://127.0.0.1/x", "http://", "http://[::1", "http://127.0.0.1:99999"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ToolError) as caught:
        ask(url)
    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:5000",
        "http://localhost:5000",
        "http://10.0.0.1",
        "http://192.168.1.1",
        "http://[::1]:5000",
        "http://[::ffff:10.0.0.1]",
    ],
)
def test_an_address_of_a_private_network_that_only_the_manifest_names_is_refused(url):
    assert NMT.http is not None
    manifest = replace(NMT, http=replace(NMT.http, base_url=url))
    with pytest.raises(ToolError, match="private network") as caught:
        asyncio.run(HttpTools({}).call(manifest, VALUES))
    assert "config.yaml" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[fe80::1]",
        "http://0.0.0.0:80",
        "http://224.0.0.1",
        "http://[::ffff:169.254.169.254]",
    ],
)
def test_link_local_addresses_are_refused_even_when_configured(url):
    with pytest.raises(ToolError, match="link-local"):
        ask(url)


def test_a_host_without_an_address_is_told():
    with pytest.raises(ToolError, match="has no address"):
        ask("http://no-such-host.invalid")


def test_without_a_server_the_hint_says_how_to_set_one():
    with pytest.raises(ToolError) as caught:
        asyncio.run(HttpTools({}).call(NMT, VALUES))
    assert "CODE_EVOLVER_NMT_URL" in caught.value.hint
    assert HttpTools({}).server(NMT) == ""


def test_servers_come_from_config_and_the_environment_wins():
    environment = {"CODE_EVOLVER_NMT_URL": "http://a:1", "KEY": "k", "CODE_EVOLVER_NMT_API_KEY": ""}
    found = servers(
        environment, {"nmt_translator": {"base_url": "http://b", "api_key_env": "KEY"}, "t": {"base_url": "http://c"}}
    )
    assert found["nmt_translator"] == {"base_url": "http://a:1", "api_key": "k"}
    assert found["t"] == {"base_url": "http://c", "api_key": ""}


@pytest.mark.parametrize("row", ["x", {"base": "x"}, {"base_url": 5}])
def test_a_wrong_row_of_the_configuration_is_named(row):
    with pytest.raises(ConfigurationError, match=r"tools\.t"):
        servers({}, {"t": row})
