"""Asked to stop before it could do anything: the request is remembered, and one result document says that nothing came."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance_kit import CONNECTOR, ENGLISH, LAUNCHER, LIMIT, Door, document, environment, hub, until
from tests.dying_kit import children

pytestmark = [
    pytest.mark.usefixtures("nobody_is_left_behind"),
    pytest.mark.skipif(sys.platform != "linux", reason="POSIX signals, /proc"),
]
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def signals(text, field):
    """Which of the signals that ask for a stop stand in a field of /proc/PID/status."""
    mask = int(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{field}:")), 16)
    return [number for number in ASKING if mask >> (number - 1) & 1]


def status_of(pid):
    return Path(f"/proc/{pid}/status").read_text(encoding="utf-8")


def takes_signals(process):
    until(lambda: signal.SIGTERM in signals(status_of(process.pid), "SigCgt"), "SIGTERM to be taken")


def launcher(url, folder, **env):
    command = [*LAUNCHER, "--hub-url", url, "--workspace", str(folder), "--llm", "off", "--log-format", "json"]
    return Door(command, env=environment(**env))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_for_the_whole_group_right_at_the_start_drains(number, tmp_path):
    with hub("demo") as server:
        door = launcher(server.url, tmp_path)
        try:
            child = until(lambda: children(door.process.pid, deep=False), "the connector to exist")
            for pid in (*child, door.process.pid):
                os.kill(pid, number)
            code, result = door.end()
        finally:
            door.kill()
    assert (code, result["success"], result["tasks_received"]) == (0, True, 0), result


@pytest.mark.parametrize("command", [CONNECTOR, ENGLISH])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_the_settings_are_there_ends_with_a_result(command, number):
    door = Door(command)
    try:
        takes_signals(door.process)
        door.signal(number)
        code, result = door.end()
    finally:
        door.kill()
    assert (code, result["success"], result["total_messages"]) == (0, True, 0)


def test_a_stop_of_the_launcher_as_soon_as_it_takes_signals_ends_with_a_result(tmp_path):
    with hub("demo") as server:
        door = launcher(server.url, tmp_path)
        try:
            takes_signals(door.process)
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert (code, result["success"]) == (0, True), result


def test_two_early_requests_are_two():
    program = """
import asyncio, os, signal
from code_evolver import early
from code_evolver.stopping import StopRequest, stop_on_signals
early.remember()
for number in (signal.SIGTERM, signal.SIGINT):
    os.kill(os.getpid(), number)
async def main():
    stop = StopRequest()
    with stop_on_signals(stop):
        await stop.now.wait()
        print(stop.reason)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=LIMIT, text=True,
                          env=environment(), check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "SIGTERM\n"), done.stderr


def test_what_a_connector_starts_takes_the_signals_that_its_launcher_held_back(tmp_path):
    seen = tmp_path / "seen"
    with hub("demo") as server:
        command = f"sh -c 'cat /proc/self/status > {seen}; echo token'"
        door = launcher(server.url, tmp_path, CODE_EVOLVER_ACCESS_TOKEN_COMMAND=command)
        try:
            door.wait_event("connected")
            (child,) = children(door.process.pid, deep=False)
            threads = [path.read_text(encoding="utf-8") for path in Path(f"/proc/{child}/task").glob("*/status")]
            door.signal(signal.SIGTERM)
            code, _ = door.end()
        finally:
            door.kill()
    assert code == 0
    nohup = signal.SIGHUP in signals(Path("/proc/self/status").read_text(encoding="utf-8"), "SigIgn")
    ignored = (
        [signal.SIGHUP] if nohup else []
    )  # an ignored SIGINT (a job that a script left behind) is taken all the same
    for text in (seen.read_text(encoding="utf-8"), *threads):
        assert (signals(text, "SigBlk"), signals(text, "SigIgn")) == ([], ignored)


def test_the_connector_where_its_door_is_not_there_notes_early_requests_too():
    with subprocess.Popen(
        [sys.executable, "-m", "code_evolver.executables"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
    ) as process:  # fmt: skip
        takes_signals(process)
        process.terminate()
        assert process.stdout is not None
        assert document(process.stdout.read())["success"] is True
    assert process.returncode == 0
