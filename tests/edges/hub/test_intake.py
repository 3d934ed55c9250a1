"""Reception: a full disk, a raising handler, a slow receiver; once for each client library."""

import asyncio
import json

import pytest

from code_evolver.core.errors import DiskFull, StoreError
from tests.fault_hub import FaultHub, Peer
from tests.hub_listening import listening

pytest.importorskip("pysignalr")
CLIENTS = ("signalrcore", "pysignalr")
pytestmark = pytest.mark.parametrize("client", CLIENTS)


def invocation(number: object, **more: object) -> bytes:
    return json.dumps({"type": 1, "target": "TaskHub", "arguments": [{"id": number}], **more}).encode() + b"\x1e"


def test_a_full_disk_is_waited_out_and_a_broken_store_ends_the_run(client):
    async def behave(peer: Peer) -> None:
        await peer.push(1)
        await peer.heard(lambda _: bool(first))
        await peer.push(2)

    first: list[int] = []

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            heard.faults = [DiskFull("No room.", "Make some.")]
            await heard.until(lambda heard: heard.ids == [1])
            assert [name for name, _ in heard.events if name.startswith("intake")] == [
                "intake_paused",
                "intake_resumed",
            ]
            heard.faults = [StoreError("Damaged.", "Restore it.")]
            first.append(1)
            async with hub.peers[0].changed:
                hub.peers[0].changed.notify_all()
            with pytest.raises(StoreError, match="Damaged"):
                await heard.until(lambda _: False)

    asyncio.run(scene())


def test_a_message_that_the_handler_cannot_bear_is_set_aside_alone(client):
    async def behave(peer: Peer) -> None:
        await peer.raw(peer.frame(b"".join(invocation(number) for number in (1, 2, 3))))

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            heard.faults = [KeyError("whole batch"), KeyError("the first alone")]
            await heard.until(lambda heard: len(heard.received) == 3)
            assert [bool(one.problem) for one in heard.received] == [True, False, False]
            assert heard.received[0].raw == invocation(1)[:-1]

    asyncio.run(scene())


def test_a_slow_receiver_stops_the_reading_instead_of_growing_memory_and_is_no_silence(client):
    async def behave(peer: Peer) -> None:
        frames = b"".join(peer.frame(invocation(number, padding="x" * 1000)) for number in range(1000))
        for _ in range(80):  # 80 MB: more than all that may hold some, the system's buffers too
            await peer.raw(frames)
            sent.append(1)
        while True:  # as hubs do that have nothing else to send
            await peer.say({"type": 6})
            await asyncio.sleep(0.2)

    sent: list[int] = []

    async def scene() -> None:
        async with (
            FaultHub(behave).running() as hub,
            listening(hub.url, client=client, server_timeout_seconds=1.0) as heard,
        ):
            heard.gate.clear()
            await hub.peer()
            await asyncio.sleep(2.5)  # longer than the silence that counts as death: it is what is tested
            assert len(sent) < 60
            assert heard.hub._inbox._records <= 30_000
            heard.gate.set()
            await heard.until(lambda heard: len(heard.received) == 80_000, 60)
            assert not heard.named("disconnected")

    asyncio.run(scene())
