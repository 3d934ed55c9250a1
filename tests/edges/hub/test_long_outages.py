"""Outages as long as real ones, with default settings: 10 s, 45 s, a hub frozen for 75 s. All at once: 90 s of waiting, no work."""

import asyncio
import os
import signal
from contextlib import ExitStack
from typing import Any

import pytest

from tests.hub_listening import RealHub, listening, needs_real_hub, real_hub

pytest.importorskip("pysignalr")
pytestmark = [pytest.mark.hub, pytest.mark.slow, needs_real_hub, pytest.mark.timeout(240)]
CLIENTS = ("signalrcore", "pysignalr")


async def delivered(hub: RealHub, heard: Any) -> None:
    """A message reaches the listener over its present connection."""
    await heard.until(lambda heard: heard.hub.connected, 60)
    await asyncio.to_thread(hub.post, "/control/send?method=TaskHub", {"id": "after"})
    await heard.until(lambda heard: "after" in heard.ids, 30)


async def restarted(hub: RealHub, seconds: float, client: str) -> None:
    async with listening(hub.url + "/taskhub", client=client, max_reconnect_attempts=0, alone=False) as heard:
        await heard.until(lambda heard: heard.hub.connected, 60)
        await asyncio.to_thread(hub.kill)
        await asyncio.sleep(seconds)  # the outage itself
        await asyncio.to_thread(hub.start, hub.port)
        await delivered(hub, heard)
        assert len(heard.named("connected")) == 2


async def frozen(hub: RealHub, seconds: float, client: str) -> None:
    async with listening(hub.url + "/taskhub", client=client, max_reconnect_attempts=0, alone=False) as heard:
        await heard.until(lambda heard: heard.hub.connected, 60)
        os.kill(hub.process.pid, signal.SIGSTOP)
        try:
            await heard.until(lambda heard: bool(heard.named("disconnected")), 60)
            await asyncio.sleep(seconds - 31)  # the rest of the freeze
        finally:
            os.kill(hub.process.pid, signal.SIGCONT)
        await delivered(hub, heard)


def test_long_outages_end_in_a_connection_that_delivers():
    scenes = [(restarted, 10), (restarted, 45), (frozen, 75)]

    async def all_at_once(hubs: list[RealHub]) -> None:
        left = iter(hubs)
        await asyncio.gather(*(scene(next(left), seconds, client) for scene, seconds in scenes for client in CLIENTS))

    with ExitStack() as stack:
        asyncio.run(all_at_once([stack.enter_context(real_hub()) for _ in range(len(scenes) * len(CLIENTS))]))
