"""The fault table on real sockets, once for each client library."""

import asyncio
import json
import threading

import pytest

from code_evolver.core.errors import DiskFull, HubAuthentication, HubRefused, HubUnreachable, StoreError
from code_evolver.core.setting_kinds import HubCall
from tests.fault_hub import CONTINUATION, NEGOTIATED, PING, FaultHub, Peer, http
from tests.hub_listening import failure, listening

pytest.importorskip("pysignalr")
CLIENTS = ("signalrcore", "pysignalr")
pytestmark = pytest.mark.parametrize("client", CLIENTS)


def invocation(number: object, **more: object) -> bytes:
    return json.dumps({"type": 1, "target": "TaskHub", "arguments": [{"id": number}], **more}).encode() + b"\x1e"


# ── frames and records ───────────────────────────────────────────────────────────────────────────────────────────────
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


def test_one_frame_far_over_the_limit_is_reported_and_costs_a_reconnect(client):
    async def behave(peer: Peer) -> None:
        if not any(one is not peer for one in hubs[0].peers):
            await peer.raw(peer.frame(invocation("huge", pad="x" * 20_000_000)))
        else:
            await peer.push("after")

    hubs: list[FaultHub] = []

    async def scene() -> None:
        hubs.append(FaultHub(behave))
        async with hubs[0].running() as hub, listening(hub.url, client=client, max_message_bytes=4_000_000) as heard:
            await heard.until(lambda heard: "after" in heard.ids)
            (refused,) = [one for one in heard.received if one.problem]
            assert refused.raw == b""
            assert "over 4000000 bytes" in refused.problem
            assert len(heard.named("connected")) == 2

    asyncio.run(scene())


# ── losses ───────────────────────────────────────────────────────────────────────────────────────────────────────────
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


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────
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
        hub = FaultHub()
        async with hub.running():
            port = int(hub.url.rpartition(":")[2].partition("/")[0])
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


# ── calls and answers ────────────────────────────────────────────────────────────────────────────────────────────────
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


def test_our_own_calls_get_results_errors_timeouts_and_losses(client):
    async def behave(peer: Peer) -> None:
        for number, answer in enumerate([{"result": [1, "ä"]}, {"error": "no such method"}]):
            await peer.heard(lambda peer: len(calls(peer)) > number)  # noqa: B023 - awaited at once
            await peer.say({"type": 3, "invocationId": calls(peer)[number]["invocationId"], **answer})
        await peer.heard(lambda peer: len(calls(peer)) > 3)
        peer.drop()

    def calls(peer: Peer) -> list[dict]:
        return [record for record in peer.records if record["type"] == 1]

    async def scene() -> None:
        async with FaultHub(behave).running() as hub, listening(hub.url, client=client) as heard:
            await heard.until(lambda heard: heard.hub.connected)
            assert await heard.hub.invoke("Report", [{"a": "\ud800"}]) == [1, "ä"]
            with pytest.raises(HubRefused, match="no such method"):
                await heard.hub.invoke("Report", [])
            with pytest.raises(HubUnreachable, match=r"within 0\.1 s"):
                await heard.hub.invoke("Report", [], timeout=0.1)
            with pytest.raises(HubUnreachable, match="lost before"):
                await heard.hub.invoke("Report", [])

    asyncio.run(scene())


def test_results_of_subscribe_calls_and_stream_items_are_received_and_refusals_are_said(client):
    async def behave(peer: Peer) -> None:
        await peer.heard(lambda peer: len([record for record in peer.records if record["type"] in (1, 4)]) == 4)
        pending, nothing, wrong, stream = [record for record in peer.records if record["type"] in (1, 4)]
        await peer.say({"type": 3, "invocationId": pending["invocationId"], "result": {"id": "pending"}})
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


# ── reception ────────────────────────────────────────────────────────────────────────────────────────────────────────
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
        frames = b"".join(peer.frame(invocation(number)) for number in range(1000))
        for _ in range(200):
            await peer.raw(frames)
            sent.append(1)

    sent: list[int] = []

    async def scene() -> None:
        async with (
            FaultHub(behave).running() as hub,
            listening(hub.url, client=client, server_timeout_seconds=1.0) as heard,
        ):
            heard.gate.clear()
            await hub.peer()
            await asyncio.sleep(2.5)  # longer than the silence that counts as death: it is what is tested
            assert len(sent) < 150
            assert heard.hub._inbox._records <= 30_000
            heard.gate.set()
            await heard.until(lambda heard: len(heard.received) == 200_000, 60)
            assert not heard.named("disconnected")

    asyncio.run(scene())


# ── stop ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("state", ["negotiating", "opening", "shaking hands", "connected", "reconnecting", "receiving"])
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
                wanted = {"connected": "connected", "receiving": "connected", "reconnecting": "reconnecting"}
                await heard.until(lambda heard: bool(heard.named(wanted.get(state, "connecting"))))
                await asyncio.sleep(0.1)
            assert not heard.hub.connected

    before = threading.active_count()
    asyncio.run(scene())
    assert threading.active_count() == before


def test_a_token_command_that_hangs_does_not_hold_up_a_stop(client):
    async def scene() -> None:
        async with (
            FaultHub().running() as hub,
            listening(hub.url, client=client, access_token_command="sleep 60") as heard,
        ):
            await heard.until(lambda heard: bool(heard.named("connecting")))
            await asyncio.sleep(0.2)

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
