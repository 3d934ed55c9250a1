"""One suite, two hubs: what the demo hub says is what the real hub says. Driven over HTTP, listened to with websockets."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import websockets

from code_evolver.core import signalr
from tests.demo.client import PlainClient, connected
from tests.hub_stage import Stage

TASK = {"id": "task-1", "taskName": "Summarize héllo 😀", "llmTaskType": "summarize", "content": "x"}


@asynccontextmanager
async def known(stage: Stage) -> AsyncIterator[PlainClient]:
    """A client that the hub can send to: it knows itself connected a moment before."""
    async with connected(stage.url) as client:
        await stage.until(lambda: stage.get("connections"))
        yield client


def arguments(record: dict[str, Any]) -> Any:
    assert record["type"] == signalr.INVOCATION
    return record["arguments"]


def test_a_pushed_task_arrives_as_it_was_sent(on_stage):
    async def scene(stage: Stage) -> None:
        async with known(stage) as client:
            assert (await stage.post("send?method=TaskHub", TASK)).status_code == 200
            assert await client.next() == {"type": 1, "target": "TaskHub", "arguments": [TASK]}

    on_stage(scene)


def test_several_arguments_arrive_in_order(on_stage):
    async def scene(stage: Stage) -> None:
        async with known(stage) as client:
            await stage.post("send-args?method=Other", ["LLMTasks", {"tasks": [TASK]}, None, 1.5, True])
            record = await client.next()
            assert record["target"] == "Other"
            assert arguments(record) == ["LLMTasks", {"tasks": [TASK]}, None, 1.5, True]

    on_stage(scene)


def test_a_group_hears_only_what_is_for_it(on_stage):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url) as client:
            assert (await client.invoke("SubscribeToContext", "Mine"))["result"] is None
            await stage.post("send?method=TaskHub&group=Other", {"id": "no"})
            await stage.post("mock?context=Other", {"id": "no"})
            await stage.post("send?method=TaskHub&group=Mine", {"id": "yes"})
            assert arguments(await client.next()) == [{"id": "yes"}]
            await stage.post("mock?context=Mine", [TASK])
            record = await client.next()
            envelope = arguments(record)[0]
            assert record["target"] == "DataUpdate"
            assert isinstance(envelope.pop("timestamp"), int)
            assert envelope == {"context": "Mine", "method": "GET", "path": "/tasks", "data": [TASK]}

    on_stage(scene)


def test_the_mock_hub_greets_and_tells_who_subscribed(on_stage):
    async def scene(stage: Stage) -> None:
        async with connected(stage.base + "/hub/mock") as client:
            record = await client.next()
            assert (record["target"], set(arguments(record)[0])) == ("Connected", {"connectionId", "message"})
            await client.send(signalr.invocation("SubscribeToContext", ["LLMTasks"]))
            record = await client.next()
            assert record["target"] == "Subscribed"
            assert arguments(record) == [{"context": "LLMTasks", "message": "Subscribed to LLMTasks"}]

    on_stage(scene)


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1] * 7), (3, [3, 3, 1])])
def test_a_push_sends_numbered_tasks_of_mixed_types_in_batches(on_stage, batch, sizes):
    async def scene(stage: Stage) -> None:
        async with known(stage) as client:
            answer = (await stage.post(f"push?count=7&rate=0&batch={batch}&type=mixed&padding=4&start=2")).json()
            assert answer["count"] == 7
            messages = [arguments(await client.next())[0] for _ in sizes]
            batches = [message["tasks"] if batch > 1 else [message] for message in messages]
            assert [len(found) for found in batches] == sizes
            tasks = [task for found in batches for task in found]
            assert [task["id"] for task in tasks] == [f"task-{number}" for number in range(2, 9)]
            assert {task["llmTaskType"] for task in tasks} == {"summarize", "generate", "translate"}
            assert all(task["content"] == "xxxx" and task["sentAt"] > 1e18 for task in tasks)

    on_stage(scene)


def test_a_push_keeps_its_rate(on_stage):
    async def scene(stage: Stage) -> None:
        async with known(stage):
            answer = (await stage.post("push?count=10&rate=50&batch=1&type=generate")).json()
            assert 0.15 < answer["seconds"] < 3

    on_stage(scene)


def test_a_call_that_wants_a_result_gets_the_clients_answer(on_stage):
    async def scene(stage: Stage) -> None:
        async with known(stage) as client:
            asking = asyncio.create_task(stage.post("ask?method=TaskHub&timeout=5", TASK))
            record = await client.next()
            assert record["invocationId"].startswith("s")
            assert arguments(record) == [TASK]
            await client.send(signalr.completion(record["invocationId"], {"received": True}))
            answer = await asking
            assert (answer.status_code, answer.json()["answer"]) == (200, {"received": True})

    on_stage(scene)


def test_a_call_that_the_client_refuses_or_leaves_unanswered_is_an_error_of_the_hub(on_stage):
    async def scene(stage: Stage) -> None:
        async with known(stage) as client:
            asking = asyncio.create_task(stage.post("ask?timeout=5", TASK))
            record = await client.next()
            await client.send(signalr.completion_error(record["invocationId"], "busy"))
            answer = await asking
            assert (answer.status_code, answer.json()) == (504, {"error": "HubException", "message": "busy"})
            answer = await stage.post("ask?timeout=1", TASK)
            assert answer.status_code == 504
            assert "canceled by the server" in answer.json()["message"]

    on_stage(scene)


def test_the_outbox_hands_a_task_out_until_it_is_received(on_stage):
    async def scene(stage: Stage) -> None:
        before = await stage.get("outbox")
        async with connected(stage.url) as client:
            await stage.post("outbox", [{"id": "o1"}, {"id": "o2"}])
            seen = []
            for answer in ({"received": False}, None, {"received": True}, {"received": True}):
                record = await client.next()
                seen.append(arguments(record)[0]["id"])
                number = record["invocationId"]
                await client.send(
                    signalr.completion(number, answer) if answer else signalr.completion_error(number, "no")
                )

            async def done() -> bool:
                return bool((await stage.get("outbox"))["pending"] == 0)

            await stage.until(done)
            after = await stage.get("outbox")
            assert after["accepted"] - before["accepted"] == 2
            assert after["attempts"] - before["attempts"] == 4
            assert set(seen) == {"o1", "o2"}

    on_stage(scene)


CALLS: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Echo", ["héllo \u0001 😀"], {"result": "héllo \u0001 😀"}),
    ("echo", ["a"], {"result": "a"}),
    ("Fail", ["boom"], {"error": "An unexpected error occurred invoking 'Fail' on the server. HubException: boom"}),
    ("Nope", [], {"error": "Failed to invoke 'Nope' due to an error on the server. HubException: Method does not exist."}),
    ("Echo", [], {"error": "Failed to invoke 'Echo' due to an error on the server. InvalidDataException: Invocation provides 0 "
                           "argument(s) but target expects 1."}),
    ("Echo", [1, 2], {"error": "Failed to invoke 'Echo' due to an error on the server. InvalidDataException: "}),
    ("StreamTasks", [1, 1], {"error": "The client attempted to invoke the streaming 'StreamTasks' method with a non-streaming "
                                      "invocation."}),
    ("TaskFinished", [{"taskId": "1"}], {"result": None}),
]  # fmt: skip


@pytest.mark.parametrize(("target", "given", "wanted"), CALLS)
def test_hub_methods_answer_alike(on_stage, target, given, wanted):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url) as client:
            record = await client.invoke(target, *given)
            if "error" in wanted:
                assert record["error"].startswith(wanted["error"])
            else:
                assert record["result"] == wanted["result"]

    on_stage(scene)


def test_what_clients_called_can_be_read(on_stage):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url) as client:
            await client.invoke("TaskFinished", {"taskId": "1"})
            (call,) = await stage.get("received")
            assert (call["method"], call["arguments"]) == ("TaskFinished", [{"taskId": "1"}])
            await stage.post("clear")
            assert await stage.get("received") == []

    on_stage(scene)


def test_pending_tasks_are_given_to_who_asks(on_stage):
    async def scene(stage: Stage) -> None:
        await stage.post("pending", [TASK])
        async with connected(stage.url) as client:
            assert (await client.invoke("PendingTasks"))["result"] == [TASK]
        await stage.post("pending", [])

    on_stage(scene)


def test_a_stream_gives_its_items_and_ends(on_stage):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url) as client:
            await client.send(signalr.stream_invocation("StreamTasks", [3, 5], "7"))
            for number in range(3):
                record = await client.next()
                assert (record["type"], record["invocationId"], record["item"]["id"]) == (2, "7", f"stream-{number}")
            assert await client.next() == {"type": 3, "invocationId": "7"}

    on_stage(scene)


def test_a_stream_that_is_no_longer_wanted_ends(on_stage):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url) as client:
            await client.send(signalr.stream_invocation("StreamTasks", [100000, 5], "8"))
            assert (await client.next())["type"] == signalr.STREAM_ITEM
            await client.send(signalr.cancel_invocation("8"))
            while (record := await client.next())["type"] == signalr.STREAM_ITEM:
                assert record["invocationId"] == "8"
            assert record == {"type": 3, "invocationId": "8"}

    on_stage(scene)


async def end_of(client: PlainClient) -> int:
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await client.next()
    return closed.value.rcvd.code if closed.value.rcvd else 1006


def test_an_abort_is_a_close_record_and_an_orderly_close(on_stage):
    async def scene(stage: Stage) -> None:
        async with known(stage) as client:
            await stage.post("abort")
            assert await client.next() == {"type": 7}
            assert await end_of(client) == 1000

    on_stage(scene)


def test_a_client_that_pinged_once_and_fell_silent_is_closed(on_stage):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url) as client:
            await client.send(signalr.ping())
            record = await client.next()
            assert (record["type"], record["allowReconnect"]) == (7, True)
            assert "ClientTimeoutInterval" in record["error"]
            assert await end_of(client) == 1000

    on_stage(scene)


def test_an_idle_hub_pings_and_keeps_a_client_that_never_pinged(on_stage):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url) as client:
            for _ in range(3):
                assert json.loads(await client.raw()) == {"type": 6}

    on_stage(scene)


def test_a_record_of_an_unknown_type_gets_no_answer_and_does_not_end_the_connection(on_stage):
    async def scene(stage: Stage) -> None:
        async with known(stage) as client:
            await client.send({"type": 99})
            await stage.post("send?method=TaskHub", TASK)
            assert arguments(await client.next()) == [TASK]

    on_stage(scene)


@pytest.mark.parametrize("record", ['{"type":1,', "hello", "[1,2]", "{}", '{"type":1}', '{"type":1,"target":"Echo"}'])
def test_a_record_that_cannot_be_read_closes_the_connection_and_lets_the_client_come_back(on_stage, record):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url) as client:
            await client.socket.send(record + "\x1e")
            answer = await client.next()
            assert (answer["type"], answer["allowReconnect"]) == (7, True)
            assert answer["error"].startswith("Connection closed with an error. ")
            assert await end_of(client) == 1000

    on_stage(scene)


def test_a_record_over_the_limit_closes_the_connection(on_stage):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url) as client:
            await client.send(signalr.invocation("Echo", ["x" * 40_000], "1"))
            record = await client.next()
            assert (record["type"], record["allowReconnect"]) == (7, True)
            assert "maximum message size of 32768B" in record["error"]
            assert await end_of(client) == 1000

    on_stage(scene)


@pytest.mark.parametrize(
    ("handshake", "error"),
    [
        ('{"protocol":"xml","version":1}', "The protocol 'xml' is not supported."),
        ('{"protocol":"json","version":99}', "The server does not support version 99 of the 'json' protocol."),
        ("hello", "An unexpected error occurred during connection handshake."),
    ],
)
def test_a_wrong_handshake_is_answered_with_an_error_and_closed(on_stage, handshake, error):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url, handshake=handshake) as client:
            assert (await client.next())["error"].startswith(error)
            assert await end_of(client) == 1000

    on_stage(scene)


def test_records_in_the_frame_of_the_handshake_count(on_stage):
    async def scene(stage: Stage) -> None:
        call = signalr.encode(signalr.invocation("Echo", ["early"], "1")).decode().rstrip("\x1e")
        async with connected(stage.url, handshake='{"protocol":"json","version":1}\x1e' + call) as client:
            assert (await client.next())["result"] == "early"

    on_stage(scene)


def test_negotiation_knows_versions_and_paths(on_stage):
    async def scene(stage: Stage) -> None:
        async def negotiate(query: str, path: str = "/taskhub") -> httpx.Response:
            return await stage.http.post(f"{path}/negotiate{query}")

        assert "connectionToken" not in (await negotiate("")).json()
        assert "connectionToken" not in (await negotiate("?negotiateVersion=0")).json()
        found = (await negotiate("?negotiateVersion=7")).json()
        assert (found["negotiateVersion"], found["connectionToken"] != found["connectionId"]) == (1, True)
        assert "WebSockets" in [offer["transport"] for offer in found["availableTransports"]]
        assert (await negotiate("", "/nothing")).status_code == 404
        assert (await stage.http.get("/taskhub")).status_code == 400
        assert (await stage.http.get("/control/send")).status_code == 405

    on_stage(scene)


def test_an_unknown_connection_id_is_not_found(on_stage):
    async def scene(stage: Stage) -> None:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(stage.url.replace("http", "ws") + "?id=nope", proxy=None)
        assert refused.value.response.status_code == 404

    on_stage(scene)


def test_a_secure_hub_wants_its_token_and_a_redirect_brings_it(on_stage):
    async def scene(stage: Stage) -> None:
        secure = stage.base + "/secure/taskhub"
        for headers in ({}, {"Authorization": "Bearer WRONG"}):
            assert (await stage.http.post(secure + "/negotiate", headers=headers)).status_code == 401
        redirect = (await stage.http.post("/redirect/negotiate?negotiateVersion=1")).json()
        assert redirect == {"url": secure, "accessToken": "SECRET"}
        async with connected(secure, token="SECRET") as client:
            assert (await client.invoke("Echo", "in"))["result"] == "in"
        assert {"WRONG", "SECRET"} <= set(json.dumps(await stage.get("tokens")).replace('"', " ").split())

    on_stage(scene)


def test_connections_are_listed_while_they_last(on_stage):
    async def scene(stage: Stage) -> None:
        async with connected(stage.url):
            (found,) = await stage.until(lambda: stage.get("connections"))
            assert (found["transport"], found["protocol"]) == ("WebSockets", "json")
            assert "websockets" in found["userAgent"] or sys.version.split()[0] in found["userAgent"]
        await stage.until(stage.empty)

    on_stage(scene)
