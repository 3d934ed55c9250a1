"""Programs run in sealed children: what is special to them. What every start must do: test_trial_starts.py."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from code_evolver.core.child_frames import Limits
from code_evolver.core.compose import compose
from code_evolver.core.gate import tools_of
from code_evolver.core.preamble import PREAMBLE
from code_evolver.core.stubs import stub_text
from code_evolver.core.task_types import SUMMARIZE
from code_evolver.core.trials import Answer, Call, Case
from code_evolver.edges.trial import ChildTrials

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the child needs fork")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the seal is Linux")
SAMPLE = {"id": "7", "content": "The fox runs far. The dog too!", "translationLanguages": [{"from": "en", "to": "de"}]}
INPUT = json.dumps(SAMPLE).encode()
START = (
    f"{PREAMBLE}from node_runtime import ToolChain, ToolError, call_tool, call_tool_resilient, call_tools_parallel\n"
)


def program(body: str) -> bytes:
    return (START + body).encode()


def run_once(body: str, tools=("a", "b"), data: bytes = INPUT, answer=None, failing: str = "", **options):
    trial = ChildTrials(**options).run(program(body), [Case("one", data, failing)], tools, answer)
    assert trial.failed == ""
    return trial.runs[0]


@LINUX
def test_this_machine_reaches_isolated_and_says_by_what():
    level, detail = ChildTrials().level()
    assert level == "isolated"
    assert detail.startswith("seccomp sealed, ")


def test_stub_tools_answer_recognisably_and_calls_are_kept():
    run = run_once("print(call_tool('a', 'x', size=3))")
    call = Call("a", "x", {"size": 3})
    assert list(run.calls) == [call]
    assert run.stdout.decode().strip() == stub_text(call)


def test_a_chain_carries_the_result_on():
    run = run_once(
        "print(ToolChain().call('a', 'x').then('b', '<{result}>').get())",
        answer=lambda calls: [Answer(text=f"{call.tool}({call.prompt})") for call in calls],
    )
    assert run.stdout == b"b(<a(x)>)\n"


def test_a_resilient_call_tries_again_and_then_the_tools_of_its_tags():
    run = run_once(
        "print(call_tool_resilient('a', 'x', attempts=2, tags=('t',)))",
        tools=("a",),
        failing="a",
        tagged={"t": ("a", "b")},
    )
    assert [call.tool for call in run.calls] == ["a", "a", "b"]
    assert run.exit_code == 0


def test_the_failing_tool_of_a_case_fails_whoever_answers():
    run = run_once("call_tool('a', 'x')", failing="a", answer=lambda calls: [Answer(text="fine") for _ in calls])
    assert run.exit_code == 1
    assert json.loads(run.stdout)["error"]["code"] == "tool_failed"


@pytest.mark.parametrize(
    ("body", "data", "exit_code", "code"),
    [
        ("json.load(sys.stdin)", b"{", 2, "bad_input"),
        ("sys.stdin.read()", b"\xff\xfe\xfd", 2, "bad_input"),
        ("raise ValueError('no text')", b"{}", 2, "bad_input"),
        ("{}['x']", b"{}", 1, "node_failed"),
        ("raise ToolError('no', 'gone')", b"{}", 1, "gone"),
        ("call_tool('secret', 'x')", b"{}", 1, "tool_not_allowed"),
        ("call_tool('a', 'x', y={1})", b"{}", 1, "bad_input"),
    ],
)
def test_an_uncaught_failure_becomes_a_failure_object(body, data, exit_code, code):
    run = run_once(body, data=data)
    assert (run.exit_code, json.loads(run.stdout)["error"]["code"]) == (exit_code, code)
    assert "main.py, line " in run.stderr


def test_a_failure_after_output_adds_no_second_document():
    run = run_once("print('{}')\nraise ValueError('late')")
    assert (run.stdout, run.exit_code) == (b"{}\n", 2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_input_with_a_byte_order_mark_is_good_input(encoding):
    run = run_once("print(json.load(sys.stdin)['content'])", data='{"content": "Zürich"}'.encode(encoding))
    assert run.stdout.decode() == "Zürich\n"


def test_control_characters_of_stderr_are_escaped():
    assert "\x1b" not in run_once("sys.stderr.write('\\x1b[31mred')").stderr


def test_the_clock_stands_still_while_a_tool_answers():
    def slow(calls):
        threading.Event().wait(2.1)
        return [Answer(text="late") for _ in calls]

    assert run_once("print(call_tool('a', 'x'))", answer=slow, limits=Limits(wall=2.0)).stdout == b"late\n"


def test_a_child_that_cannot_be_started_is_a_failed_trial_and_no_verdict(tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    trial = ChildTrials(python=str(broken)).run(program("pass"), [Case("one", b"{}")], ())
    assert (trial.failed != "", trial.runs) == (True, [])


def test_trials_run_in_several_threads_at_once():
    trials, results = ChildTrials(), []
    code = compose(SUMMARIZE, translations=True, fields=("content",))

    def work():
        results.append(trials.run(code, [Case("one", INPUT)], tools_of(code)).runs[0].exit_code)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [0] * 4


@LINUX
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_children_die_with_a_parent_that_is_killed(tmp_path, start):
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from code_evolver.core.child_frames import Limits
from code_evolver.core.trials import Answer, Case
from code_evolver.edges.trial import ChildTrials
def answer(calls):
    print(calls[0].prompt, flush=True)
    sys.stdin.read()
code = b"import os\\nfrom node_runtime import call_tool\\ncall_tool('a', str(os.getpid()) + ' ' + str(os.getppid()))"
ChildTrials(start={start!r}).run(code, [Case("one", b"{{}}")], ["a"], answer)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    end = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        os.sched_yield()
    assert [pid for pid in pids if alive(pid)] == []


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
