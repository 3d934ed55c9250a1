"""What the model port costs above a bare httpx call, and the memory while a 1 MB answer arrives.

    python benchmarks/llm_overhead.py

Limits (issue 4): 1 ms a call, 10 MB above rest. Prints one JSON object; exit 1 where a limit is broken.
"""

import asyncio
import json
import statistics
import sys
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from code_evolver.core.llm_config import read_config
from code_evolver.edges.llm import HttpModels
from code_evolver.ports import Ask
from tests.odd_server import chat, odd_server

ROUNDS = 400
ASK = Ask("code", "general", "Be brief.", "Write a program. " * 100)


def _models(url: str) -> HttpModels:
    return HttpModels(
        read_config({"backends": {"b": {"type": "openai", "base_url": url}}, "tiers": {"general": "b/m"}}), environ={}
    )


async def overhead() -> tuple[float, float]:
    """Give the medians of both, in milliseconds; calls alternate, so that noise meets both alike."""
    async with odd_server(chat("print(1)")) as server, httpx.AsyncClient() as client:
        models = _models(server.url)
        body = {"model": "m", "messages": [{"role": "user", "content": ASK.user}], "max_tokens": 2000, "stream": False}
        bare, port = [], []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            (await client.post(f"{server.url}/v1/chat/completions", json=body)).json()
            middle = time.perf_counter()
            await models.ask(ASK)
            bare.append(middle - begun)
            port.append(time.perf_counter() - middle)
        await models.close()
    return statistics.median(bare) * 1000, statistics.median(port) * 1000


async def memory() -> float:
    """Give the peak above rest, in MB, while 1 MB arrives (client and test server are in this process)."""
    async with odd_server(chat("x = 1\n"), chat("# text\n" * 150_000)) as server:
        models = _models(server.url)
        await models.ask(ASK)
        tracemalloc.start()
        rest = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        reply = await models.ask(ASK)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(reply.text) > 1_000_000
        await models.close()
    return (peak - rest) / 1e6


def main() -> int:
    """Measure, print, compare."""
    bare, port = asyncio.run(overhead())
    peak = asyncio.run(memory())
    found = {
        "bare_httpx_ms": round(bare, 3),
        "port_ms": round(port, 3),
        "overhead_ms": round(port - bare, 3),
        "memory_1mb_answer_mb": round(peak, 2),
    }
    found["ok"] = found["overhead_ms"] <= 1.0 and found["memory_1mb_answer_mb"] <= 10.0
    print(json.dumps(found))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
