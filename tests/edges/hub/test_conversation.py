"""Calls in both directions on real sockets, once for each client library."""

import asyncio
import json
import socket
from typing import Any

import pytest

from code_evolver.core.errors import HubRefused, HubUnreachable
from code_evolver.core.setting_kinds import HubCall
from tests.fault_hub import FaultHub, Peer
from tests.hub_listening import listening

pytest.importorskip("pysignalr")
CLIENTS = ("signalrcore", "pysignalr")
pytestmark = pytest.mark.parametrize("client", CLIENTS)


def invocation(number: object, **more: object) -> bytes:
    return json.dumps({"type": 1, "target": "TaskHub", "arguments": [{"id": number}], **more}).encode() + b"\x1e"


def test_a_call_that_wants_a_result_gets_it_after_receive_and_one_that_nobody_hears_gets_an_error(client):
    async def behave(peer: Peer) -> None:
        await peer.say({"type": 1, "target": "Other", "arguments": [], "invocationId": "s1"})
        await peer.say({"type": 1, "target": "Other", "arguments": [], "invocationId": "s2"})
        await peer.say({"type": 1, "target": "DATAUPDATE", "arguments": [{"id": 1}], "invocationId": "s3"})

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client, listen=["DataUpdate"]) as heard:
            heard.gate.clear()
            peer = await hub.peer()
            await peer.heard(lambda peer: sum(record["type"] == 3 for record in peer.records) == 2)
            heard.gate.set()
            await peer.heard(lambda peer: sum(record["type"] == 3 for record in peer.records) == 3)
            answers = {record["invocationId"]: record for record in peer.records if record["type"] == 3}
            assert set(answers["s1"]) == {"type", "invocationId", "error"}
            assert answers["s3"]["result"] == {"received": True, "n": 1}
            assert [event["target"] for event in heard.named("message_unhandled")] == ["Other"]

    asyncio.run(scene())


def test_a_broken_call_that_wants_a_result_is_answered_too(client):
    async def behave(peer: Peer) -> None:
        await peer.raw(peer.frame(b'{"type":1,"invocationId":"s1","target":"TaskHub","arguments":[{"id":]}\x1e'))

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            peer = await hub.peer()
            await peer.heard(lambda peer: any(record["type"] == 3 for record in peer.records))
            (answer,) = [record for record in peer.records if record["type"] == 3]
            assert (answer["invocationId"], answer["result"]["received"]) == ("s1", True)
            assert heard.received[0].problem.startswith("bad JSON")

    asyncio.run(scene())


def test_an_answer_goes_only_to_the_connection_that_asked(client):
    async def behave(peer: Peer) -> None:
        if len(hub.peers) == 1:
            await peer.say({"type": 1, "target": "TaskHub", "arguments": [{"id": 1}], "invocationId": "s1"})
            await peer.heard(lambda _: ready.is_set())
            peer.drop()

    hub = FaultHub(behave)
    ready = asyncio.Event()

    async def scene() -> None:
        hub.arrived = asyncio.Condition()
        async with hub.running(), listening(hub.url, client=client) as heard:
            heard.gate.clear()
            await hub.peer()
            await heard.asked.wait()
            hub.peers[0].drop()
            second = await hub.peer(2)
            heard.gate.set()
            await heard.until(lambda heard: heard.ids == [1])
            await second.heard(lambda peer: any(record["type"] == 6 for record in peer.records))
            assert not [record for record in second.records if record["type"] == 3]

    asyncio.run(scene())


def test_our_own_calls_get_results_errors_late_answers_and_losses(client):
    async def behave(peer: Peer) -> None:
        answers: list[dict[str, Any]] = [{"result": [1, "ä"]}, {"error": "no such method"}]
        for number, answer in enumerate(answers):
            await peer.heard(lambda peer: len(calls(peer)) > number)  # noqa: B023 - awaited at once
            await peer.say({"type": 3, "invocationId": calls(peer)[number]["invocationId"], **answer})
        await peer.heard(lambda peer: len(calls(peer)) > 3)
        await peer.say({"type": 3, "invocationId": calls(peer)[2]["invocationId"], "result": "late"})
        await peer.heard(lambda peer: len(calls(peer)) > 4)
        peer.drop()

    def calls(peer: Peer) -> list[dict[str, Any]]:
        return [record for record in peer.records if record["type"] == 1]

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: heard.hub.connected)
            assert await heard.hub.invoke("Report", [{"a": "\ud800"}]) == [1, "ä"]
            with pytest.raises(HubRefused, match="no such method"):
                await heard.hub.invoke("Report", [])
            late = asyncio.ensure_future(heard.hub.invoke("Report", []))
            await asyncio.sleep(0)
            lost = asyncio.ensure_future(heard.hub.invoke("Report", []))
            assert await late == "late"
            with pytest.raises(HubUnreachable, match="lost before"):
                await heard.hub.invoke("Report", [])
            with pytest.raises(HubUnreachable, match="lost before"):
                await lost

    asyncio.run(scene())


def test_results_of_subscribe_calls_and_stream_items_are_received_and_refusals_are_said(client):
    async def behave(peer: Peer) -> None:
        await peer.heard(lambda peer: len([record for record in peer.records if record["type"] in (1, 4)]) == 4)
        pending, nothing, wrong, stream = [record for record in peer.records if record["type"] in (1, 4)]
        await peer.say({"type": 3, "invocationId": pending["invocationId"], "result": {"id": "pending", "prompt": "x"}})
        await peer.say({"type": 3, "invocationId": nothing["invocationId"], "result": None})
        await peer.say({"type": 3, "invocationId": wrong["invocationId"], "error": "Method does not exist."})
        await peer.say({"type": 2, "invocationId": stream["invocationId"], "item": {"id": "item"}})
        await peer.say({"type": 3, "invocationId": stream["invocationId"]})
        await peer.say({"type": 2, "invocationId": stream["invocationId"], "item": {"id": "after the end"}})
        await peer.push("last")

    async def scene() -> None:
        subscribe = [HubCall("Pending"), HubCall("Join", ("{hub_name}",)), HubCall("Wrong")]
        async with (
            FaultHub(behave).running() as hub,
            listening(hub.url, client=client, subscribe=subscribe, stream=[HubCall("Items", (3, 5))]) as heard,
        ):
            await heard.until(lambda heard: "last" in heard.ids)
            assert [(one.target, one.invocation_id) for one in heard.received] == [
                ("Pending", None),
                ("Items", None),
                ("TaskHub", None),
            ]
            assert "Method does not exist" in heard.named("notice")[0]["message"]

    asyncio.run(scene())


def test_a_result_of_a_subscribe_call_that_holds_no_task_is_no_message(client):
    answers = [True, 0, "", "subscribed to LLMTasks", ["a"], {"success": True}, {"name": "LLMTasks", "members": 3}]

    async def behave(peer: Peer) -> None:
        await peer.heard(lambda peer: sum(record["type"] == 1 for record in peer.records) == len(answers))
        for call, answer in zip((record for record in peer.records if record["type"] == 1), answers, strict=True):
            await peer.say({"type": 3, "invocationId": call["invocationId"], "result": answer})
        await peer.push("last")

    async def scene() -> None:
        subscribe = [HubCall(f"Join{number}") for number in range(len(answers))]
        async with (
            FaultHub(behave).running() as hub,
            listening(hub.url, client=client, subscribe=subscribe) as heard,
        ):
            await heard.until(lambda heard: "last" in heard.ids)
            assert [one.target for one in heard.received] == ["TaskHub"]

    asyncio.run(scene())


def test_while_draining_results_are_refused_messages_ignored_and_our_calls_still_work(client):
    async def behave(peer: Peer) -> None:
        await peer.heard(lambda peer: any(record.get("target") == "Go" for record in peer.records))
        await peer.push("ignored")
        await peer.say({"type": 1, "target": "TaskHub", "arguments": [{"id": 2}], "invocationId": "s1"})
        go = next(record for record in peer.records if record.get("target") == "Go")
        await peer.heard(lambda peer: any(record["type"] == 3 for record in peer.records))
        await peer.say({"type": 3, "invocationId": go["invocationId"], "result": "done"})

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: heard.hub.connected)
            heard.hub.refuse_results()
            assert await heard.hub.invoke("Go", []) == "done"
            (answer,) = [record for record in hub.peers[0].records if record["type"] == 3]
            assert "error" in answer
            assert not heard.received

    asyncio.run(scene())


def test_a_hub_that_sends_and_reads_nothing_is_left_and_reception_goes_on_with_the_next_connection(client):
    async def behave(peer: Peer) -> None:
        if len(hub.peers) > 1:
            await peer.push("later")
            return
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for number in range(100):  # the answers repeat the id: more than the sockets between us hold
            await peer.say(
                {"type": 1, "target": "TaskHub", "arguments": [], "invocationId": f"{number}-{'i' * 100_000}"}
            )
        while True:
            await peer.say({"type": 6})
            await asyncio.sleep(0.05)  # a hub's pings: the watchdog must not be what ends it

    hub = FaultHub(behave)

    async def scene() -> None:
        async with hub.running(), listening(hub.url, client=client, server_timeout_seconds=0.5) as heard:
            await heard.until(lambda heard: heard.ids == ["later"])
            assert "read nothing for 0.5 s" in heard.named("disconnected")[0]["reason"]

    asyncio.run(scene())
