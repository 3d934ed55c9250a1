"""Left alone, frozen, killed: launcher or connector without the other, a closed terminal, a lock that nobody holds; nothing lost."""

import json
import os
import signal
import sys

import pytest

from tests.acceptance_kit import HUBS, adds_up, connector, hub, until
from tests.dying_kit import alive, connector_of, status, task, work_off
from tests.stopping_kit import launcher

pytestmark = [
    pytest.mark.usefixtures("nobody_is_left_behind"),
    pytest.mark.skipif(sys.platform != "linux", reason="POSIX signals, /proc, terminals"),
]


def test_the_launcher_killed_alone_leaves_no_orphan_and_loses_nothing(tmp_path):
    with hub("demo") as server:
        door = launcher(server.url, tmp_path)
        child = connector_of(door)
        door.wait_event("connected")
        server.post("send", [task(number) for number in range(24)], method="TaskHub")
        door.wait_event("task_completed", 3)
        door.signal(signal.SIGKILL)
        until(lambda: not alive(child), "the connector to end by itself", 12)
        door.kill()
    assert status(tmp_path)["running"] is False
    before = status(tmp_path)
    assert before["pending"] > 0
    work_off(tmp_path)
    after = status(tmp_path)
    assert (after["received"], after["pending"], after["failed"]) == (24, 0, 0)


def test_the_connector_killed_alone_is_told_by_the_launcher(tmp_path):
    with hub("demo") as server:
        door = launcher(server.url, tmp_path)
        try:
            door.wait_event("connected")
            server.post("send", task(1), method="TaskHub")
            door.wait_event("task_completed")
            os.kill(connector_of(door), signal.SIGKILL)
            code, result = door.end(5)
        finally:
            door.kill()
    assert (code, result["success"], result["error"]["code"]) == (1, False, "connector_killed")
    assert "SIGKILL" in result["error"]["message"]
    assert result["error"]["retryable"] is True
    assert (result["tasks_received"], result["workflows_generated"]) == (1, 1)
    assert adds_up(result)


@pytest.mark.parametrize("kind", HUBS)
def test_a_connector_frozen_until_the_hub_drops_it_reconnects_and_loses_nothing(kind, tmp_path):
    """The hub gives up a client that is silent for 2 s; what it hands out meanwhile it hands out again."""
    with hub(kind, "--client-timeout", "2", "--keepalive", "1") as server:
        door = launcher(server.url, tmp_path, "--keep-alive-seconds", "0.5")
        try:
            server.wait_for_client()
            server.post("send", task(0), method="TaskHub")
            door.wait_event("task_completed")
            child = connector_of(door)
            os.kill(child, signal.SIGSTOP)
            server.post("outbox", [task(number) for number in range(1, 6)], method="TaskHub")
            until(lambda: not server.get("connections"), "the hub to drop the frozen client")
            assert len(door.named("task_queued")) == 1
            os.kill(child, signal.SIGCONT)
            door.wait_event("connected", 2)
            door.wait_event("task_completed", 6)
            until(lambda: server.get("outbox")["pending"] == 0, "the hub to have every answer")
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert code == 0
    assert (result["tasks_received"], result["tasks_pending"], result["tasks_failed"]) == (6, 0, 0)
    assert door.named("disconnected")
    assert door.named("reconnecting")


def test_nohup_keeps_a_run_alive_when_the_terminal_closes(tmp_path):
    with hub("demo") as server:
        door = launcher(server.url, tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None)
        try:
            door.wait_event("connected")
            os.kill(connector_of(door), signal.SIGHUP)
            door.signal(signal.SIGHUP)
            server.post("send", task(1), method="TaskHub")
            door.wait_event("task_completed")
            assert not door.named("shutdown_requested")
            door.signal(signal.SIGTERM)
            code, _ = door.end()
        finally:
            door.kill()
    assert code == 0


def test_a_killed_connector_s_lock_does_not_block_the_next_start(tmp_path):
    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)})
        door.wait_event("connected")
        pid = door.process.pid
        door.kill()
        assert json.loads((tmp_path / ".code_evolver" / "owner.json").read_text(encoding="utf-8"))["pid"] == pid
        assert status(tmp_path)["running"] is False
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)})
        try:
            door.wait_event("connected")
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert code == 0, result


def test_two_launchers_on_one_workspace(tmp_path):
    with hub("demo") as server:
        first = launcher(server.url, tmp_path)
        try:
            first.wait_event("connected")
            second = launcher(server.url, tmp_path)
            code, result = second.end(10)
            assert (code, result["error"]["code"]) == (3, "workspace_held")
            assert str(connector_of(first)) in result["error"]["message"]
            server.post("send", task(1), method="TaskHub")
            first.wait_event("task_completed")
            first.signal(signal.SIGTERM)
            code, _ = first.end()
        finally:
            first.kill()
    assert code == 0
