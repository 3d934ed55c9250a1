"""edges.llm against a real Ollama with a random model, installed from packages where that works."""

import asyncio

import pytest

from code_evolver.core.errors import ModelError, ModelRefused, ModelTruncated, ModelUnavailable
from code_evolver.core.llm_config import read_config
from code_evolver.core.reply import PLAN_SCHEMA, read_plan
from code_evolver.edges.llm import HttpModels, discover
from code_evolver.ports import Ask
from tests.ollama_server import OllamaServer, ollama, unavailable

pytestmark = [pytest.mark.llm, pytest.mark.slow, pytest.mark.timeout(400)]
PLAN = Ask("plan", "general", "You plan.", "Plan a summary.", PLAN_SCHEMA, max_tokens=500)
CODE = Ask("code", "general", "You write Python.", "Write a program.", max_tokens=40)


@pytest.fixture(scope="module")
def server():
    with ollama() as running:
        yield running


def models_at(url, model="tiny-random", **more):
    backend = {"type": "ollama", "base_url": url, **more}
    return HttpModels(
        read_config({"backends": {"b": backend}, "tiers": {"general": f"b/{model}"}, "deadline_seconds": 100}),
        environ={},
    )


async def outcome(models, ask):
    try:
        return await models.ask(ask)
    except ModelError as error:
        return error
    finally:
        await models.close()


def ask(models, question):
    return asyncio.run(asyncio.wait_for(outcome(models, question), 110))


def test_a_plan_obeys_its_schema_and_says_how_long_the_model_took_to_load(server):
    reply = ask(models_at(server.url), PLAN)
    assert set(reply.data) == {"title", "description", "tools"}
    assert reply.usage.load_seconds is not None
    assert reply.usage.tokens_in > 50
    plan, findings = read_plan(reply.text)
    assert plan or findings


def test_cut_answers_are_told(server):
    assert isinstance(ask(models_at(server.url), CODE), ModelTruncated)


def test_an_unknown_model_is_named_with_what_to_do(server):
    error = ask(models_at(server.url, model="no-such-model"), CODE)
    assert isinstance(error, ModelRefused)
    assert "try pulling it first" in error.message
    assert "ollama pull" in error.hint


def test_a_prompt_that_ollama_would_cut_in_silence_is_noticed(server):
    error = ask(models_at(server.url, context=2048), Ask("code", "general", "", "x y " * 1400, max_tokens=16))
    assert isinstance(error, ModelTruncated)
    assert "context" in error.hint


def test_the_check_tells_reachable_model_answer_and_schema(server):
    async def scenario():
        models = models_at(server.url)
        rows = await models.check_backend()
        await models.close()
        return rows

    rows = asyncio.run(asyncio.wait_for(scenario(), 110))
    assert [(what.rpartition(" ")[2], status) for what, status, _, _ in rows] == [
        ("reachable", "ok"), ("model", "ok"), ("answer", "ok"), ("schema", "ok"),
    ]  # fmt: skip


def test_one_on_its_port_is_discovered_with_its_model(server):
    config = asyncio.run(discover(timeout=5.0, url=server.url))
    assert config is not None
    assert str(config.tiers["general"][0]) == "ollama/tiny-random:latest"


def test_one_that_is_killed_is_down_and_one_started_again_answers(tmp_path):
    if why := unavailable():
        pytest.skip(why)

    async def scenario():
        first = await asyncio.to_thread(OllamaServer, tmp_path / "a")
        models = models_at(first.url)
        await models.ask(PLAN)
        asking = asyncio.create_task(models.ask(Ask("code", "general", "", "Write.", max_tokens=1900)))
        await asyncio.sleep(0)
        first.kill()
        with pytest.raises((ModelUnavailable, ModelTruncated)):
            await asking
        second = await asyncio.to_thread(OllamaServer, tmp_path / "b", int(first.url.rpartition(":")[2]))
        try:
            while await models.down_since() is not None:  # noqa: ASYNC110 - asking again is what the worker does
                await asyncio.sleep(0.2)
            return await models.ask(PLAN)
        finally:
            second.kill()
            await models.close()

    assert asyncio.run(asyncio.wait_for(scenario(), 110)).data
