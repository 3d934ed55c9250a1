"""Asks one question of a server that misbehaves, for the tests of edges.llm."""

import asyncio
from typing import Any

from code_evolver.core.errors import BudgetSpent, ModelRefused, ModelTruncated, ModelUnavailable
from code_evolver.core.llm_config import LlmConfig, read_config
from code_evolver.edges.llm import HttpModels
from code_evolver.ports import Ask
from tests.odd_server import chat, odd_server

ASK = Ask("code", "general", "Be brief.", "Write.")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
PLAN = Ask("plan", "general", "Be brief.", "Count.", SCHEMA)
OBEYS = chat('{"zq7": 1}')


class Events(list[tuple[str, dict[str, Any]]]):
    """What was reported."""

    def __call__(self, name, **fields):
        self.append((name, fields))

    def named(self, name):
        return [fields for event, fields in self if event == name]


def config_of(*urls, tiers=None, **more) -> LlmConfig:
    backends = {f"b{n}": {"type": "openai", "base_url": url, **more} for n, url in enumerate(urls)}
    return read_config(
        {
            "backends": backends,
            "tiers": tiers or {"general": [f"{name}/m" for name in backends]},
            "deadline_seconds": 20,
        }
    )


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, 60))


async def one(ask, *turns, events=None, environ=None, memory=None, max_tokens=None, models=None, **more):
    """Ask once; give the reply or the error, and what the server saw."""
    async with odd_server(*turns, models=models) as server:
        models_ = HttpModels(
            config_of(server.url, **more),
            Events() if events is None else events,
            environ=environ or {},
            memory=memory,
            max_tokens=max_tokens,
        )
        try:
            return await models_.ask(ask), server
        except (ModelUnavailable, ModelRefused, ModelTruncated, BudgetSpent) as error:
            return error, server
        finally:
            await models_.close()
