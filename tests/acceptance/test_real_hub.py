"""The connector as a process on the real hub, with each client library: what only both ends together can show."""

import signal
import socket
import sys
from pathlib import Path

import pytest

from code_evolver.edges.queue_sqlite import read_tasks
from tests.acceptance_kit import CLI, ENGLISH, TASKHUB, Door, Hub, adds_up, connector, hub, needs_taskhub, run, until
from tests.ports import free_port

pytest.importorskip("pysignalr")
pytestmark = [pytest.mark.hub, needs_taskhub, pytest.mark.parametrize("client", ["signalrcore", "pysignalr"])]
MB = 1024 * 1024
LARGEST = 16 * MB
"""max_message_bytes as it is set by default."""


def collecting(server, workspace, client, **more):
    """A connector that takes tasks in and does nothing else."""
    settings = {"hub_url": server.url, "workspace": str(workspace), "client": client, "auto_generate_workflows": False}
    door = connector({**settings, **more})
    assert door.wait_event("connected")[0]["client"] == client
    server.wait_for_client()
    return door


def dead_letters(workspace):
    return run([*CLI, "dead", "list", "--workspace", str(workspace), "--json"])[1]["dead"]


def memory(door):
    """Megabytes that the process has had at most."""
    lines = Path(f"/proc/{door.process.pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_flood_of_100_000_is_durable_to_the_last_and_does_not_stay_in_memory(client, tmp_path):
    """130 MB, sent faster than they can be stored: the hub has to be held up."""

    def push(start):
        server.post("push", count=10_000, rate=0, batch=1, type="mixed", padding=1000, start=start)

    def queued(count):
        wanted = f'"queue_size":{count}}}'
        until(lambda: any(wanted in line for line in door.lines[-500:]), f"{count} tasks", 100)

    with hub("real") as server:
        door = collecting(server, tmp_path, client)
        try:
            push(0)
            queued(10_000)
            before = memory(door)
            for start in range(10_000, 100_000, 10_000):
                push(start)
            queued(100_000)
            after = memory(door)
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert (code, result["tasks_received"], result["tasks_pending"]) == (0, 100_000, 100_000)
    assert len(door.named("connected")) == 1
    kept = {row.id for row in read_tasks(tmp_path / ".code_evolver" / "queue.db", 200_000)}
    assert kept == {f"task-{number}" for number in range(100_000)}
    assert after - before < 60, "about 30 for what may wait; 90 where nothing holds the hub up"


def test_a_stream_is_opened_again_on_a_hub_that_was_restarted_and_what_comes_again_is_known(client, tmp_path):
    stream = [{"method": "StreamTasks", "arguments": [3, 5]}]
    port = free_port()
    with hub("real", port=port) as first:
        door = collecting(first, tmp_path, client, stream=stream)
        try:
            door.wait_event("task_queued", 3)
            first.stop()
            door.wait_event("disconnected")
            with hub("real", port=port):
                door.wait_event("task_duplicate", 3)
                door.signal(signal.SIGTERM)
                code, result = door.end()
        finally:
            door.kill()
    assert code == 0, result
    assert (result["tasks_received"], result["duplicates"], result["rejected"]) == (3, 3, 0)
    assert len(door.named("connected")) == 2


def test_answers_stay_under_the_hubs_32_kb_and_an_element_that_is_no_task_is_not_sent_for_ever(client, tmp_path):
    def many(count):
        return {"tasks": [{"id": f"{count}-{n:06}", "taskName": "Summarize it", "content": "."} for n in range(count)]}

    with hub("real") as server:
        door = collecting(server, tmp_path, client)
        try:
            connections = server.get("connections")
            answer = server.post("ask", many(5000), method="TaskHub", timeout=25)["answer"]
            assert answer == {
                "received": True, "accepted": 5000, "duplicates": 0, "rejected": 0, "errors": 0, "ids_omitted": True,
            }  # fmt: skip
            answer = server.post("ask", many(900), method="TaskHub", timeout=25)["answer"]
            assert len(answer["accepted"]) == 900, "an answer of 10 KB names every task"
            for times in (1, 2, 3):
                server.post("outbox", [42], method="TaskHub")  # as a hub does that was restarted
                until(lambda: server.get("outbox")["pending"] == 0, "the outbox to empty")
                assert server.get("outbox") == {"pending": 0, "accepted": times, "attempts": times}
            assert server.get("connections") == connections
        finally:
            door.kill()
    (letter,) = dead_letters(tmp_path)
    assert (letter["code"], letter["count"]) == ("not_a_task", 3)
    assert [event["reason"] for event in door.named("task_rejected")] == [letter["reason"]] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_messages_of_2_mb_are_kept_and_those_of_20_mb_leave_no_body_in_memory_or_queue(client, tmp_path):
    with hub("real") as server:
        door = collecting(server, tmp_path, client)
        try:
            before = memory(door)
            server.post("push", count=5, rate=0, batch=1, padding=2_000_000)
            door.wait_event("task_queued", 5)
            between = memory(door)
            server.post("push", count=2, rate=0, batch=1, padding=20_000_000, start=10)
            server.post("send", {"id": "after", "taskName": "Summarize it", "content": "."}, method="TaskHub")
            door.wait_event("task_queued", 6)
            after = memory(door)
            asked = {"id": "asked", "taskName": "Summarize it", "content": "x" * 20_000_000}
            server.post("outbox", [asked], method="TaskHub")
            until(lambda: server.get("outbox")["pending"] == 0, "an answer to what was too large")
            assert server.get("outbox")["attempts"] == 1
            assert len(door.named("connected")) == 1, "a record over the limit costs no connection"
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert (code, result["tasks_pending"], result["rejected"]) == (0, 6, 3)
    assert between - before < 70, "five messages of 2 MB, taken in at once"
    assert after - between < 1.5 * LARGEST / MB, "not even one of those too large was ever whole"
    letters = dead_letters(tmp_path)
    assert [letter["reason"][:20] for letter in letters] == ["over 16777216 bytes "] * 3
    shown = [run([*CLI, "dead", "show", str(one["key"]), "--workspace", str(tmp_path), "--json"])[1] for one in letters]
    assert [one["raw"] for one in shown] == [""] * 3
    queue = tmp_path / ".code_evolver" / "queue.db"
    size = sum(path.stat().st_size for path in queue.parent.glob("queue.db*"))
    assert size < 5 * 3 * MB, "the five bodies"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_hub_whose_address_is_an_ipv6_number_is_served_by_every_door(client, tmp_path):
    port = free_port()
    server = Hub([str(TASKHUB), "--urls", f"http://[::1]:{port}"])
    url = f"http://[::1]:{port}/taskhub"
    words = f"Connect to {url} with the client {client} and generate workflows"
    doors = []
    try:
        doors.append(connector({"hub_url": url, "client": client, "workspace": str(tmp_path / "json")}))
        doors.append(Door([*ENGLISH, "--workspace", str(tmp_path / "words")], stdin=words.encode()))
        for door in doors:
            assert door.wait_event("connected")[0]["hub_url"] == url
        until(lambda: len(server.get("connections")) == len(doors), "the hub to know both")
        server.post("push", count=6, batch=2, type="mixed")
        for door in doors:
            door.wait_event("task_completed", 6)
            door.signal(signal.SIGINT)
            code, result = door.end()
            assert (code, result["hub_url"], result["tasks_received"], result["tasks_failed"]) == (0, url, 6, 0)
            assert adds_up(result)
    finally:
        for door in doors:
            door.kill()
        server.stop()
