"""Hubs for the contract suite: the demo hub, and the real one where it is."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from code_evolver.demo.hub import DemoHub
from tests.contract.queue_bench import FACTORIES, Bench
from tests.hub_stage import Scene, Stage

REAL = Path(__file__).resolve().parents[3] / "shared" / "hub" / "taskhub"
SETTINGS = {"keep_alive": 1.0, "client_timeout": 2.0}


@pytest.fixture(scope="module")
def real_hub() -> Iterator[str]:
    if not REAL.exists():
        pytest.skip(f"The real hub is not there: {REAL}")
    command = [
        str(REAL),
        "--urls",
        "http://127.0.0.1:0",
        "--keepalive",
        "1",
        "--client-timeout",
        "2",
        "--token",
        "SECRET",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(line.split()[1] for line in process.stdout if line.startswith("READY"))
        finally:
            process.kill()


@pytest.fixture(params=["demo", pytest.param("real", marks=pytest.mark.hub)])
def on_stage(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    """Run a scene on the hub of this round."""
    base = request.getfixturevalue("real_hub") if request.param == "real" else ""

    @asynccontextmanager
    async def stage() -> AsyncIterator[Stage]:
        if base:
            async with httpx.AsyncClient(base_url=base, timeout=20) as http:
                await http.post("/control/clear")
                stage = Stage(base, http)
                await stage.until(stage.empty)  # one hub for all: the client before may still be listed
                yield stage
        else:
            async with (
                DemoHub(token="SECRET", **SETTINGS) as hub,
                httpx.AsyncClient(base_url=hub.base, timeout=20) as http,
            ):
                yield Stage(hub.base, http)

    async def play(scene: Scene) -> None:
        async with asyncio.timeout(30), stage() as found:
            await scene(found)

    return lambda scene: asyncio.run(play(scene))


@pytest.fixture(params=FACTORIES, ids=str)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(FACTORIES[request.param], tmp_path)
