"""A stop in each state of the connection ends the run within a second, with its result, and leaves nobody behind."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.acceptance_kit import adds_up, connector, environment, hub, needs_taskhub, until
from tests.dying_kit import Silent, status
from tests.fault_walk import stamp
from tests.ports import free_port
from tests.stopping_kit import AT_ONCE, timed

pytest.importorskip("pysignalr")
pytestmark = [
    pytest.mark.usefixtures("nobody_is_left_behind"),
    pytest.mark.skipif(sys.platform != "linux", reason="POSIX signals, /proc"),
]
FLOODED = 1.5
"""Seconds to the end of a flooded run: the hub that floods keeps the processors busy, and a batch that was read is stored."""
CLIENTS = pytest.mark.parametrize("client", ["signalrcore", "pysignalr"])


@contextlib.contextmanager
def listening(url, workspace, client="auto", **settings):
    """A connector whose work is reception alone."""
    given = {"hub_url": url, "workspace": str(workspace), "client": client, "auto_generate_workflows": False}
    door = connector({**given, **settings})
    try:
        yield door
    finally:
        door.kill()


def stopped_at_once(door, number=signal.SIGINT, limit=AT_ONCE):
    with timed(limit):
        door.signal(number)
        door.process.wait(60)
    code, result = door.end()
    assert (code, result["success"]) == (0, True), result
    assert adds_up(result)
    assert [one["event"] for one in door.events[-1:]] == ["stopped"]
    return result


CONNECTING = {
    "negotiate": {"negotiate": "hang"},
    "upgrade": {"upgrade_hang": True},
    "handshake": {"handshake_hang": True},
}


@CLIENTS
@pytest.mark.parametrize("stage", CONNECTING)
def test_a_stop_while_a_stage_of_connecting_hangs(stage, client, tmp_path):
    with hub("demo") as server:
        server.post("fault", CONNECTING[stage])
        with listening(server.url, tmp_path, client) as door:
            until(lambda: server.get("reached").get(stage), f"the connector to hang in {stage}")
            stopped_at_once(door)
            assert not door.named("connection_failed")


@contextlib.contextmanager
def full_backlog():
    """A port whose connections are never accepted: the very connect hangs. Gives it, and the ports that we knock from."""
    waiting = socket.socket()
    waiting.bind(("127.0.0.1", 0))
    waiting.listen(0)
    held = []
    for _ in range(3):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(waiting.getsockname())
        held.append(one)
    try:
        yield waiting.getsockname()[1], {one.getsockname()[1] for one in held}
    finally:
        for one in [*held, waiting]:
            one.close()


def knocking(port):
    """From which ports of this machine somebody waits for an answer of the port (state 02, SYN sent)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "02"}


def test_a_stop_while_the_very_connect_hangs(tmp_path):
    with full_backlog() as (port, ours), listening(f"http://127.0.0.1:{port}/taskhub", tmp_path) as door:
        until(lambda: knocking(port) - ours, "the connector to knock")
        stopped_at_once(door)


def test_a_stop_while_nobody_answers_at_all(tmp_path):
    server = Silent()
    try:
        with listening(f"{server.url}/taskhub", tmp_path) as door:
            assert server.asked.wait(60)
            stopped_at_once(door, signal.SIGTERM)
    finally:
        server.close()


def test_a_stop_while_waiting_for_the_next_attempt(tmp_path):
    with listening(f"http://127.0.0.1:{free_port()}/taskhub", tmp_path, max_reconnect_attempts=0) as door:
        door.wait_event("reconnecting")
        stopped_at_once(door)


@CLIENTS
@pytest.mark.parametrize("how", ["killed", "closed"])
def test_a_stop_while_reconnecting(how, client, tmp_path):
    with hub("demo") as server, listening(server.url, tmp_path, client, report_method="TaskFinished") as door:
        server.wait_for_client()
        if how == "killed":
            server.stop()
        else:
            server.post("abort")  # without allowReconnect: the pause is 5 s at least
        door.wait_event("reconnecting")
        stopped_at_once(door)
        assert len(door.named("connected")) == 1


@needs_taskhub
@pytest.mark.hub
@CLIENTS
def test_a_stop_while_connected_and_idle(client, tmp_path):
    with hub("real") as server, listening(server.url, tmp_path, client, report_method="TaskFinished") as door:
        server.wait_for_client()
        door.wait_event("connected")
        stopped_at_once(door)
        until(lambda: not server.get("connections"), "the hub to see that we left")


@needs_taskhub
@pytest.mark.hub
@CLIENTS
def test_a_stop_in_the_middle_of_a_flood(client, tmp_path):
    """100,000 messages are on their way: reception ends within a second, then what was read is stored, and told."""
    with hub("real") as server, listening(server.url, tmp_path, client) as door:
        server.wait_for_client()

        def flood():
            with contextlib.suppress(httpx.HTTPError):  # the hub is killed at the end
                server.post("push", count=100_000, rate=0, batch=1)

        pushing = threading.Thread(target=flood)
        pushing.start()
        door.wait_event("task_queued", 500)
        asked = time.time()
        result = stopped_at_once(door, limit=FLOODED)
        assert stamp(door.named("disconnected")[0]) - asked < AT_ONCE
        found = status(tmp_path)
        assert 500 <= result["tasks_received"] < 100_000
        assert result["tasks_received"] == result["tasks_pending"] == found["received"] == found["pending"]
        server.stop()
        pushing.join(60)


@needs_taskhub
@pytest.mark.hub
def test_a_record_of_very_many_elements_costs_neither_the_connection_nor_a_stop_within_a_second(tmp_path):
    with (
        hub("real", "--keepalive", "5", "--client-timeout", "10") as server,
        listening(server.url, tmp_path, keep_alive_seconds=3) as door,
    ):
        server.wait_for_client()
        server.post("send", [1] * 1_000_000, method="TaskHub")
        door.wait_event("message_received")
        assert not door.named("disconnected")
        before = seconds(door.process.pid)
        server.post("send", [1] * 5_000_000, method="TaskHub")
        until(lambda: seconds(door.process.pid) > before + 0.5, "it to be read")
        result = stopped_at_once(door)
    assert result["rejected"] == 1_000_000
    found = status(tmp_path)
    assert (found["rejected"], found["dead"]) == (1_000_000, 2)


def seconds(pid):
    """Processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_stop_before_anything_is_connected(tmp_path):
    with listening(f"http://127.0.0.1:{free_port()}/x", tmp_path) as door:
        door.wait_event("starting")
        stopped_at_once(door, signal.SIGTERM)


def test_a_stop_while_a_required_model_is_waited_for(tmp_path):
    server = Silent()
    try:
        env = environment(CODE_EVOLVER_LLM_URL=f"{server.url}/v1", CODE_EVOLVER_LLM_MODEL="slow")
        settings = {"hub_url": f"http://127.0.0.1:{free_port()}/x", "workspace": str(tmp_path), "llm": "required"}
        door = connector(settings, env=env)
        try:
            until(server.asked.is_set, "the model to be asked")
            stopped_at_once(door, signal.SIGTERM)
        finally:
            door.kill()
    finally:
        server.close()


def test_two_requests_that_arrive_as_one_are_two(tmp_path):
    """Two signals wait for a process that is frozen; when it goes on, both are there at once."""
    with hub("demo") as server:
        server.post("fault", CONNECTING["negotiate"])
        with listening(server.url, tmp_path) as door:
            until(lambda: server.get("reached").get("negotiate"), "the connector to ask")
            for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM):
                door.signal(number)
            with timed(AT_ONCE):
                door.signal(signal.SIGCONT)
                door.process.wait(60)
            code, result = door.end()
    assert (code, result["success"], result["error"]["code"]) == (130, False, "interrupted")
    assert adds_up(result)
