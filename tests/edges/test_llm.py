"""edges.llm against a real HTTP server that misbehaves: slow, loading, cut in the middle, lying about what it can."""

import asyncio
import json
import time

import pytest

from code_evolver.core.errors import ModelRefused, ModelTruncated, ModelUnavailable
from code_evolver.edges.llm import READ_LIMIT, HttpModels
from code_evolver.ports import Ask
from tests.llm_asking import ASK, OBEYS, PLAN, Events, config_of, one, run
from tests.odd_server import answer, chat, cut, hang_up, odd_server, raw, silence


def test_an_answer_comes_with_its_usage_and_is_told():
    events = Events()
    reply, server = run(one(ASK, chat("<think>hm</think>\nprint(1)", model="real-name"), events=events))
    assert (reply.text, reply.backend, reply.model, reply.tier) == ("print(1)", "b0", "real-name", "general")
    assert (reply.usage.tokens_in, reply.usage.tokens_out) == (10, 5)
    assert [name for name, _ in events] == ["llm_requested", "llm_responded"]
    told = events.named("llm_responded")[0]
    assert told["tokens_per_second"] > 0
    assert set(told) >= {"backend", "model", "tier", "tokens_in", "tokens_out", "seconds", "load_seconds"}
    assert server.seen[0].body["messages"][0] == {"role": "system", "content": "Be brief."}


def test_a_schema_is_probed_once_used_and_checked():
    async def scenario():
        async with odd_server(OBEYS, chat('{"n": 4}')) as server:
            models = HttpModels(config_of(server.url), environ={})
            first, second = await models.ask(PLAN), await models.ask(PLAN)
            await models.close()
            return first, second, server

    first, second, server = run(scenario())
    assert first.data == second.data == {"n": 4}
    assert [request.body.get("max_tokens") for request in server.seen] == [48, 2000, 2000]
    assert server.seen[0].body["response_format"]["type"] == "json_schema"
    assert "zq7" not in json.dumps(server.seen[0].body["messages"])


def test_a_server_that_ignores_schemas_is_found_out_by_the_probe():
    reply, server = run(one(PLAN, chat("Hello!"), chat("Hello!"), chat('Sure: {"n": 4} there')))
    assert reply.data == {"n": 4}
    assert "response_format" not in server.seen[2].body
    assert "JSON Schema" in server.seen[2].body["messages"][1]["content"]


def test_a_server_that_refuses_schemas_but_knows_json_is_asked_for_json():
    refuses = answer(
        500, {"error": {"message": "('body','response_format','type'): Input should be 'text' or 'json_object'"}}
    )
    reply, server = run(one(PLAN, refuses, chat('{"hello": 1}'), chat('{"n": 4}')))
    assert reply.data == {"n": 4}
    assert server.seen[2].body["response_format"] == {"type": "json_object"}


def test_a_server_that_obeys_the_probe_and_then_does_not_is_asked_again_otherwise():
    reply, server = run(one(PLAN, OBEYS, chat('{"n": "four"}'), chat("prose"), chat('{"n": 4}')))
    assert reply.data == {"n": 4}
    assert len(server.seen) == 4


def test_an_answer_that_never_fits_is_refused_and_not_passed_on():
    error, server = run(one(PLAN, OBEYS, chat('{"n": "four"}')))
    assert isinstance(error, ModelRefused)
    assert "does not fit the schema" in error.message
    assert "stronger" in error.hint
    assert len(server.seen) == 4


def test_what_was_probed_is_kept_for_the_next_run(tmp_path):
    memory = tmp_path / "state" / "models.json"

    async def scenario():
        async with odd_server(OBEYS, chat('{"n": 4}')) as server:
            for _ in range(2):
                models = HttpModels(config_of(server.url), environ={}, memory=memory)
                await models.ask(PLAN)
                await models.close()
            memory.write_text("{torn", encoding="utf-8")
            models = HttpModels(config_of(server.url), environ={}, memory=memory)
            await models.close()
            return len(server.seen)

    assert run(scenario()) == 3


def test_a_cut_answer_is_asked_for_again_with_a_higher_cap():
    events = Events()
    reply, server = run(one(ASK, chat("print(", "length"), chat("print(1)"), events=events))
    assert reply.text == "print(1)"
    assert [request.body["max_tokens"] for request in server.seen] == [2000, 4000]
    assert reply.usage.tokens_out == 10, "what the cut answer cost counts too"
    assert events.named("llm_failed")[0]["kind"] == "truncated"


def test_an_answer_that_stays_cut_is_an_error_and_never_mended():
    error, server = run(one(ASK, chat('{"a": [1', "length")))
    assert isinstance(error, ModelTruncated)
    assert len(server.seen) == 3


def test_a_prompt_that_is_too_long_gives_way_and_says_what_it_left_out():
    too_long = answer(400, {"error": {"type": "exceed_context_size_error", "message": "too long", "n_ctx": 2048}})
    events = Events()
    ask = Ask("code", "general", "", "x" * 900, shorter=(("examples", "y" * 600), ("examples, long texts", "z" * 300)))
    reply, server = run(one(ask, too_long, too_long, chat("ok"), events=events))
    assert [request.body["messages"][0]["content"][0] for request in server.seen] == ["x", "y", "z"]
    assert events.named("llm_responded")[0]["left_out"] == "examples, long texts"
    assert reply.text == "ok"


def test_a_known_context_shortens_the_prompt_before_it_is_sent():
    ask = Ask("code", "general", "", "x" * 9000, shorter=(("examples", "y" * 300),), max_tokens=500)
    _, server = run(one(ask, chat("ok"), models=answer(200, {"data": [{"id": "m", "max_model_len": 1000}]})))
    assert [request.body["messages"][0]["content"][0] for request in server.seen] == ["y"]


def test_a_prompt_that_cannot_be_shortened_says_so():
    error, _ = run(one(ASK, answer(400, {"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}})))
    assert isinstance(error, ModelTruncated)
    assert "larger context" in error.hint


def test_loading_is_waited_for():
    loading = answer(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
    events = Events()
    reply, _ = run(one(ASK, loading, loading, chat("ok"), events=events))
    assert reply.text == "ok"
    assert {fields["attempt"] for fields in events.named("llm_failed")} == {1}, "no attempt is burnt"


def test_a_rate_limit_is_waited_out_as_long_as_the_server_says():
    begun = time.monotonic()
    reply, _ = run(one(ASK, answer(429, {"error": "slow down"}, "retry-after: 1\r\n"), chat("ok")))
    assert reply.text == "ok"
    assert time.monotonic() - begun >= 1.0


@pytest.mark.parametrize(
    ("status", "body", "words", "hint"),
    [
        (401, {"error": {"message": "Invalid API Key"}}, "status 401: Invalid API Key", "api_key_env"),
        (
            404,
            {"error": {"message": "The model `m` does not exist."}},
            "status 404: The model `m` does not exist.",
            "llm.tiers",
        ),
        (404, b"404 page not found", "404 page not found", "base_url"),
        (
            429,
            {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}},
            "exceeded your current quota",
            "credit",
        ),
        (307, b"", "status 307", "base_url"),
        (200, b"<html>login</html>", "not JSON", "another format"),
    ],
)
def test_an_error_names_backend_address_status_words_and_what_to_do(status, body, words, hint):
    turn = raw(status, body) if isinstance(body, bytes) else answer(status, body)
    error, server = run(one(ASK, turn))
    assert isinstance(error, ModelRefused)
    assert f"The backend 'b0' ({server.url}, model m)" in error.message
    assert words in error.message
    assert hint in error.hint


def test_a_key_is_sent_and_never_said():
    events = Events()
    echo = answer(401, {"error": {"message": "Incorrect API key provided: canary-123"}})
    error, server = run(one(ASK, echo, environ={"MY_KEY": "canary-123\n"}, api_key_env="MY_KEY", events=events))
    assert server.seen[0].headers["authorization"] == "Bearer canary-123"
    assert "canary" not in f"{error.message} {error.hint} {events}"
    assert "***" in error.message


def test_a_key_that_is_missing_is_named_and_nothing_is_sent():
    error, server = run(one(ASK, chat("ok"), environ={}, api_key_env="MY_KEY"))
    assert "the environment variable MY_KEY is not set" in error.message
    assert server.seen == []


def test_a_key_is_read_from_its_file(tmp_path):
    (tmp_path / "key").write_text("from-file\n", encoding="utf-8")
    _, server = run(one(ASK, chat("ok"), api_key_file=str(tmp_path / "key")))
    assert server.seen[0].headers["authorization"] == "Bearer from-file"
    for name in (str(tmp_path / "none"), "~no such user/key"):
        error, _ = run(one(ASK, chat("ok"), api_key_file=name))
        assert "cannot be read" in error.message


def test_a_kept_connection_that_was_given_up_is_not_blamed_on_the_request():
    async def scenario():
        async with odd_server(chat("one"), hang_up, chat("two")) as server:
            models = HttpModels(config_of(server.url), environ={})
            texts = [(await models.ask(ASK)).text for _ in range(2)]
            await models.close()
            return texts, server.connections

    texts, connections = run(scenario())
    assert texts == ["one", "two"]
    assert connections >= 2


def test_an_answer_that_breaks_off_is_asked_for_again():
    reply, server = run(one(ASK, cut, cut, chat("whole")))
    assert reply.text == "whole"
    assert len(server.seen) == 3


def test_a_server_that_says_nothing_is_given_up_in_time():
    begun = time.monotonic()
    error, _ = run(one(ASK, silence, timeouts={"total": 0.5}))
    assert isinstance(error, ModelUnavailable)
    assert "no whole answer within 0.5 s" in error.message
    assert time.monotonic() - begun < 5


def test_a_dripping_server_is_given_up_although_every_gap_is_short():
    async def drip(_request, writer):
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    error, _ = run(one(ASK, drip, timeouts={"total": 0.5, "read": 10}))
    assert "no whole answer within 0.5 s" in error.message


def test_an_answer_without_end_is_given_up():
    async def flood(_request, writer):
        writer.write(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" " * 65_536)
            await writer.drain()

    error, _ = run(one(ASK, flood))
    assert isinstance(error, ModelRefused)
    assert str(READ_LIMIT) in error.message


def test_a_question_can_be_broken_off_at_once():
    async def scenario():
        async with odd_server(silence) as server:
            models = HttpModels(config_of(server.url), environ={})
            asking = asyncio.create_task(models.ask(ASK))
            await asyncio.wait_for(server.arrived.wait(), 10)
            begun = time.monotonic()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await models.close()
            return time.monotonic() - begun

    assert run(scenario()) < 1.0
