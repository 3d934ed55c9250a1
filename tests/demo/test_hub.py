import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
import websockets
from pysignalr.client import SignalRClient
from signalrcore.hub_connection_builder import HubConnectionBuilder

from code_evolver.core import signalr
from code_evolver.demo.faults import CLASSIC_ANSWER, odd_records
from code_evolver.demo.hub import DemoHub
from code_evolver.demo.member import AskFailed
from tests.demo.client import PlainClient, connected

TASK = {"id": "t1", "taskName": "Summarize notes", "llmTaskType": "summarize"}


def on_hub(scene: Callable[[DemoHub], Awaitable[None]], **settings: Any) -> None:
    async def play() -> None:
        async with asyncio.timeout(30), DemoHub(**settings) as hub:
            await scene(hub)

    asyncio.run(play())


async def negotiate(hub: DemoHub, seconds: float = 5) -> httpx.Response:
    async with httpx.AsyncClient(timeout=seconds) as http:
        return await http.post(hub.url + "/negotiate?negotiateVersion=1")


async def code_of(client: PlainClient) -> int:
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await client.raw()
    return closed.value.rcvd.code if closed.value.rcvd else 1006


def test_a_push_reaches_every_client_and_says_who_is_there():
    async def scene(hub: DemoHub) -> None:
        async with connected(hub.url) as one, connected(hub.url) as two:
            await hub.wait_for_clients(2)
            await hub.push("ctx", TASK, method="NewTask")
            for client in (one, two):
                assert await client.next() == {"type": 1, "target": "NewTask", "arguments": ["ctx", TASK]}

    on_hub(scene)


def test_an_ask_returns_the_answer_and_fails_where_there_is_none():
    async def scene(hub: DemoHub) -> None:
        with pytest.raises(AskFailed, match="Nobody"):
            await hub.ask(TASK)
        async with connected(hub.url) as client:
            await hub.wait_for_clients()
            asking = asyncio.create_task(hub.ask(TASK, timeout=5))
            record = await client.next()
            await client.send(signalr.completion(record["invocationId"], 5))
            assert await asking == 5
            with pytest.raises(TimeoutError):
                await hub.ask(TASK, timeout=0.05)
            await client.next()
            asking = asyncio.create_task(hub.ask(TASK, timeout=5))
            await client.next()
        with pytest.raises(AskFailed, match="went away"):
            await asking

    on_hub(scene)


def test_a_task_of_the_outbox_survives_a_client_that_went_away():
    async def scene(hub: DemoHub) -> None:
        hub.outbox([TASK], retry=0.01)
        async with connected(hub.url) as client:
            await client.next()
        async with connected(hub.url) as client:
            record = await client.next()
            await client.send(signalr.completion(record["invocationId"], {"received": True}))
            while hub.outgoing:  # noqa: ASYNC110 - bounded by the scene; the hub tells nobody
                await asyncio.sleep(0.01)
        assert (hub.accepted, hub.attempts) == (1, 2)

    on_hub(scene)


def test_wrong_negotiations_on_demand():
    async def scene(hub: DemoHub) -> None:
        hub.faults.set({"negotiate_status": 503, "headers": {"Retry-After": "3"}, "first": 2})
        for _ in range(2):
            answer = await negotiate(hub)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
        assert (await negotiate(hub)).status_code == 200
        hub.faults.set({"negotiate": "html"})
        assert (await negotiate(hub)).headers["content-type"] == "text/html"
        hub.faults.set({"negotiate": "classic"})
        assert (await negotiate(hub)).json() == CLASSIC_ANSWER
        hub.faults.set({"negotiate": "redirect_loop"})
        assert (await negotiate(hub)).json()["url"] == hub.url
        hub.faults.set({"negotiate": "error"})
        assert "refused" in (await negotiate(hub)).json()["error"]
        hub.faults.set({"negotiate": "cut"})
        with pytest.raises(httpx.RemoteProtocolError):
            await negotiate(hub)
        hub.faults.set({"negotiate": "hang"})
        with pytest.raises(httpx.ReadTimeout):
            await negotiate(hub, 0.2)
        assert hub.reached["negotiate"] == 9

    on_hub(scene)


def test_wrong_upgrades_and_handshakes_on_demand():
    async def scene(hub: DemoHub) -> None:
        hub.faults.set({"upgrade_status": 403})
        with pytest.raises(websockets.InvalidStatus):
            async with connected(hub.url):
                pass
        hub.faults.set({"upgrade_hang": True})
        with pytest.raises(TimeoutError):
            await websockets.connect(hub.url.replace("http", "ws"), open_timeout=0.2, proxy=None)
        hub.faults.set({"handshake_error": "No."})
        async with connected(hub.url) as client:
            assert await client.next() == {"error": "No."}
            assert await code_of(client) == 1000
        hub.faults.set({"handshake_drop": True})
        with pytest.raises(websockets.ConnectionClosed):
            async with connected(hub.url):
                pass
        hub.faults.set({"handshake_hang": True})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), connected(hub.url):
                pass
        hub.faults.set({})
        async with connected(hub.url) as client:
            assert (await client.invoke("Echo", "well"))["result"] == "well"

    on_hub(scene)


def test_close_records_resets_and_drops_on_demand():
    async def scene(hub: DemoHub) -> None:
        async with connected(hub.url) as client:
            await hub.wait_for_clients()
            await hub.close_all("later", allow_reconnect=True)
            assert await client.next() == {"type": 7, "error": "later", "allowReconnect": True}
            assert await code_of(client) == 1000
        async with connected(hub.url) as client:
            await hub.wait_for_clients()
            hub.reset_all()
            assert await code_of(client) == 1006

    on_hub(scene)


def test_a_closing_hub_drops_its_clients_without_a_word():
    async def play() -> None:
        async with asyncio.timeout(30):
            async with DemoHub() as hub:
                client = await connected(hub.url).__aenter__()
                await hub.wait_for_clients()
            assert await code_of(client) == 1006

    asyncio.run(play())


def test_pings_with_payload_fragments_and_split_records_on_demand():
    async def scene(hub: DemoHub) -> None:
        record = signalr.encode(signalr.invocation("TaskHub", [{"id": "ä😀"}]))
        async with connected(hub.url) as client:
            await hub.wait_for_clients()
            await hub.ping_all(b"hb-17")
            await hub.send_raw(record[:40], record[40:], fragments=True)
            assert (await client.next())["arguments"] == [{"id": "ä😀"}]
            await hub.send_raw(record[:20], record[20:])
            assert (await client.next())["arguments"] == [{"id": "ä😀"}]
            assert (await client.invoke("Echo", "alive"))["result"] == "alive"

    on_hub(scene)


def test_odd_records_arrive_byte_for_byte():
    async def scene(hub: DemoHub) -> None:
        for name, record in odd_records(TASK).items():
            if name == "broken UTF-8":
                continue  # no client reads on after that frame
            async with connected(hub.url) as client:
                await hub.wait_for_clients()
                await hub.send_raw(record)
                assert await client.raw() + b"\x1e" == record

    on_hub(scene)


def test_a_frozen_hub_says_nothing_and_goes_on_later():
    async def scene(hub: DemoHub) -> None:
        async with connected(hub.url) as client:
            await hub.wait_for_clients()
            hub.freeze()
            with suppress(TimeoutError):
                while True:
                    await client.raw(0.05)  # what was sent before
            await client.send(signalr.invocation("Echo", ["x"], "1"))
            await hub.push(TASK)
            with pytest.raises(TimeoutError):
                await client.raw(0.3)
            hub.freeze(False)
            assert (await client.next())["result"] == "x"

    on_hub(scene, keep_alive=0.1)


def test_faults_are_set_over_http_and_unknown_ones_refused():
    async def scene(hub: DemoHub) -> None:
        async with httpx.AsyncClient(base_url=hub.base) as http:
            assert (await http.post("/control/fault", json={"negotiate_status": 500})).status_code == 200
            assert (await negotiate(hub)).status_code == 500
            answer = await http.post("/control/fault", json={"nonsense": 1})
            assert (answer.status_code, "nonsense" in answer.text) == (400, True)
            assert (await http.post("/control/fault", content=b"{")).status_code == 400
            assert (await http.post("/control/send-args", json={})).status_code == 400
            assert (await http.post("/control/close?how=x")).status_code == 400
            assert (await http.post("/control/raw", json=["ł"])).status_code == 400
            assert (await http.post("/control/nothing")).status_code == 404
            assert (await http.post("/control/push?count=x")).status_code == 400

    on_hub(scene)


def test_connections_are_ended_and_bytes_sent_over_http_and_stages_counted():
    async def scene(hub: DemoHub) -> None:
        async with httpx.AsyncClient(base_url=hub.base) as http:
            for query, code in (
                ("how=record&allowReconnect=true&error=x", 1000),
                ("how=drop", 1006),
                ("how=reset", 1006),
            ):
                async with connected(hub.url) as client:
                    await hub.wait_for_clients()
                    await http.post("/control/raw?fragments=true&ping=hb", json=['{"a":"\xc3', '\xa4"}\x1e'])
                    assert await client.next() == {"a": "ä"}
                    await http.post(f"/control/close?{query}")
                    if code == 1000:
                        assert await client.next() == {"type": 7, "error": "x", "allowReconnect": True}
                    assert await code_of(client) == code
            assert (await http.get("/control/reached")).json() == {"negotiate": 3, "upgrade": 3, "handshake": 3}

    on_hub(scene)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /taskhub/negotiate HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"POST /taskhub/negotiate HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"413"),
        (b"GET /taskhub/negotiate HTTP/1.1\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", b"431"),
        (b"GET /taskhub HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", b"426"),
        (b"", b""),
    ],
)
def test_what_is_no_request_is_answered_and_costs_nothing(sent, status):
    async def scene(hub: DemoHub) -> None:
        reader, writer = await asyncio.open_connection(hub.host, hub.port)
        writer.write(sent)
        writer.write_eof()
        answer = await reader.read(200)
        assert answer[9:12] == status
        writer.close()
        assert (await negotiate(hub)).status_code == 200

    on_hub(scene)


def test_signalrcore_works_on_it():
    got: list[Any] = []
    opened, here = threading.Event(), threading.Event()

    def take(arguments: list[Any]) -> None:
        got.extend(arguments)
        here.set()

    def client(url: str) -> Any:
        made = HubConnectionBuilder().with_url(url).build()
        made.on("TaskHub", take)
        made.on_open(opened.set)
        made.start()
        return made

    async def scene(hub: DemoHub) -> None:
        connection = await asyncio.to_thread(client, hub.url)
        assert await asyncio.to_thread(opened.wait, 10)
        await hub.wait_for_clients()
        await hub.push(TASK)
        assert await asyncio.to_thread(here.wait, 10)
        assert got == [TASK]
        connection.send("TaskFinished", [{"taskId": "t1"}])
        async with asyncio.timeout(10):
            while not hub.received:  # noqa: ASYNC110 - bounded above; the hub tells nobody
                await asyncio.sleep(0.01)
        assert hub.received[0]["method"] == "TaskFinished"
        await hub.close_all()  # its stop() hangs on an idle connection: let the hub end it
        await asyncio.to_thread(connection.stop)

    on_hub(scene)


def test_pysignalr_works_on_it():
    async def scene(hub: DemoHub) -> None:
        got: asyncio.Queue[Any] = asyncio.Queue()
        client = SignalRClient(hub.url)
        client.on("TaskHub", got.put)
        answers: asyncio.Queue[Any] = asyncio.Queue()

        async def opened() -> None:
            await client.send("Echo", ["hi"], answers.put)  # type: ignore[list-item]

        client.on_open(opened)
        running = asyncio.create_task(client.run())
        await hub.wait_for_clients()
        await hub.push(TASK)
        assert await got.get() == [TASK]
        assert (await answers.get()).result == "hi"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    on_hub(scene)


def test_it_pushes_fast_enough_for_measurements():
    async def scene(hub: DemoHub) -> None:
        async with connected(hub.url) as client, httpx.AsyncClient(base_url=hub.base, timeout=30) as http:
            began = time.monotonic()
            pushing = asyncio.create_task(http.post("/control/push?count=5000&rate=0&batch=50"))
            seen = 0
            while seen < 5000:
                seen += len(json.loads(await client.raw())["arguments"][0]["tasks"])
            await pushing
            assert time.monotonic() - began < 10

    on_hub(scene)
