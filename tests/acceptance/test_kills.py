"""kill -9 at any moment: nothing accepted is lost, nothing is done twice, every file stays valid."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from code_evolver.edges.hub.clients import CLIENTS
from tests.acceptance_kit import HUBS, LAUNCHER, LIMIT, ROOT, Door, connector, environment, hub, until
from tests.dying_kit import alive, balance, connector_of, no_orphans, status, task, verify_all, work_off
from tests.kill_at_step import STEPS
from tests.ledger import read_places, troubles
from tests.ports import free_port

KILLS = int(os.environ.get("CODE_EVOLVER_KILLS", "14"))
"""Kills a client on the real hub: about 100 s for all on two busy cores. CI takes 100; the whole suite is 200, with 50 restarts of the hub a client."""
SEED = int(os.environ.get("CODE_EVOLVER_SEED") or random.randrange(1_000_000))
TASKS_A_WAVE = 6
LONGEST = {"starting": 1.2, "taking in": 0.1, "working": 0.6}
"""Seconds that it may live on once it is there."""
ACCEPTED_EVENTS = ("task_queued", "task_duplicate")
ENDED_EVENTS = ("task_completed", "task_dead_lettered")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SIGKILL, /proc")


class Storm:
    """A hub that redelivers and is restarted, and a launcher whose life is short."""

    def __init__(self, kind, client, workspace, seed):
        self.random = random.Random(seed)
        self.workspace = workspace
        self.port = free_port()
        self.kind = kind
        self.client = client
        self.tasks = []
        self.restarts = 0
        self.killed = {"connector": 0, "launcher": 0, "both": 0}
        self.accepted = set()
        """What the outside was told to be accepted: by an event, by a receipt, or by a file that held it at an earlier kill."""
        self.ended = set()
        self.hub = self._hub()

    def _hub(self):
        context = hub(self.kind, port=self.port)
        self._context = context
        return context.__enter__()

    def restart_hub(self):
        self.restarts += 1
        self.hear_hub()
        self.hub.stop(self.random.choice([signal.SIGKILL, signal.SIGTERM]))
        self._context.__exit__(None, None, None)
        self.hub = self._hub()
        if self.tasks:
            self.hub.post("outbox", self.tasks, method="TaskHub")  # its outbox lived in its memory

    def more_tasks(self):
        fresh = [task(number) for number in range(len(self.tasks), len(self.tasks) + TASKS_A_WAVE)]
        self.tasks += fresh
        self.hub.post("outbox", fresh, method="TaskHub")

    def launch(self):
        return Door([*LAUNCHER, "--hub-url", self.hub.url, "--workspace", str(self.workspace), "--llm", "off", "--log-format", "json",
                     "--client", self.client, "--report-method", "TaskFinished", "--max-reconnect-attempts", "0"])  # fmt: skip

    def kill_one(self, *, restart=False):
        """Start, let it live for a random time, kill at that moment, see what the kill left."""
        victim = self.random.choice(["connector", "launcher", "both"])
        moment = self.random.choice(["starting", "taking in", "working"])
        if moment != "taking in":
            self.more_tasks()
        door = self.launch()
        child = connector_of(door)
        if restart:
            door.wait_event("connected")
            self.restart_hub()
        if moment == "taking in":
            door.wait_event("connected")
            self.more_tasks()
        if moment == "working":
            tasks = self.random.randrange(1, TASKS_A_WAVE)
            until(lambda: len(door.named("processing_task")) >= tasks, f"{tasks} tasks to begin")
        with suppress(subprocess.TimeoutExpired):
            door.process.wait(self.random.uniform(0.0, LONGEST[moment]))  # the random moment
        assert door.process.poll() is None, door.lines[-5:]
        self.killed[victim] += 1
        if victim != "launcher":
            os.kill(child, signal.SIGKILL)
        if victim != "connector":
            os.kill(door.process.pid, signal.SIGKILL)
        code = door.process.wait(LIMIT)
        assert code == (1 if victim == "connector" else -signal.SIGKILL)
        until(lambda: not alive(child), "the connector to end", 15)
        door.kill()
        self.check(door)

    def hear_hub(self):
        """Take in what the hub was told: which outcomes, how many receipts (all of them: then it names the tasks as well)."""
        self.ended |= {
            call["arguments"][0]["taskId"] for call in self.hub.get("received") if call["method"] == "TaskFinished"
        }
        outbox = self.hub.get("outbox")
        if outbox["pending"] == 0:
            self.accepted |= {one["id"] for one in self.tasks}
        return outbox["accepted"]

    def check(self, door):
        """Hold the file, before anything can be delivered again, against what the outside was told."""
        receipts = self.hear_hub()
        self.accepted |= {event["task_id"] for name in ACCEPTED_EVENTS for event in door.named(name)}
        self.ended |= {event["task_id"] for name in ENDED_EVENTS for event in door.named(name)}
        path = self.workspace / ".code_evolver" / "queue.db"
        assert troubles(path, self.accepted, self.ended) == []
        held = {one for one, places in read_places(path, {one["id"] for one in self.tasks}).items() if places}
        assert receipts <= len(held), f"the hub has {receipts} receipts, the file {len(held)} tasks"
        self.accepted |= held

    def settle(self):
        """Let everything be delivered and done."""
        door = self.launch()
        try:
            until(lambda: self.hub.get("outbox")["pending"] == 0, "the hub's outbox to empty", 120)
            until(lambda: status(self.workspace)["pending"] == 0, "the queue to empty", 120)
            door.signal(signal.SIGINT)
            code, result = door.end()
        finally:
            door.kill()
        assert code == 0, result
        self.check(door)

    def close(self):
        self._context.__exit__(None, None, None)


def storm(kind, client, workspace, kills):
    sys.stdout.write(f"CODE_EVOLVER_SEED={SEED}\n")
    began = time.monotonic()
    made = Storm(kind, client, workspace, SEED)
    try:
        for number in range(kills):
            due = number % 4 == 3
            while_connected = made.random.random() < 0.5
            if due and not while_connected:
                made.restart_hub()
            made.kill_one(restart=due and while_connected)
        made.settle()
    finally:
        made.close()
    numbers = balance(workspace, {one["id"] for one in made.tasks})
    assert (numbers["failed"], numbers["pending"]) == (0, 0), numbers
    verify_all(workspace)
    sys.stdout.write(f"{kind} hub, {client}: {kills} kills {made.killed}, {made.restarts} hub restarts, {numbers},"
                     f" {time.monotonic() - began:.0f} s\n")  # fmt: skip


@pytest.mark.timeout(120 + 8 * KILLS)
@pytest.mark.parametrize("client", list(CLIENTS))
@pytest.mark.parametrize("kind", HUBS)
def test_kills_at_random_moments_lose_nothing_and_do_nothing_twice(kind, client, tmp_path):
    pytest.importorskip(client)
    kills = KILLS if kind == "real" else max(4, KILLS // 4)
    with no_orphans():
        storm(kind, client, tmp_path, kills)


@pytest.fixture(scope="module")
def full_queue(tmp_path_factory):
    """A workspace with three tasks in its queue, two of them for one node, and nothing done yet."""
    workspace = tmp_path_factory.mktemp("full")
    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(workspace), "auto_generate_workflows": False})
        try:
            door.wait_event("connected")
            server.post("send", [task(0, "harbour"), task(3, "harbour"), task(6, "bridge")], method="TaskHub")
            door.wait_event("task_queued", 3)
            door.signal(signal.SIGTERM)
            door.end()
        finally:
            door.kill()
    return workspace


def die_at(step, workspace, *more):
    command = [sys.executable, str(ROOT / "tests" / "kill_at_step.py"), step, str(workspace), *more]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, env=environment(), timeout=LIMIT, check=False
    )
    assert done.returncode == -signal.SIGKILL, (done.returncode, done.stderr[-2000:])


OF_SAVING = [step for step in STEPS if "recovering" not in step and "report" not in step and step != "none"]


@pytest.mark.parametrize("step", OF_SAVING)
def test_a_kill_at_a_step_of_saving_makes_no_second_node(step, full_queue, tmp_path):
    workspace = shutil.copytree(full_queue, tmp_path / "w")
    with no_orphans():
        die_at(step, workspace)
        work_off(workspace)
    numbers = balance(workspace, {"k-0", "k-3", "k-6"})
    assert (numbers["generated"], numbers["reused"], numbers["failed"], numbers["nodes"]) == (2, 1, 0, 2)


@pytest.mark.parametrize("step", [step for step in STEPS if "recovering" in step])
def test_a_kill_during_recovery_costs_nothing(step, full_queue, tmp_path):
    workspace = shutil.copytree(full_queue, tmp_path / "w")
    die_at("renamed", workspace)
    (workspace / "registry.json").unlink(missing_ok=True)
    (workspace / ".code_evolver" / "staged" / "half").mkdir(parents=True)
    die_at(step, workspace)
    die_at(step if step != "recovering: registering" else "recovering: queue", workspace)
    work_off(workspace)
    numbers = balance(workspace, {"k-0", "k-3", "k-6"})
    assert (numbers["generated"], numbers["reused"], numbers["failed"], numbers["nodes"]) == (2, 1, 0, 2)


@pytest.mark.parametrize("step", [step for step in STEPS if "report" in step])
def test_a_kill_while_reporting_reports_again(step, tmp_path):
    with hub("demo") as server:
        server.post("outbox", [task(0, "harbour"), task(3, "harbour"), task(6, "bridge")], method="TaskHub")
        die_at(step, tmp_path, server.url)
        door = connector({"hub_url": server.url, "workspace": str(tmp_path), "report_method": "TaskFinished"})

        def told():
            return {
                call["arguments"][0]["taskId"] for call in server.get("received") if call["method"] == "TaskFinished"
            }

        try:
            until(lambda: told() == {"k-0", "k-3", "k-6"}, "every task's report")
            until(lambda: status(tmp_path)["pending"] == 0, "the queue to empty")
            door.signal(signal.SIGTERM)
            code, _ = door.end()
        finally:
            door.kill()
    assert code == 0
    balance(tmp_path, {"k-0", "k-3", "k-6"})


def test_a_task_that_was_interrupted_often_by_kills_before_its_start_is_not_poison(full_queue, tmp_path):
    workspace = shutil.copytree(full_queue, tmp_path / "w")
    for _ in range(10):
        die_at("recovering: queue", workspace)
    work_off(workspace)
    assert balance(workspace, {"k-0"})["failed"] == 0


def test_a_token_command_dies_with_the_connector(tmp_path):
    told = tmp_path / "pid"
    command = ["sh", "-c", f"echo $$ > {told}.new; mv {told}.new {told}; exec sleep 60"]
    settings = {"hub_url": "http://127.0.0.1:9/hub", "workspace": str(tmp_path), "access_token_command": command}
    with no_orphans():
        door = connector(settings)
        try:
            until(told.is_file, "the command to start")
        finally:
            door.kill()
        pid = int(told.read_text(encoding="utf-8"))
        until(lambda: not alive(pid), "the command to end", 5)
