"""Trouble all around: readers that stop or leave, disks that fill or may not be written, a hub that knows no reports, little memory."""

import contextlib
import fcntl
import json
import os
import pty
import resource
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from code_evolver.core.compose import compose
from code_evolver.core.task_types import SUMMARIZE
from code_evolver.edges.workspace import Workspace
from tests.acceptance_kit import (
    CONNECTOR,
    HUBS,
    LAUNCHER,
    LIMIT,
    VERIFY,
    adds_up,
    connector,
    environment,
    hub,
    needs_taskhub,
    run,
    until,
)
from tests.dying_kit import balance, children, free_port, no_orphans, status, task, work_off
from tests.queue_helpers import read, tell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="POSIX pipes, mounts, limits")


@pytest.fixture(autouse=True)
def nobody_is_left_behind():
    with no_orphans():
        yield


def shell(script, tmp_path, **more):
    return subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=environment(CODE_EVOLVER_LLM="off"), **more)


@pytest.mark.parametrize("form", ["human", "json"])
def test_a_reader_that_leaves_after_one_line_stops_nothing(form, tmp_path):
    with hub("demo") as server:
        command = shlex.join(LAUNCHER)
        script = f"{command} --hub-url {server.url} --workspace w --log-format {form} 2>&1 >result.json | head -1; echo ${{PIPESTATUS[0]}} >code"
        process = shell(script, tmp_path, stdout=subprocess.PIPE)
        try:
            server.wait_for_client()
            server.post("send", [task(number) for number in range(5)], method="TaskHub")
            until(lambda: status(tmp_path / "w")["generated"] + status(tmp_path / "w")["reused"] == 5, "5 tasks to end")
            os.kill(_launcher_of(process.pid), signal.SIGINT)
            out, _ = process.communicate(timeout=LIMIT)
        finally:
            _end(process)
    assert out.count(b"\n") == 1
    assert (tmp_path / "code").read_text(encoding="utf-8").strip() == "0"
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["tasks_received"] == 5


def _launcher_of(pid):
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return next(int(one) for one in found if b"start_signalr" in Path(f"/proc/{one}/cmdline").read_bytes())


def _end(process):
    if process.poll() is None:
        process.kill()
    process.communicate()


@contextlib.contextmanager
def never_read(form):
    """The writing end of a small pipe, or of a terminal, whose reader stands still."""
    read, write = pty.openpty() if form == "terminal" else os.pipe()
    if form != "terminal":
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield write
    finally:
        os.close(read)
        os.close(write)


STILL_READERS = {
    "one request": ([], [signal.SIGTERM], {0}),
    "the duration": (["--duration", "4s"], [], {0}),
    "two requests": ([], [signal.SIGINT, signal.SIGTERM], {0, 130}),  # the second may meet a run that has drained
}


@pytest.mark.parametrize(
    ("end", "form"),
    [
        ("one request", "json"),
        ("one request", "human"),
        ("one request", "terminal"),
        ("the duration", "json"),
        ("two requests", "human"),
    ],
)
def test_a_reader_of_the_launcher_that_stands_still_holds_up_neither_work_nor_the_result(end, form, tmp_path):
    flags, signals, codes = STILL_READERS[end]
    many = [task(6 * number, "harbour") for number in range(80)]  # their events are more than the pipe holds
    with hub("demo") as server, (tmp_path / "result.json").open("wb") as out, never_read(form) as err:
        command = [*LAUNCHER, "--hub-url", server.url, "--workspace", str(tmp_path / "w"), *flags]
        command += ["--log-format", "json" if form == "json" else "human"]
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment(CODE_EVOLVER_LLM="off"))
        try:
            server.wait_for_client()
            server.post("send", many, method="TaskHub")
            until(lambda: status(tmp_path / "w")["received"] == 80, "all to be received")
            if signals:
                until(lambda: status(tmp_path / "w")["pending"] == 0, "all to end")
            for number in signals:
                process.send_signal(number)
            code = process.wait(20)  # nobody has read a line
        finally:
            _end(process)
    assert code in codes
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (result["success"], result["tasks_received"]) == (code == 0, 80)
    assert adds_up(result)
    assert status(tmp_path / "w")["running"] is False


def test_a_closed_stdout_and_stdin_stop_nothing(tmp_path):
    with hub("demo") as server:
        command = shlex.join(LAUNCHER)
        process = shell(f"exec {command} --hub-url {server.url} --workspace w --duration 4s <&- >&- 2>err", tmp_path)
        try:
            server.wait_for_client()
            server.post("send", task(1), method="TaskHub")
            code = process.wait(LIMIT)
        finally:
            _end(process)
    assert code == 0, (tmp_path / "err").read_text(encoding="utf-8")
    assert "Traceback" not in (tmp_path / "err").read_text(encoding="utf-8")
    assert status(tmp_path / "w")["generated"] == 1


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
            accepted = status(workspace)["received"]
            assert accepted < 33
            assert server.get("outbox")["accepted"] <= accepted
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


def told(server):
    """The tasks whose outcome the hub was told."""
    return {call["arguments"][0]["taskId"] for call in server.get("received") if call["method"] == "TaskFinished"}


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


def test_a_program_that_takes_all_memory_is_judged_and_kills_nobody_else():
    honest = compose(SUMMARIZE, translations=False, fields=("content",)).decode("utf-8")
    start = honest.index("    ", honest.index("def main("))  # its first line
    text = f"{honest[:start]}    data = []\n    while True:\n        data.append('x' * 10_000_000)\n{honest[start:]}"
    exit_code, printed, _ = run(VERIFY, json.dumps({"code": text, "task_type": "summarize"}).encode())
    assert exit_code == 0, printed
    assert printed["accepted"] is False
    assert printed["findings"]


def test_a_connector_that_may_have_little_memory_still_works(tmp_path):
    limit = 700 << 20

    def little():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)}, preexec_fn=little)
        try:
            door.wait_event("connected")
            server.post("send", task(1), method="TaskHub")
            door.wait_event("task_completed")
            door.signal(signal.SIGTERM)
            code, _ = door.end()
        finally:
            door.kill()
    assert code == 0


def test_a_worker_of_a_trial_that_the_system_kills_is_tried_again_and_judges_nothing(tmp_path):
    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)})

        def kill_workers():
            """As the kernel does when memory runs out: the connector's children have a child a run."""
            for child in children(door.process.pid, deep=False):
                for worker in children(child):
                    with contextlib.suppress(OSError):
                        os.kill(worker, signal.SIGKILL)
            return door.named("task_retrying")

        try:
            door.wait_event("connected")
            server.post("send", [task(number) for number in range(6)], method="TaskHub")
            retrying = until(kill_workers, "a run to be hit")
            door.wait_event("task_completed", 6)
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert retrying[0]["reason"].startswith("The child ")  # was killed, or ended before it was ready
    assert not door.named("workflow_rejected")
    assert (code, result["workflows_generated"], result["workflows_reused"], result["tasks_failed"]) == (0, 3, 3, 0)


@needs_taskhub
@pytest.mark.hub
def test_a_hub_without_the_report_method_costs_reports_only(tmp_path):
    with hub("real") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path), "report_method": "NobodyListensToThis"})
        try:
            door.wait_event("connected")
            server.post("send", [task(0), task(1)], method="TaskHub")
            failed = door.wait_event("report_failed", 2)
            server.post("send", task(2), method="TaskHub")
            door.wait_event("task_completed", 3)
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert code == 0, result
    assert {event["task_id"] for event in failed} >= {"k-0", "k-1"}
    assert result["tasks_failed"] == 0


@pytest.mark.parametrize("kind", HUBS)
def test_reports_are_sent_again_after_a_reconnect_until_they_are_answered(kind, tmp_path):
    port = free_port()
    with hub(kind, port=port) as server:
        door = connector(
            {
                "hub_url": server.url,
                "workspace": str(tmp_path),
                "report_method": "TaskFinished",
                "max_reconnect_attempts": 0,
            }
        )
        try:
            door.wait_event("connected")
            server.post("send", [task(number) for number in range(4)], method="TaskHub")
            door.wait_event("task_queued", 4)
            server.stop()  # before the last ones are done: their reports have nowhere to go
            door.wait_event("task_completed", 4)
            with hub(kind, port=port) as again:
                until(lambda: "k-3" in told(again), "the report of the last task")
                door.signal(signal.SIGTERM)
                code, _ = door.end()
        finally:
            door.kill()
    assert code == 0


def test_a_node_whose_record_is_damaged_while_it_runs_costs_no_task(tmp_path):
    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)})
        try:
            door.wait_event("connected")
            server.post("send", task(0, "harbour"), method="TaskHub")
            name = door.wait_event("task_completed")[0]["node_id"]
            (tmp_path / "nodes" / name / "node.json").write_text("{", encoding="utf-8")
            server.post("send", [task(3, "bridge"), {**task(6, "harbour"), "tone": "warm"}], method="TaskHub")
            door.wait_event("task_completed", 3)
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert code == 0, result
    assert result["tasks_failed"] == 0
