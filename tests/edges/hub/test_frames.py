"""Frames and records on real sockets, once for each client library."""

import asyncio
import json

import pytest

from tests.fault_hub import CLOSE, CONTINUATION, PING, FaultHub, Peer
from tests.hub_listening import listening

pytest.importorskip("pysignalr")
CLIENTS = ("signalrcore", "pysignalr")
pytestmark = pytest.mark.parametrize("client", CLIENTS)


def invocation(number: object, **more: object) -> bytes:
    return json.dumps({"type": 1, "target": "TaskHub", "arguments": [{"id": number}], **more}).encode() + b"\x1e"


def test_a_ping_frame_with_payload_is_answered_also_between_fragments(client):
    async def behave(peer: Peer) -> None:
        whole = invocation(1)
        await peer.raw(
            peer.frame(b"hb-17", PING), peer.frame(whole[:9], fin=False), peer.frame(b"in", PING),
            peer.frame(whole[9:], CONTINUATION), peer.frame(b"", PING),
        )  # fmt: skip

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: heard.ids == [1])
            await (await hub.peer()).heard(lambda peer: peer.pongs == [b"hb-17", b"in", b""])

    asyncio.run(scene())


def test_records_arrive_however_they_are_cut_into_frames(client):
    async def behave(peer: Peer) -> None:
        await peer.raw(peer.frame(b"".join(invocation(n) for n in range(50))))
        split = invocation("ä😀")
        for at in range(0, len(split), 7):
            await peer.raw(peer.frame(split[at : at + 7]))
        await peer.push(51)

    async def scene() -> None:
        hub = FaultHub(behave)
        hub.handshake = b"{}\x1e" + invocation("first")
        async with hub.running(), listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: 51 in heard.ids)
            assert heard.ids == ["first", *range(50), "ä😀", 51]

    asyncio.run(scene())


def test_a_bad_record_costs_that_record_and_not_the_connection(client):
    bad = [
        '{"type":1,',
        "[1,2]",
        '{"type":42}',
        '{"type":1,"target":"TaskHub"}',
        '{"type":1,"arguments":[1]}',
        '{"type":1,"a":"\xff"}',
    ]

    async def behave(peer: Peer) -> None:
        await peer.say(*[text.encode("latin-1") for text in bad])
        await peer.say({"type": 8, "sequenceId": 1}, {"type": 3, "invocationId": "stale", "result": 1}, {"type": 6})
        await peer.say(
            {"extra": 1, "type": 1, "headers": {"a": "b"}, "target": "taskHUB", "arguments": [{"id": "ok"}], "new": {}}
        )

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: heard.ids == ["ok"])
            problems = [one for one in heard.received if one.problem]
            assert sorted(one.raw.decode("latin-1") for one in problems) == sorted(bad)
            assert heard.hub.connected
            assert not heard.named("disconnected")

    asyncio.run(scene())


def test_a_record_of_two_megabytes_arrives_and_one_over_the_limit_is_reported_without_its_body(client):
    async def behave(peer: Peer) -> None:
        await peer.raw(peer.frame(invocation("big", pad="x" * 2_000_000)))
        huge = invocation("huge", pad="x" * 6_000_000)
        await peer.raw(*(peer.frame(huge[at : at + 500_000]) for at in range(0, len(huge), 500_000)))
        await peer.push("after")

    async def scene() -> None:
        async with (
            FaultHub(behave).running() as hub,
            listening(hub.url, client=client, max_message_bytes=4_000_000) as heard,
        ):
            await heard.until(lambda heard: "after" in heard.ids)
            assert heard.ids == ["big", "after"]
            (refused,) = [one for one in heard.received if one.problem]
            assert refused.raw == b""
            assert "over 4000000 bytes" in refused.problem

    asyncio.run(scene())


def test_one_frame_far_over_the_limit_costs_its_record_and_who_asked_with_it_is_answered(client):
    async def behave(peer: Peer) -> None:
        whole = invocation("huge", pad="x" * 20_000_000)
        await peer.raw(
            peer.frame(b'{"type":1,"invocationId":"s1",' + whole[len(b'{"type": 1, ') :] + invocation("next"))
        )
        await peer.push("after")

    async def scene() -> None:
        async with (
            FaultHub(behave).running() as hub,
            listening(hub.url, client=client, max_message_bytes=4_000_000) as heard,
        ):
            await heard.until(lambda heard: "after" in heard.ids)
            assert heard.ids == ["next", "after"]
            (refused,) = [one for one in heard.received if one.problem]
            assert (refused.raw, refused.invocation_id) == (b"", "s1")
            assert "over 4000000 bytes (2000" in refused.problem
            await (await hub.peer()).heard(lambda peer: any(one.get("invocationId") == "s1" for one in peer.records))
            assert len(heard.named("connected")) == 1

    asyncio.run(scene())


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 65_537, 200_000])
def test_a_frame_of_any_size_is_taken_whole_however_the_network_cuts_it(size, client):
    async def behave(peer: Peer) -> None:
        sent = peer.frame(invocation(1, pad="x" * size) * 3) + peer.frame(b"p" * 5, PING) + peer.frame(invocation(2))
        for at in range(0, len(sent), 1_000 + size // 7):
            await peer.raw(sent[at : at + 1_000 + size // 7])

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: heard.ids == [1, 1, 1, 2])
            assert not [one for one in heard.received if one.problem]
            await (await hub.peer()).heard(lambda peer: peer.pongs == [b"p" * 5])

    asyncio.run(scene())


UNPARTED = {
    "a close frame and no end of the connection": lambda peer: peer.frame(b"\x03\xe9", CLOSE),
    "a frame that breaks the protocol": lambda peer: peer.frame(b"x", 3),
}


@pytest.mark.parametrize("what", UNPARTED)
def test_a_hub_that_does_not_part_when_the_socket_is_over_is_left(what, client):
    """It goes on sending, so it is not silent; but nothing of that arrives any more."""

    async def behave(peer: Peer) -> None:
        first = hubs[0].peers[0] is peer
        await peer.raw(UNPARTED[what](peer) if first else peer.frame(invocation("after")))
        while first:
            await peer.push("unheard")
            await asyncio.sleep(0.05)

    hubs: list[FaultHub] = []

    async def scene() -> None:
        hubs.append(FaultHub(behave, parts=False))
        async with hubs[0].running() as hub, listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: "after" in heard.ids)
            assert len(heard.named("connected")) == 2

    asyncio.run(scene())


def test_the_socket_of_a_frozen_hub_is_gone_after_a_stop(client):
    async def behave(peer: Peer) -> None:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: heard.hub.connected)
            transport = heard.hub._conversation._connection._socket.transport
            await heard.hub.stop()
            assert transport.is_closing()

    asyncio.run(scene())
