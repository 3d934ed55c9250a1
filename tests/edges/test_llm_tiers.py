"""edges.llm with several models and backends: who is asked next, pauses, budgets, deadlines, discovery, the check."""

import asyncio
import time

import pytest

from code_evolver.core.errors import BudgetSpent, ModelUnavailable
from code_evolver.core.tiers import OPENS_AFTER
from code_evolver.edges.llm import HttpModels, discover
from code_evolver.ports import Ask
from tests.llm_asking import ASK, Events, config_of, one, run
from tests.odd_server import answer, chat, odd_server
from tests.ports import free_port


def test_the_next_model_of_the_tier_answers_where_the_first_cannot():
    async def scenario():
        async with odd_server(answer(404, {"error": "model 'm' not found"})) as first, odd_server(chat("ok")) as second:
            models = HttpModels(config_of(first.url, second.url), environ={})
            reply = await models.ask(ASK)
            await models.close()
            return reply.backend

    assert run(scenario()) == "b1"


def test_a_backend_that_is_down_is_given_pauses_and_comes_back_by_itself():
    async def scenario():
        port, events = free_port(), Events()
        models = HttpModels(config_of(f"http://127.0.0.1:{port}"), events, environ={})
        for _ in range(3):
            with pytest.raises(ModelUnavailable) as caught:
                await models.ask(ASK)
        since = await models.down_since()
        async with odd_server(chat("ok"), port=port):
            while await models.down_since() is not None:  # noqa: ASYNC110 - asking again is what the worker does
                await asyncio.sleep(0.1)
            await models.close()
        return events, since, caught.value

    events, since, error = run(scenario())
    assert since is not None
    assert time.time() - since < 60
    assert len(events.named("llm_unavailable")) == 1
    assert len(events.named("llm_failed")) == OPENS_AFTER, "an open circuit asks nothing"
    assert "Start the server" in error.hint


def test_whether_a_backend_is_there_is_seen_before_the_first_question():
    async def scenario():
        gone = HttpModels(config_of(f"http://127.0.0.1:{free_port()}"), environ={})
        async with odd_server(chat("ok")) as server:
            there = HttpModels(config_of(server.url), environ={})
            since = await gone.down_since(), await there.down_since()
            await gone.close()
            await there.close()
            return since

    gone, there = run(scenario())
    assert gone is not None
    assert there is None


def test_without_a_backend_every_question_says_how_to_get_one():
    async def scenario():
        models = HttpModels(None)
        assert not models.configured
        assert await models.down_since() is None
        with pytest.raises(ModelUnavailable) as caught:
            await models.ask(ASK)
        return caught.value, await models.check_backend()

    error, rows = run(scenario())
    assert "CODE_EVOLVER_LLM_URL" in error.hint
    assert rows[0][1] == "warning"


def test_a_run_that_has_used_its_tokens_asks_no_more():
    async def scenario():
        async with odd_server(chat("ok")) as server:
            models = HttpModels(config_of(server.url), environ={}, max_tokens=15)
            await models.ask(ASK)
            with pytest.raises(BudgetSpent):
                await models.ask(ASK)
            await models.close()
            return server, models.spent

    server, spent = run(scenario())
    assert len(server.seen) == 1
    assert (spent.calls, spent.tokens) == (1, 15)


def test_a_model_that_wants_other_parameters_gets_them():
    no_cap = answer(
        400,
        {"error": {"message": "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."}},
    )
    no_heat = answer(
        400,
        {
            "error": {
                "message": "'temperature' does not support 0.2 with this model. Only the default (1) value is supported."
            }
        },
    )
    reply, server = run(one(ASK, no_cap, no_heat, chat("ok")))
    assert reply.text == "ok"
    assert "max_completion_tokens" in server.seen[2].body
    assert "temperature" not in server.seen[2].body


def test_the_deadline_of_the_task_ends_all_tries():
    error, server = run(one(Ask("code", "general", "", "x", until=time.time() + 0.2), answer(502, {})))
    assert isinstance(error, ModelUnavailable)
    assert "ran out" in error.message
    assert len(server.seen) <= 3


def test_stronger_tiers_are_named():
    models = HttpModels(config_of("http://h/v1", tiers={"fast": "b0/a", "general": "b0/b", "strong": "b0/c"}))
    assert list(models.tiers_above("general")) == ["strong"]


def test_ollama_is_found_where_it_listens():
    async def scenario():
        tags = answer(
            200, {"models": [{"name": "nomic-embed-text:latest"}, {"name": "llama3:8b"}, {"name": "qwen2.5-coder:3b"}]}
        )
        async with odd_server(chat(""), models=tags) as server:
            found = await discover(5.0, server.url)
        async with odd_server(chat(""), models=answer(200, {"models": [{"name": "nomic-embed-text"}]})) as server:
            useless = await discover(5.0, server.url)
        return found, useless, await discover(0.5, f"http://127.0.0.1:{free_port()}")

    found, useless, absent = run(scenario())
    assert found is not None
    assert [str(ref) for ref in found.tiers["general"]] == ["ollama/qwen2.5-coder:3b"]
    assert useless is None
    assert absent is None


def test_a_check_says_what_is_wrong_and_what_mends_it():
    async def scenario():
        rows = []
        async with odd_server(chat("r", "length"), models=answer(200, {"data": [{"id": "other"}]})) as server:
            models = HttpModels(config_of(server.url), environ={})
            rows += await models.check_backend()
            await models.close()
        models = HttpModels(config_of(f"http://127.0.0.1:{free_port()}"), environ={})
        rows += await models.check_backend()
        await models.close()
        return rows

    rows = run(scenario())
    assert [(name, status) for name, status, _, _ in rows] == [
        ("llm b0/m reachable", "ok"),
        ("llm b0/m model", "warning"),
        ("llm b0/m answer", "ok"),
        ("llm b0/m schema", "warning"),
        ("llm b0/m reachable", "failed"),
    ]
    assert "it has other" in rows[1][2]
    assert all(mend for _, status, _, mend in rows if status == "failed")
