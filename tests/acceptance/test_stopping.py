"""Asked to stop while there is work: once, twice, by keys, signals, the clock, a closed terminal; nothing accepted is lost."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.acceptance.model_server import good, model_server
from tests.acceptance_kit import LIMIT, adds_up, connector, environment, hub, until
from tests.dying_kit import alive, children, connector_of, odd_task, silent_model, status, task, work_off
from tests.fault_walk import stamp
from tests.stopping_kit import AT_ONCE, CTRL_C, busy, launcher, on_a_terminal, timed, working

pytestmark = [
    pytest.mark.usefixtures("nobody_is_left_behind"),
    pytest.mark.skipif(sys.platform != "linux", reason="POSIX signals, /proc, terminals"),
]
LASTING = 4.0
"""Seconds of a run that ends by itself: enough to start, to connect and to do a task on a busy machine."""


def test_one_control_c_in_a_terminal_drains(tmp_path):
    with hub("demo") as server, on_a_terminal(server.url, tmp_path) as terminal:
        server.wait_for_client()
        server.post("send", [task(number) for number in range(3)], method="TaskHub")
        until(lambda: terminal.shown.count(b'"task_completed"') == 3, "3 tasks to end")
        with timed(AT_ONCE):
            terminal.press(CTRL_C)
            code, result = terminal.end()
    assert code == 0, result
    assert (result["tasks_received"], result["tasks_pending"]) == (3, 0)
    assert terminal.shown.count(b'"shutdown_requested"') == 1
    assert b'"reason":"launcher"' in terminal.shown.replace(b" ", b"")


def test_two_control_c_in_a_terminal_end_a_busy_run_within_a_second(tmp_path):
    with (
        silent_model() as (model, env),
        hub("demo") as server,
        on_a_terminal(server.url, tmp_path, env=env) as terminal,
    ):
        busy(server, terminal, model)
        terminal.press(CTRL_C)
        until(lambda: b'"shutdown_requested"' in terminal.shown, "the first to arrive")
        assert terminal.process.poll() is None
        with timed(AT_ONCE):
            terminal.press(CTRL_C)
            code, result = terminal.end()
    assert code == 130, result
    assert (result["tasks_received"], result["tasks_pending"]) == (3, 3)
    found = status(tmp_path)
    assert (found["pending"], found["running"]) == (3, False)


def never_ends(task_read):
    """A program that passes the gate and computes for ever."""
    start = "    task, status = {}, 0\n"
    return good(task_read).replace(start, f"{start}    while status == 0:\n        pass\n", 1)


def test_two_control_c_end_a_run_whose_trial_never_ends(tmp_path):
    with model_server(never_ends) as model, hub("demo") as server:
        env = environment(CODE_EVOLVER_LLM_URL=model.url, CODE_EVOLVER_LLM_MODEL="honest")
        with on_a_terminal(server.url, tmp_path, env=env) as terminal:
            server.wait_for_client()
            server.post("send", [task(0), task(1)], method="TaskHub")
            trial = until(lambda: working(connector_of(terminal)), "a trial that computes")
            terminal.press(CTRL_C)
            until(lambda: b'"shutdown_requested"' in terminal.shown, "the first to arrive")
            assert terminal.process.poll() is None
            with timed(AT_ONCE):
                terminal.press(CTRL_C)
                code, result = terminal.end()
                until(lambda: not [pid for pid in trial if alive(pid)], "the trial to end")
    assert code == 130, result
    assert (result["tasks_received"], result["tasks_pending"], result["tasks_failed"]) == (2, 2, 0)
    found = status(tmp_path)
    assert (found["pending"], found["leased"], found["running"]) == (2, 0, False)
    work_off(tmp_path)  # without a model: what was interrupted is done by the composer
    assert (status(tmp_path)["generated"], status(tmp_path)["failed"]) == (2, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_trial_that_never_ends_is_gone_with_its_connector(number, tmp_path):
    with model_server(never_ends) as model, hub("demo") as server:
        env = environment(CODE_EVOLVER_LLM_URL=model.url, CODE_EVOLVER_LLM_MODEL="honest")
        settings = {"hub_url": server.url, "workspace": str(tmp_path), "llm": "auto", "drain_timeout_seconds": 0.5}
        door = connector(settings, env=env)
        try:
            server.wait_for_client()
            server.post("send", [task(0), task(1)], method="TaskHub")
            trial = until(lambda: working(door.process.pid), "a trial that computes")
            left = children(door.process.pid)
            with timed(0.5 + AT_ONCE):
                door.signal(number)
                door.process.wait(LIMIT)
                until(lambda: not [pid for pid in left if alive(pid)], "its processes to end")
        finally:
            door.kill()
    assert set(trial) <= set(left)
    if number == signal.SIGTERM:
        code, result = door.end()
        assert (code, result["tasks_pending"], result["tasks_failed"]) == (0, 2, 0)
        assert status(tmp_path)["leased"] == 0
    assert (status(tmp_path)["pending"], status(tmp_path)["running"]) == (2, False)


def test_a_closed_terminal_drains(tmp_path):
    with hub("demo") as server, on_a_terminal(server.url, tmp_path) as terminal:
        server.wait_for_client()
        server.post("send", [task(number) for number in range(4)], method="TaskHub")
        until(lambda: b'"task_completed"' in terminal.shown, "a task to end")
        terminal.hang_up()
        code, result = terminal.end(10)
    assert code == 0, result
    assert adds_up(result)
    assert status(tmp_path)["running"] is False


@pytest.mark.parametrize("everybody", [False, True], ids=["the launcher's group", "launcher and connector"])
def test_sigterm_for_the_whole_group_arrives_as_one(everybody, tmp_path):
    with silent_model() as (model, env), hub("demo") as server:
        door = launcher(server.url, tmp_path, "--drain-timeout-seconds", "2", env=env, start_new_session=True)
        try:
            busy(server, door.lines, model)
            if everybody:
                os.kill(connector_of(door), signal.SIGTERM)
            os.killpg(door.process.pid, signal.SIGTERM)
            began = time.monotonic()
            code, result = door.end()
            took = time.monotonic() - began
        finally:
            door.kill()
    assert code == 0, result  # 130 would mean: it was taken for two requests
    assert 1.5 < took < 2.0 + AT_ONCE
    assert result["tasks_pending"] == 3
    assert len(door.named("shutdown_requested")) == 1


def test_the_task_in_work_ends_while_draining_and_the_rest_is_kept(tmp_path):
    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)})
        try:
            door.wait_event("connected")
            server.post("send", [task(number) for number in range(18)], method="TaskHub")
            door.wait_event("processing_task", 2)
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert code == 0
    assert adds_up(result)
    assert result["tasks_pending"] > 0
    found = status(tmp_path)
    assert (found["pending"], found["leased"]) == (result["tasks_pending"], 0)  # given back, not left to a lease's end
    work_off(tmp_path)
    assert status(tmp_path)["pending"] == 0


def test_a_task_that_outlasts_the_drain_is_given_back_and_is_no_crash(tmp_path):
    with silent_model() as (model, env), hub("demo") as server:
        server.post("send", [], method="TaskHub")
        for number in range(2):
            settings = {"hub_url": server.url, "workspace": str(tmp_path), "llm": "auto", "drain_timeout_seconds": 0.3}
            door = connector(settings, env=env)
            try:
                door.wait_event("connected")
                if number == 0:
                    server.post("send", odd_task("slow"), method="TaskHub")
                assert model.asked.wait(LIMIT)
                model.asked.clear()
                with timed(0.3 + AT_ONCE):
                    door.signal(signal.SIGTERM)
                    code, result = door.end()
            finally:
                door.kill()
            assert code == 0, result
            assert result["tasks_pending"] == 1
            assert status(tmp_path)["leased"] == 0


def test_the_duration_counts_from_the_start_and_ends_as_control_c_does(tmp_path):
    with hub("demo") as server:
        began = time.time()
        door = launcher(server.url, tmp_path, "--duration", f"{LASTING:g}s")
        try:
            door.wait_event("connected")
            server.post("send", task(0), method="TaskHub")
            door.wait_event("task_completed")
            (asked,) = door.wait_event("shutdown_requested")
            with timed(AT_ONCE):
                code, result = door.end()
        finally:
            door.kill()
    assert code == 0
    assert result["workflows_generated"] == 1
    assert asked["reason"] == "duration"
    assert stamp(asked) - began >= LASTING - 0.01
    assert stamp(asked) - stamp(door.named("starting")[0]) < LASTING + AT_ONCE


def test_a_second_request_while_draining_ends_within_a_second(tmp_path):
    with silent_model() as (model, env), hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path), "llm": "auto"}, env=env)
        try:
            door.wait_event("connected")
            busy(server, door.lines, model)
            door.signal(signal.SIGINT)
            door.wait_event("shutdown_requested")
            with timed(AT_ONCE):
                door.signal(signal.SIGINT)
                code, result = door.end()
        finally:
            door.kill()
    assert code == 130
    assert (result["tasks_received"], result["tasks_pending"]) == (3, 3)


def test_a_call_that_wants_a_result_is_refused_while_draining(tmp_path):
    with silent_model() as (model, env), hub("demo") as server:
        settings = {"hub_url": server.url, "workspace": str(tmp_path), "llm": "auto", "drain_timeout_seconds": 3}
        door = connector(settings, env=env)
        try:
            door.wait_event("connected")
            busy(server, door.lines, model)
            door.signal(signal.SIGTERM)
            door.wait_event("shutdown_requested")
            answer = subprocess.run(
                [sys.executable, "-c", _ASK, server.base],
                input=json.dumps(task(9)),
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
            code, result = door.end()
        finally:
            door.kill()
    assert code == 0
    assert '"received"' not in answer.stdout, answer.stdout
    assert result["tasks_received"] == 3
    assert status(tmp_path)["received"] == 3


_ASK = """
import json, sys, httpx
answer = httpx.post(sys.argv[1] + "/control/ask", json=json.load(sys.stdin), params={"method": "TaskHub", "timeout": 5}, timeout=20)
print(answer.status_code, answer.text)
"""
