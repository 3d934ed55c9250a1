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
from tests.acceptance_kit import (
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
from tests.dying_kit import children, status, task, told
from tests.ports import free_port

pytestmark = [
    pytest.mark.usefixtures("nobody_is_left_behind"),
    pytest.mark.skipif(sys.platform != "linux", reason="POSIX pipes, mounts, limits"),
]


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
    "the duration": (["--duration", "8s"], [], {0}),
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


@pytest.mark.parametrize("form", ["json", "terminal"])  # its lines for a person are fewer than a pipe holds
def test_the_demo_ends_by_itself_though_its_reader_stands_still(form, tmp_path):
    with (tmp_path / "result.json").open("wb") as out, never_read(form) as err:
        command = [*LAUNCHER, "--demo", "--workspace", str(tmp_path / "w")]
        command += ["--log-format", "json" if form == "json" else "human"]
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment())
        try:
            code = process.wait(LIMIT)
        finally:
            _end(process)
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (code, result["success"], result["tasks_received"]) == (0, True, 12)
    assert adds_up(result)


def test_last_words_that_nobody_reads_do_not_hold_up_the_end(tmp_path):
    """All was read but the summary: the pipe has room for the lines of the run, and for nothing more."""
    with hub("demo") as server:

        def ended(stderr, name):
            with (tmp_path / name).open("wb") as out:
                command = [
                    *LAUNCHER,
                    "--hub-url",
                    server.url,
                    "--workspace",
                    str(tmp_path / name[0]),
                    "--duration",
                    "2s",
                ]
                process = subprocess.Popen(command, stdout=out, stderr=stderr, env=environment(CODE_EVOLVER_LLM="off"))
                try:
                    said = process.communicate(timeout=15)[1]
                except subprocess.TimeoutExpired:
                    _end(process)
                    raise
                return process.returncode, said

        code, said = ended(subprocess.PIPE, "a.json")
        lines = said.decode("utf-8").partition("\n\n")[0]
        with never_read("human") as err:
            os.write(err, b"." * (4096 - len(lines.encode()) - 60))
            assert (code, ended(err, "b.json")[0]) == (0, 0)
    assert json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["success"] is True


def test_a_closed_stdout_and_stdin_stop_nothing(tmp_path):
    with hub("demo") as server:
        command = shlex.join(LAUNCHER)
        process = shell(f"exec {command} --hub-url {server.url} --workspace w <&- >&- 2>err", tmp_path)
        try:
            server.wait_for_client()
            server.post("send", task(1), method="TaskHub")
            until(lambda: status(tmp_path / "w")["generated"] == 1, "the task to end")
            process.send_signal(signal.SIGTERM)
            code = process.wait(LIMIT)
        finally:
            _end(process)
    assert code == 0, (tmp_path / "err").read_text(encoding="utf-8")
    assert "Traceback" not in (tmp_path / "err").read_text(encoding="utf-8")
    assert status(tmp_path / "w")["generated"] == 1


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
            server.wait_for_client()
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
            server.wait_for_client()
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
