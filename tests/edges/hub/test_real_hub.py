"""The same promises on a real ASP.NET Core hub, both client libraries."""

import asyncio
import os
import signal
from typing import Any

import pytest

from code_evolver.core.errors import HubAuthentication
from code_evolver.core.setting_kinds import HubCall
from code_evolver.edges.hub.frames import HELD_BYTES
from code_evolver.edges.hub.inbox import MAX_BYTES
from tests.hub_listening import RealHub, failure, known, listening, needs_real_hub, real_hub, seen

pytest.importorskip("pysignalr")
pytestmark = [pytest.mark.hub, needs_real_hub, pytest.mark.parametrize("client", ["signalrcore", "pysignalr"])]


async def post(hub: RealHub, path: str, body: Any = None) -> Any:
    return await asyncio.to_thread(hub.post, path, body)


def test_tasks_results_calls_and_streams(client):
    async def scene() -> None:
        with real_hub() as hub:
            hub.post("/control/pending", [{"id": "pending", "prompt": "x"}])
            calls: dict[str, Any] = {"subscribe": [HubCall("PendingTasks")], "stream": [HubCall("StreamTasks", (2, 1))]}
            async with listening(hub.url + "/taskhub", client=client, **calls) as heard:
                await heard.until(lambda heard: len(heard.received) == 3)
                assert {one.target for one in heard.received} == {"PendingTasks", "StreamTasks"}
                assert await heard.hub.invoke("Echo", ["héllo \u0001 😀"]) == "héllo \u0001 😀"
                answer = await post(hub, "/control/ask?method=TaskHub", {"id": "asked"})
                assert answer["answer"]["received"] is True
                assert len(heard.received) == 4

    asyncio.run(scene())


def test_large_messages_in_many_fragments_are_held_back_at_the_hub_while_nothing_is_taken_in(client):
    """Kestrel cuts a record into frames of 4 KiB: each of them has to count, not only the one that ends a record."""

    async def scene() -> None:
        with real_hub() as hub:
            async with listening(hub.url + "/taskhub", client=client) as heard:
                heard.gate.clear()
                await heard.until(lambda heard: heard.hub.connected)
                await known(hub)
                pushing = asyncio.create_task(post(hub, "/control/push?count=200&rate=0&batch=1&padding=300000"))
                await heard.asked.wait()
                inbox, socket = heard.hub._inbox, heard.hub._conversation._connection._socket
                await seen(lambda: pushing.done() or (inbox.full and socket._paused))
                held = sum(len(record) for record in socket._records)
                assert held < HELD_BYTES + 1_000_000
                assert inbox._bytes < MAX_BYTES + HELD_BYTES + 1_000_000
                heard.gate.set()
                await pushing
                await heard.until(lambda heard: len(heard.received) == 200, 60)
                assert not heard.named("disconnected")

    asyncio.run(scene())


def test_a_mock_data_hub_needs_its_subscription_again_after_an_abort(client):
    async def scene() -> None:
        with real_hub() as hub:
            settings: dict[str, Any] = {
                "hub_name": "LLMTasks",
                "listen": ["DataUpdate"],
                "subscribe": [HubCall("SubscribeToContext", ("{hub_name}",))],
            }
            async with listening(hub.url + "/hub/mock", client=client, **settings) as heard:
                for number in (1, 2):
                    await heard.until(lambda heard: len(heard.named("connected")) == number)  # noqa: B023 - awaited at once
                    await heard.hub.invoke("Echo", ["subscribed by now"])
                    await post(hub, "/control/mock?context=LLMTasks", {"id": number})
                    await heard.until(lambda heard: len(heard.received) == number)  # noqa: B023 - awaited at once
                    await post(hub, "/control/abort")
                assert {event["target"] for event in heard.named("message_unhandled")} == {"Connected", "Subscribed"}

    asyncio.run(scene())


@pytest.mark.parametrize("hard", [True, False])
def test_a_killed_hub_is_found_again_when_it_is_back(client, hard):
    async def scene() -> None:
        with real_hub() as hub:
            async with listening(hub.url + "/taskhub", client=client) as heard:
                await heard.until(lambda heard: heard.hub.connected)
                await asyncio.to_thread(hub.kill, hard=hard)
                await heard.until(lambda heard: bool(heard.named("connection_failed")))
                await asyncio.to_thread(hub.start, hub.port)
                await heard.until(lambda heard: heard.hub.connected)
                await known(hub)
                await post(hub, "/control/send?method=TaskHub", {"id": 1})
                await heard.until(lambda heard: heard.ids == [1])

    asyncio.run(scene())


def test_an_answer_never_reaches_a_restarted_hub_that_asks_under_the_same_id(client):
    async def scene() -> None:
        with real_hub() as hub:
            async with listening(hub.url + "/taskhub", client=client) as heard:
                await heard.until(lambda heard: heard.hub.connected, 60)
                await known(hub)
                heard.gate.clear()
                lost = asyncio.create_task(post(hub, "/control/ask?method=TaskHub", {"id": "before"}))
                await heard.asked.wait()
                await asyncio.to_thread(hub.kill)
                await asyncio.gather(lost, return_exceptions=True)
                await heard.until(lambda heard: bool(heard.named("disconnected")), 60)
                await asyncio.to_thread(hub.start, hub.port)
                await heard.until(lambda heard: heard.hub.connected, 60)
                await known(hub)
                asking = asyncio.create_task(post(hub, "/control/ask?method=TaskHub&timeout=60", {"id": "after"}))
                await seen(
                    lambda: heard.under_way + heard.hub._inbox._records == 2
                )  # both are here, and neither is answered
                heard.gate.set()
                answer = await asking
                assert [(one.arguments[0]["id"], one.invocation_id) for one in heard.received] == [
                    ("before", "s1"),
                    ("after", "s1"),
                ]
                assert answer["answer"]["n"] == 2, "the answer to what was asked here, not to the hub before"
                assert len(heard.named("connected")) == 2

    asyncio.run(scene())


def test_a_frozen_hub_is_noticed_and_found_again(client):
    async def scene() -> None:
        with real_hub("--keepalive", "1") as hub:
            async with listening(
                hub.url + "/taskhub", client=client, server_timeout_seconds=2.0, connect_timeout_seconds=1.0
            ) as heard:
                await heard.until(lambda heard: heard.hub.connected)
                os.kill(hub.process.pid, signal.SIGSTOP)
                try:
                    await heard.until(lambda heard: bool(heard.named("disconnected")))
                finally:
                    os.kill(hub.process.pid, signal.SIGCONT)
                await heard.until(lambda heard: heard.hub.connected)
                assert "silent for 2 s" in heard.named("disconnected")[0]["reason"]

    asyncio.run(scene())


def test_stop_from_a_frozen_hub_takes_less_than_a_second(client):
    async def scene() -> None:
        with real_hub() as hub:
            async with listening(hub.url + "/taskhub", client=client) as heard:
                await heard.until(lambda heard: heard.hub.connected)
                os.kill(hub.process.pid, signal.SIGSTOP)

    asyncio.run(scene())


def test_tokens_redirects_and_rotation(client, tmp_path):
    async def scene() -> None:
        with real_hub("--token", "SECRET") as hub:
            error, _ = await failure(hub.url + "/secure/taskhub", client=client, access_token="WRONG")
            assert type(error) is HubAuthentication
            async with listening(hub.url + "/redirect", client=client) as heard:
                await heard.until(lambda heard: heard.hub.connected)
                redirected = await known(hub)
            file = tmp_path / "token"
            file.write_text("SECRET", encoding="utf-8")
            async with listening(hub.url + "/secure/taskhub", client=client, access_token_file=str(file)) as heard:
                await heard.until(lambda heard: heard.hub.connected)
                await known(hub, redirected)
                await post(hub, "/control/rotate-token?value=NEW")
                file.write_text("NEW", encoding="utf-8")
                await post(hub, "/control/abort")
                await heard.until(lambda heard: len(heard.named("connected")) == 2)

    asyncio.run(scene())
