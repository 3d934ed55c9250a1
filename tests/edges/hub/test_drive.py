"""Losses, refusals and stops on real sockets, once for each client library."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from code_evolver.core.errors import HubAuthentication, HubRefused, HubUnreachable, TokenUnavailable
from code_evolver.core.setting_kinds import HubCall
from tests.acceptance_kit import until
from tests.fault_hub import NEGOTIATED, FaultHub, Peer, http
from tests.hub_listening import Listening, failure, listening
from tests.ports import free_port

pytest.importorskip("pysignalr")
CLIENTS = ("signalrcore", "pysignalr")
pytestmark = pytest.mark.parametrize("client", CLIENTS)


def invocation(number: object, **more: object) -> bytes:
    return json.dumps({"type": 1, "target": "TaskHub", "arguments": [{"id": number}], **more}).encode() + b"\x1e"


@pytest.mark.parametrize("how", ["reset", "drop", "close", "close with error"])
def test_a_lost_connection_is_opened_again_and_subscribed_again(client, how):
    async def behave(peer: Peer) -> None:
        await peer.heard(lambda peer: any(record.get("target") == "Join" for record in peer.records))
        if len(hub.peers) == 1:
            await {"reset": reset, "drop": drop}.get(how, close)(peer)
        await peer.push("back")

    async def reset(peer: Peer) -> None:
        peer.reset()

    async def drop(peer: Peer) -> None:
        peer.drop()

    async def close(peer: Peer) -> None:
        await peer.say({"type": 7, "allowReconnect": True, **({"error": "boom"} if "error" in how else {})})

    hub = FaultHub(behave)

    async def scene() -> None:
        hub.arrived = asyncio.Condition()
        async with (
            hub.running(),
            listening(hub.url, client=client, subscribe=[HubCall("Join", ("{hub_name}",))]) as heard,
        ):
            await heard.until(lambda heard: "back" in heard.ids)
            assert [peer.records[0]["arguments"] for peer in hub.peers[:2]] == [["TaskHub"], ["TaskHub"]]
            if "error" in how:
                assert "boom" in heard.named("disconnected")[0]["reason"]

    asyncio.run(scene())


def test_a_close_without_allow_reconnect_keeps_us_away_for_a_while(client):
    async def behave(peer: Peer) -> None:
        await peer.say({"type": 7})

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: bool(heard.named("reconnecting")))
            assert heard.named("reconnecting")[0]["seconds"] == 5.0
            assert hub.negotiated == 1

    asyncio.run(scene())


def test_a_silent_server_counts_as_dead_and_pauses_on_purpose_do_not(client):
    async def scene() -> None:
        async with FaultHub().running() as hub, listening(hub.url, client=client, server_timeout_seconds=0.5) as heard:
            await heard.until(lambda heard: bool(heard.named("disconnected")))
            assert "silent for 0.5 s" in heard.named("disconnected")[0]["reason"]
            assert not heard.hub.connected

    asyncio.run(scene())


def test_our_pings_keep_coming(client):
    async def scene() -> None:
        async with FaultHub().running() as hub, listening(hub.url, client=client, keep_alive_seconds=0.05):
            await (await hub.peer()).heard(lambda peer: [record["type"] for record in peer.records].count(6) >= 3)

    asyncio.run(scene())


@pytest.mark.slow
def test_thirteen_closes_in_a_row_are_thirteen_reconnects(client):
    async def behave(peer: Peer) -> None:
        await peer.push(len(hub.peers))
        if len(hub.peers) <= 13:
            await peer.say({"type": 7, "allowReconnect": True})

    hub = FaultHub(behave)

    async def scene() -> None:
        hub.arrived = asyncio.Condition()
        async with hub.running(), listening(hub.url, client=client, max_reconnect_attempts=0) as heard:
            await heard.until(lambda heard: heard.ids == list(range(1, 15)), 40)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("upgrade", "kind", "words"),
    [
        (401, HubAuthentication, "HTTP 401"),
        (400, HubRefused, "HTTP 400"),
        (302, HubRefused, "HTTP 302"),
        (500, HubUnreachable, "HTTP 500"),
    ],
)
def test_a_refused_upgrade_is_judged_by_its_status(client, upgrade, kind, words):
    async def scene() -> None:
        hub = FaultHub()
        hub.upgrades = [http(upgrade, b"no", Location="http://127.0.0.1:1/")]
        async with hub.running():
            error, heard = await failure(hub.url, client=client, max_reconnect_attempts=1)
        assert type(error) is kind
        assert words in str(error)
        assert heard.named("connection_failed_permanently")

    asyncio.run(scene())


def test_a_refused_handshake_gives_the_hubs_own_words(client):
    async def scene() -> None:
        hub = FaultHub()
        hub.handshake = b'{"error":"The protocol is not supported."}\x1e'
        async with hub.running():
            error, _ = await failure(hub.url, client=client)
        assert type(error) is HubRefused
        assert "The protocol is not supported." in str(error)
        assert hub.negotiated == 1

    asyncio.run(scene())


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"error":""}', b'{"error":{}}', b'{"a":"\xff"}'])
def test_an_answer_to_the_handshake_that_is_none_is_refused(client, answer):
    async def scene() -> None:
        hub = FaultHub()
        hub.handshake = answer + b"\x1e"
        async with hub.running():
            error, _ = await failure(hub.url, client=client)
        assert type(error) is HubRefused
        assert "handshake" in str(error)

    asyncio.run(scene())


@pytest.mark.parametrize("answer", [b' {"error":null}', b'{"minorVersion":0}'])
def test_an_answer_to_the_handshake_without_an_error_is_taken(client, answer):
    async def scene() -> None:
        hub = FaultHub()
        hub.handshake = answer + b"\x1e"
        async with hub.running(), listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: heard.hub.connected)

    asyncio.run(scene())


@pytest.mark.parametrize("what", ["upgrade", "handshake"])
def test_a_hub_that_hangs_is_given_up_and_asked_again(client, what):
    async def scene() -> None:
        hub = FaultHub()
        hub.upgrades = [None if what == "upgrade" else True]
        hub.handshake = None
        async with hub.running():
            error, _ = await failure(
                hub.url,
                client=client,
                max_reconnect_attempts=2,
                connect_timeout_seconds=0.2,
                handshake_timeout_seconds=0.2,
            )
        assert type(error) is HubUnreachable
        assert "0.2 s" in str(error)
        assert hub.negotiated == 2

    asyncio.run(scene())


def test_a_hub_that_is_down_at_the_start_is_waited_for(client):
    async def scene() -> None:
        port = free_port()
        async with listening(f"http://127.0.0.1:{port}/hub", client=client) as heard:
            await heard.until(lambda heard: bool(heard.named("reconnecting")))
            assert "cannot be reached" in heard.named("connection_failed")[0]["error"]
            async with FaultHub().running(port):
                await heard.until(lambda heard: heard.hub.connected)

    asyncio.run(scene())


def test_a_handshake_error_storm_costs_one_negotiation_a_second(client):
    async def behave(peer: Peer) -> None:
        hub.handshake = b'{"error":"no"}\x1e'
        peer.drop()

    hub = FaultHub(behave)

    async def scene() -> None:
        hub.arrived = asyncio.Condition()
        async with hub.running():
            loop = asyncio.get_running_loop()
            started = loop.time()
            error, _ = await failure(hub.url, client=client, max_reconnect_attempts=3)
            assert type(error) is HubRefused
            assert hub.negotiated <= 1 + (loop.time() - started)

    asyncio.run(scene())


STATES: dict[str, Callable[[FaultHub, Listening], Coroutine[Any, Any, Any]]] = {
    "negotiating": lambda hub, _: hub.until(lambda hub: len(hub.requests) == 1),
    "opening": lambda hub, _: hub.until(lambda hub: len(hub.requests) == 2),
    "shaking hands": lambda hub, _: hub.until(lambda hub: hub.greeted == 1),
    "connected": lambda _, heard: heard.until(lambda heard: bool(heard.received)),
    "reconnecting": lambda _, heard: heard.until(lambda heard: bool(heard.named("reconnecting"))),
    "receiving": lambda _, heard: asyncio.wait_for(heard.asked.wait(), 15),
}
"""How to wait until a listener is in a state."""


@pytest.mark.parametrize("state", STATES)
def test_stop_ends_within_a_second_in_any_state(client, state):
    async def behave(peer: Peer) -> None:
        await peer.push(1)
        if state == "reconnecting":
            await peer.say({"type": 7})

    async def scene() -> None:
        hub = FaultHub(behave)
        if state == "negotiating":
            hub.negotiations = [None]
        if state == "opening":
            hub.upgrades = [None]
        if state == "shaking hands":
            hub.handshake = None
        async with hub.running():
            async with listening(hub.url, client=client) as heard:
                if state == "receiving":
                    heard.gate.clear()
                await STATES[state](hub, heard)
            assert not heard.hub.connected

    before = set(threading.enumerate())
    asyncio.run(scene())
    until(lambda: not set(threading.enumerate()) - before, "its threads to end", 5)


def test_a_token_command_that_hangs_does_not_hold_up_a_stop(client, tmp_path):
    command = ["sh", "-c", f"echo $$ > '{tmp_path}/half' && mv '{tmp_path}/half' '{tmp_path}/started' && exec sleep 60"]

    async def scene() -> None:
        async with FaultHub().running() as hub:
            async with asyncio.timeout(15), listening(hub.url, client=client, access_token_command=command):
                while not (tmp_path / "started").exists():  # noqa: ASYNC110 - another process makes it
                    await asyncio.sleep(0.01)
            with pytest.raises(ProcessLookupError):
                os.kill(int((tmp_path / "started").read_text(encoding="utf-8")), 0)
            assert not hub.requests

    asyncio.run(scene())


def test_an_issuer_of_tokens_that_is_down_is_waited_for_as_a_hub_is(client, tmp_path):
    """Fails twice, hangs, works: the hub is never asked without a token, and that is no refusal of it."""
    script = f"""
        echo >> {tmp_path}/times
        case $(wc -l < {tmp_path}/times) in
          1|2) exit 1 ;;
          3) sleep 60 ;;
        esac
        echo tok"""

    async def scene() -> None:
        async with (
            FaultHub().running() as hub,
            listening(
                hub.url, client=client, access_token_command=("sh", "-c", script), token_timeout_seconds=2.0
            ) as heard,
        ):
            await heard.until(lambda heard: heard.hub.connected, 30)
            said = [event["error"] for event in heard.named("connection_failed")]
            assert said == [
                "The token command ended with exit code 1.",
                "The token command ended with exit code 1.",
                "The token command gave no token within 2 s.",
            ]
            assert {request.headers["authorization"] for request in hub.requests} == {"Bearer tok"}

    asyncio.run(scene())


def test_a_token_command_that_never_works_is_asked_as_often_as_a_hub_and_named_in_the_end(client):
    async def scene() -> None:
        async with FaultHub().running() as hub:
            error, heard = await failure(hub.url, client=client, access_token_command="false", max_reconnect_attempts=3)
        assert type(error) is TokenUnavailable
        assert (error.exit_code, error.actual_code) == (4, "hub_authentication")
        assert "The token command" in str(error)
        assert "access_token_command" in error.hint
        assert len(heard.named("connection_failed")) == 3
        assert hub.negotiated == 0

    asyncio.run(scene())


def test_secrets_of_the_address_are_not_in_events(client):
    async def scene() -> None:
        async with FaultHub().running() as hub:
            url = hub.url.replace("//", "//me:pass@") + "?access_token=SECRET&room=1"
            async with listening(url, client=client, access_token="TOKEN") as heard:
                await heard.until(lambda heard: heard.hub.connected)
            shown = json.dumps(heard.events)
            assert "room=1" in shown
            assert not [word for word in ("SECRET", "TOKEN", "pass") if word in shown]
            assert hub.requests[0].headers["authorization"] == "Bearer TOKEN"
            assert "access_token=SECRET" in hub.requests[1].target

    asyncio.run(scene())


def test_a_new_token_is_asked_for_once_when_one_is_refused(client, tmp_path):
    async def scene() -> None:
        file = tmp_path / "token"
        file.write_text("old\n", encoding="utf-8")
        seen: list[str] = []

        def judge(request) -> bytes:
            seen.append(request.headers["authorization"])
            file.write_text("new\n", encoding="utf-8")
            return http(200, NEGOTIATED) if seen[-1] == "Bearer new" else http(401)

        hub = FaultHub()
        hub.negotiations = [judge]
        async with hub.running(), listening(hub.url, client=client, access_token_file=str(file)) as heard:
            await heard.until(lambda heard: heard.hub.connected)
        assert seen == ["Bearer old", "Bearer new"]

    asyncio.run(scene())
