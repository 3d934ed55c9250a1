"""Syncs of the queue file, seen and broken from outside with strace: one for a burst, before the receipt; one that fails is the end."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from code_evolver.edges.queue_sqlite import read_status
from tests.acceptance_kit import CONNECTOR, HUBS, LIMIT, Door, connector, environment, hub, until
from tests.dying_kit import balance, children, status, task
from tests.ledger import read_places, troubles


def strace_works():
    if sys.platform != "linux" or shutil.which("strace") is None:
        return False
    probe = ["strace", "-f", "--seccomp-bpf", "-o", os.devnull, "-e", "trace=fsync", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.usefixtures("nobody_is_left_behind"),
    pytest.mark.skipif(not strace_works(), reason="there is no strace here that may trace and knows --seccomp-bpf"),
]
SYNCS = "fsync,fdatasync"


class Traced:
    """The connector under strace, and what strace wrote."""

    def __init__(self, workspace, settings, *options):
        self.trace = workspace / "trace"
        command = [
            "strace",
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-e",
            "signal=none",
            "-o",
            str(self.trace),
            *options,
            *CONNECTOR,
        ]
        stdin = json.dumps({"llm": "off", "workspace": str(workspace / "w"), **settings}).encode()
        self.door = Door(command, stdin=stdin)

    def stop(self, number=signal.SIGTERM):
        for pid in children(self.door.process.pid, deep=False):
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def lines(self):
        """What was called, in order of its end: without process ids, calls that were interrupted by others as one."""
        found = []
        begun = {}
        whole, _, _ = self.trace.read_text(encoding="utf-8", errors="replace").rpartition("\n")  # it may be at the next
        for line in whole.splitlines():
            pid, _, call = line.partition(" ")
            call = call.strip()
            if call.endswith("<unfinished ...>"):
                begun[pid] = call.removesuffix("<unfinished ...>").rstrip()
            else:
                resumed = re.match(r"<\.\.\. \w+ resumed>", call)
                found.append(begun.pop(pid) + call[resumed.end() :] if resumed else call)
        return found


@contextlib.contextmanager
def traced(workspace, settings, *options):
    made = Traced(workspace, settings, *options)
    try:
        yield made
    finally:
        made.stop(signal.SIGKILL)
        made.door.kill()


@pytest.mark.parametrize("kind", HUBS)
def test_a_burst_costs_few_syncs_and_a_receipt_goes_out_after_its_sync(kind, tmp_path):
    options = ["-y", "-s", "200", "-e", f"trace={SYNCS},recvfrom,sendto,sendmsg"]
    with hub(kind) as server:
        settings = {"hub_url": server.url, "auto_generate_workflows": False}
        with traced(tmp_path, settings, *options) as run:
            run.door.wait_event("connected")
            server.wait_for_client()
            answer = server.post("ask", task(1), method="TaskHub", timeout=20)
            before = until(lambda: after_the_answer(run.lines()), "strace to write down that the answer was sent")
            run.stop(signal.SIGSTOP)  # so that the burst is there at once, however slowly it is sent
            server.post("push", None, count=600, rate=0, batch=1)
            run.stop(signal.SIGCONT)
            until(lambda: status(tmp_path / "w")["received"] == 601, "the burst to be stored")
            burst = run.lines()[before:]
            run.stop()
            code, result = run.door.end()
    assert (code, result["tasks_received"]) == (0, 601)
    assert answer["answer"]["received"] is True
    syncs = [line for line in burst if line.startswith(("fsync", "fdatasync")) and "queue.db" in line]
    assert 1 <= len(syncs) <= 10, len(syncs)
    assert_synced_between_question_and_answer(run.lines()[:before])


def question(lines):
    """Where the task was read that the hub wants an answer for; None: not yet."""
    return next((at for at, line in enumerate(lines) if line.startswith("recvfrom(") and "k-1" in line), None)


def after_the_answer(lines):
    """How many lines there are to the first that is sent where the question came from; 0: not yet."""
    asked = question(lines)
    if asked is None:
        return 0
    socket = lines[asked].removeprefix("recvfrom(").partition(",")[0]
    answers = (f"sendto({socket}", f"sendmsg({socket}")
    return next((at + 1 for at, line in enumerate(lines) if at > asked and line.startswith(answers)), 0)


def assert_synced_between_question_and_answer(lines):
    between = lines[question(lines) + 1 :]
    synced = [line for line in between if line.startswith(("fsync", "fdatasync"))]
    assert len(synced) == 1, between
    assert re.search(r"queue\.db-wal>\)\s+= 0$", synced[0]), synced


MANY_CALLERS = """
import asyncio, sys
from pathlib import Path
from code_evolver.edges.queue_sqlite import SqliteQueue
from tests.queue_helpers import task

async def main():
    queue = SqliteQueue.open(Path(sys.argv[1]))
    await asyncio.gather(*(queue.put([task(str(number))], []) for number in range(500)))
    await queue.close()

asyncio.run(main())
"""


def test_puts_of_many_callers_share_a_sync(tmp_path):
    path, trace = tmp_path / "queue.db", tmp_path / "trace"
    looked_at = ["-P", str(path), "-P", f"{path}-wal", "-e", f"trace={SYNCS}", "-e", "signal=none"]
    command = ["strace", "-f", "-qq", "-o", str(trace), *looked_at, sys.executable, "-c", MANY_CALLERS, str(path)]
    subprocess.run(command, env=environment(), check=True, timeout=LIMIT)
    assert read_status(path).counts.received == 500
    syncs = [line for line in trace.read_text(encoding="utf-8").splitlines() if "sync(" in line]
    assert len(syncs) <= 20, len(syncs)  # those of opening and closing are among them


def test_a_sync_that_fails_once_is_the_end_and_the_next_start_goes_on(tmp_path):
    path = tmp_path / "w" / ".code_evolver" / "queue.db"
    many = [task(number) for number in range(12)]
    options = ["-P", str(path), "-P", f"{path}-wal", "-e", f"trace={SYNCS},pwrite64,write,ftruncate", "-e", f"inject={SYNCS}:error=EIO:when=12"]  # fmt: skip
    with hub("demo") as server:
        server.post("outbox", many, method="TaskHub")
        with traced(tmp_path, {"hub_url": server.url}, *options) as run:
            code, result = run.door.end()
        assert (code, result["success"], result["error"]["code"]) == (3, False, "store_damaged")
        assert f"{path} (SQLITE_IOERR_FSYNC)" in result["error"]["message"]
        assert "Check the disk" in result["error"]["hint"]
        lines = run.lines()
        (failed,) = [number for number, line in enumerate(lines) if "EIO" in line and "INJECTED" in line]
        assert lines[failed + 1 :] == [], (
            "after a failed sync nobody knows what the disk holds: nothing more is written"
        )
        accepted = {event["task_id"] for event in run.door.named("task_queued")}
        ended = {event["task_id"] for event in run.door.named("task_completed")}
        assert accepted
        assert troubles(path, accepted, ended) == []
        held = [one for one, places in read_places(path, {one["id"] for one in many}).items() if places]
        assert server.get("outbox")["accepted"] <= len(held)
        door = connector({"hub_url": server.url, "workspace": str(tmp_path / "w")})
        try:
            until(lambda: server.get("outbox")["pending"] == 0, "everything to be accepted")
            until(lambda: status(tmp_path / "w")["pending"] == 0, "everything to be done")
            door.signal(signal.SIGTERM)
            code, _ = door.end(LIMIT)
        finally:
            door.kill()
    assert code == 0
    assert balance(tmp_path / "w", {one["id"] for one in many})["failed"] == 0
