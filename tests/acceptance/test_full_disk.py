"""A disk that is full, fills up, or may only be read: nothing accepted is lost, and the run goes on when there is room."""

import contextlib
import json
import signal
import subprocess
import sys

import pytest

from code_evolver.edges.workspace import Workspace
from tests.acceptance_kit import (
    CONNECTOR,
    connector,
    hub,
    run,
    until,
)
from tests.dying_kit import balance, status, task, told, work_off
from tests.ports import free_port
from tests.queue_helpers import read, tell

pytestmark = [
    pytest.mark.usefixtures("nobody_is_left_behind"),
    pytest.mark.skipif(sys.platform != "linux", reason="POSIX pipes, mounts, limits"),
]


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of its own."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system of its own can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def fill(path):
    with path.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"x" * 4096)


def test_a_full_disk_pauses_intake_before_it_loses_and_goes_on_when_there_is_room(tmp_path):
    with small_disk(tmp_path / "disk", "16m") as disk, hub("demo") as server:
        workspace = disk / "w"
        door = connector({"hub_url": server.url, "workspace": str(workspace), "report_method": "TaskFinished"})
        try:
            door.wait_event("connected")
            first = [task(number) for number in range(3)]
            server.post("outbox", first, method="TaskHub")
            door.wait_event("task_completed", 3)
            fill(disk / "ballast")
            more = [{**task(number), "content": "x" * 100_000} for number in range(3, 33)]
            server.post("outbox", more, method="TaskHub")
            paused = door.wait_event("intake_paused")
            assert "room" in paused[0]["reason"]
            assert door.process.poll() is None
            receipts = server.get("outbox")["accepted"]  # read first: what is stored in between has none yet
            stored = status(workspace)["received"]
            assert receipts <= stored < 33
            (disk / "ballast").unlink()
            door.wait_event("intake_resumed")
            until(lambda: server.get("outbox")["pending"] == 0, "everything to be accepted")
            until(lambda: status(workspace)["pending"] == 0, "everything to be done")
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
        numbers = balance(workspace, {one["id"] for one in [*first, *more]})
    assert code == 0, result
    assert (numbers["accepted"], numbers["failed"]) == (33, 0)


def test_a_disk_that_fills_while_nodes_are_made_makes_no_second_node(tmp_path):
    with small_disk(tmp_path / "disk", "16m") as disk, hub("demo") as server:
        workspace = disk / "w"
        settings = {"hub_url": server.url, "workspace": str(workspace), "auto_generate_workflows": True}
        door = connector(settings)
        try:
            door.wait_event("connected")
            server.post("outbox", [task(number) for number in range(24)], method="TaskHub")
            door.wait_event("task_completed", 2)
            fill(disk / "ballast")
            until(
                lambda: door.named("task_retrying") or door.named("notice") or status(workspace)["pending"] == 0,
                "the full disk to be felt",
            )
            (disk / "ballast").unlink()
            until(
                lambda: server.get("outbox")["pending"] == 0 and status(workspace)["pending"] == 0,
                "everything to be done",
            )
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
        numbers = balance(workspace, {f"k-{number}" for number in range(24)})
    assert code == 0, result
    assert (numbers["accepted"], numbers["failed"]) == (24, 0)


@contextlib.contextmanager
def working_on_a_full_disk(folder, many):
    """A run with a backlog and reports whose disk is full, the reserve spent; give hub, disk and run."""
    with small_disk(folder, "24m") as disk, hub("demo") as server:
        workspace = Workspace.at(disk / "w")
        workspace.prepare()
        tell(workspace.queue, lambda queue: queue.put([read(one) for one in many], []))
        door = connector({"hub_url": server.url, "workspace": str(workspace.root), "report_method": "TaskFinished"})
        try:
            door.wait_event("task_completed", 100)
            fill(disk / "ballast")
            until(
                lambda: [one for one in door.named("notice") if "no room" in one["message"]], "the full disk to be felt"
            )
            yield server, disk, door
        finally:
            door.kill()


def test_a_disk_that_fills_while_outcomes_are_reported_only_makes_the_run_wait(tmp_path):
    many = [task(6 * number, "harbour") for number in range(3000)]
    ids = {one["id"] for one in many}
    with working_on_a_full_disk(tmp_path / "disk", many) as (server, disk, door):
        (disk / "ballast").unlink()
        door.wait_event("task_completed", len(many))
        until(lambda: told(server) == ids, "every report to arrive")
        door.signal(signal.SIGTERM)
        code, result = door.end()
        balance(disk / "w", ids)
    assert code == 0, result


def test_a_stop_on_a_full_disk_is_clean_and_the_next_start_goes_on(tmp_path):
    many = [task(6 * number, "harbour") for number in range(3000)]
    with working_on_a_full_disk(tmp_path / "disk", many) as (_server, disk, door):
        door.signal(signal.SIGTERM)
        code, result = door.end(12)
        (disk / "ballast").unlink()
        assert code == 0, result
        assert result["tasks_pending"] > 0
        work_off(disk / "w")
        numbers = balance(disk / "w", {one["id"] for one in many})
    assert (numbers["pending"], numbers["nodes"]) == (0, 1)


def test_a_disk_that_may_only_be_read_is_told_at_the_start(tmp_path):
    with small_disk(tmp_path / "disk", "16m") as disk:
        (disk / "w").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
        settings = {"hub_url": f"http://127.0.0.1:{free_port()}/x", "workspace": str(disk / "w"), "llm": "off"}
        code, result, _ = run(CONNECTOR, json.dumps(settings).encode())
    assert code == 3, result
    assert str(disk / "w") in result["error"]["message"]
    assert result["error"]["hint"]
