"""edges.llm against a real llama.cpp server with a random model (Ollama: test_ollama_server.py)."""

import asyncio

import httpx
import pytest

from code_evolver.core.errors import ModelError, ModelRefused, ModelTruncated, ModelUnavailable
from code_evolver.core.llm_config import read_config
from code_evolver.core.reply import PLAN_SCHEMA, read_code, read_plan
from code_evolver.edges.llm import HttpModels
from code_evolver.ports import Ask
from tests.llm_server import LlamaServer, llama, unavailable
from tests.ports import free_port

pytestmark = [pytest.mark.llm, pytest.mark.timeout(400)]  # the first run installs the server
PLAN = Ask("plan", "general", "You plan.", "Plan a summary.", PLAN_SCHEMA, max_tokens=500)
CODE = Ask("code", "general", "You write Python.", "Write a program.", max_tokens=40)


@pytest.fixture(scope="module")
def server():
    with llama() as running:
        yield running


def models_at(url, kind="openai", environ=None, model="tiny-random", **more):
    backend = {"type": kind, "base_url": url, **more}
    config = read_config({"backends": {"b": backend}, "tiers": {"general": f"b/{model}"}, "deadline_seconds": 100})
    return HttpModels(config, environ=environ or {})


async def outcome(models, ask):
    try:
        return await models.ask(ask)
    except ModelError as error:
        return error
    finally:
        await models.close()


async def at_work(url):
    """Wait until the server generates."""
    async with httpx.AsyncClient(trust_env=False) as client:
        while not any(slot["is_processing"] for slot in (await client.get(f"{url}/slots")).json()):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.002)


def ask(models, question):
    return asyncio.run(asyncio.wait_for(outcome(models, question), 110))


def test_a_plan_obeys_its_schema(server):
    reply = ask(models_at(server.url), PLAN)
    assert set(reply.data) == {"title", "description", "tools"}
    assert reply.model == "tiny-random"
    assert reply.usage.tokens_in > 50
    plan, findings = read_plan(reply.text)
    assert plan or findings


def test_the_servers_first_model_is_taken_where_none_is_named(server):
    assert ask(models_at(server.url, model=""), PLAN).model == "tiny-random"


def test_a_random_models_code_is_cut_and_never_mended(server):
    error = ask(models_at(server.url), CODE)
    assert isinstance(error, ModelTruncated)
    assert "was cut after 160 tokens" in error.message


def test_garbage_is_no_program(server):
    """A schema ends the random text, so that it comes whole; what it holds must not pass as a program by itself."""
    schema = {"type": "object", "properties": {"workflow_code": {"type": "string"}}, "required": ["workflow_code"]}
    reply = ask(models_at(server.url), Ask("code", "general", "", "Write.", schema, max_tokens=500))
    code, findings = read_code(reply.text)
    assert (code is None) == bool(findings)


def test_a_prompt_over_the_context_is_told_and_shortened_where_it_may_be(server):
    error = ask(models_at(server.url), Ask("code", "general", "", "word " * 1200, max_tokens=40))
    assert isinstance(error, ModelTruncated)
    assert "context" in error.hint
    short = Ask("plan", "general", "", "word " * 1200, PLAN_SCHEMA, 400, shorter=(("examples", "Plan."),))
    assert ask(models_at(server.url), short).data["title"]


def test_an_unknown_model_is_seen_by_the_check(server):
    async def scenario():
        models = models_at(server.url, model="no-such-model")
        rows = await models.check_backend()
        await models.close()
        return rows

    rows = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert [row[1] for row in rows] == ["ok", "warning", "ok", "ok"]
    assert "does not list no-such-model; it has tiny-random" in rows[1][2]


def test_the_context_is_the_servers_and_not_the_models(server):
    async def scenario():
        models = models_at(server.url)
        rows = await models.check_backend()
        await models.close()
        return rows

    assert any("context 2048 tokens" in row[2] for row in asyncio.run(asyncio.wait_for(scenario(), 60)))


def test_anthropics_format_is_spoken_and_its_ignored_schema_found_out(server):
    async def scenario():
        models = models_at(server.url, "anthropic")
        rows = await models.check_backend()
        await models.close()
        return rows

    rows = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert [row[1] for row in rows] == ["ok", "ok", "ok", "warning"]


def test_a_wrong_key_is_named_and_the_right_one_works():
    with llama(0, "--api-key", "right") as server:
        wrong = ask(models_at(server.url, environ={"K": "wrong"}, api_key_env="K"), PLAN)
        assert isinstance(wrong, ModelRefused)
        assert "status 401: Invalid API Key" in wrong.message
        assert ask(models_at(server.url, environ={"K": "right"}, api_key_env="K"), PLAN).data


def test_a_server_killed_in_the_middle_of_an_answer_is_down_and_the_question_can_be_asked_again():
    async def scenario():
        with llama(0) as server:
            models = models_at(server.url)
            await models.ask(PLAN)
            asking = asyncio.create_task(models.ask(Ask("code", "general", "", "Write.", max_tokens=1900)))
            await at_work(server.url)
            server.kill()
            with pytest.raises((ModelUnavailable, ModelTruncated)):
                await asking
            with pytest.raises(ModelUnavailable) as caught:
                await models.ask(PLAN)
            down = await models.down_since()
            await models.close()
            return caught.value, down

    error, down = asyncio.run(asyncio.wait_for(scenario(), 90))
    assert "Start the server" in error.hint
    assert down is not None


def test_a_server_started_late_is_noticed():
    if why := unavailable():
        pytest.skip(why)

    async def scenario():
        port = free_port()
        models = models_at(f"http://127.0.0.1:{port}")
        with pytest.raises(ModelUnavailable):
            await models.ask(PLAN)
        server = await asyncio.to_thread(LlamaServer, port)
        try:
            while await models.down_since() is not None:  # noqa: ASYNC110 - asking again is what the worker does
                await asyncio.sleep(0.2)
            reply = await models.ask(PLAN)
        finally:
            server.kill()
            await models.close()
        return reply

    assert asyncio.run(asyncio.wait_for(scenario(), 90)).data
