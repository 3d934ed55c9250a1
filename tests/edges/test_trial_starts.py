"""The contract of a trial, on every way to start and shut in a child: what holds sealed and forked holds everywhere."""

import json
import os
import sys
import threading
from typing import Any

import pytest

from code_evolver.core.child_frames import Limits
from code_evolver.core.gate import tools_of
from code_evolver.core.preamble import PREAMBLE
from code_evolver.core.trials import Answer, Call, Case
from code_evolver.edges.trial import NOT_RUN, ChildTrials
from tests.honest_programs import HONEST

FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the seal is Linux")
KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "forked, sealed": ({"start": "fork"}, FORK),
    "forked, guarded": ({"start": "fork", "guarded": True}, FORK),
    "spawned, sealed": ({"start": "spawn"}, LINUX),
    "spawned, guarded": ({"start": "spawn", "guarded": True}, ()),
}
SAMPLE = {"id": "7", "content": "The fox runs far. The dog too!", "translationLanguages": [{"from": "en", "to": "de"}]}
INPUT = json.dumps(SAMPLE).encode()
START = f"{PREAMBLE}from node_runtime import ToolError, call_tool, call_tool_resilient, call_tools_parallel\n"


def program(body: str) -> bytes:
    return (START + body).encode()


@pytest.fixture(params=[pytest.param(options, id=kind, marks=mark) for kind, (options, mark) in KINDS.items()])
def options(request):
    return request.param


@pytest.fixture
def run_once(options):
    def run(body: str, tools=("a", "b"), data: bytes = INPUT, answer=None, failing: str = "", **more):
        trial = ChildTrials(**options, **more).run(program(body), [Case("one", data, failing)], tools, answer)
        assert trial.failed == ""
        return trial.runs[0]

    return run


def test_the_level_is_said(options):
    level, detail = ChildTrials(**options).level()
    if options.get("guarded") or sys.platform != "linux":
        assert level == "guarded"
        assert detail.startswith("audit hook and limits, ")
    else:
        assert level == "isolated"
        assert detail.startswith("seccomp sealed, ")


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_program_runs(options, name):
    code = HONEST[name]
    trial = ChildTrials(**options).run(code, [Case("sample", INPUT)], tools_of(code))
    (run,) = trial.runs
    assert (trial.failed, run.stopped_by, run.exit_code) == ("", "", 0), run.stderr
    assert "result" in json.loads(run.stdout)


def test_ten_inputs_have_a_process_and_globals_each_and_come_in_order(options):
    body = "json.count = getattr(json, 'count', 0) + 1\nimport os\nprint(json.load(sys.stdin), json.count, os.getpid())"
    trial = ChildTrials(**options).run(
        program(body), [Case(str(number), str(number).encode()) for number in range(10)], ()
    )
    numbers, counts, pids = zip(*(run.stdout.split() for run in trial.runs), strict=True)
    assert [int(number) for number in numbers] == list(range(10))
    assert set(counts) == {b"1"}
    assert len(set(pids)) == 10
    assert [run.case for run in trial.runs] == [str(number) for number in range(10)]


def test_an_endless_program_is_stopped_and_the_rest_is_not_tried(options):
    cases = [Case(str(number), b"{}") for number in range(5)]
    trial = ChildTrials(limits=Limits(wall=0.3), **options).run(program("while True: pass"), cases, ())
    assert [run.stopped_by for run in trial.runs] == ["wall"] * 5
    assert [run.stderr for run in trial.runs[2:]] == [NOT_RUN] * 3


@pytest.mark.parametrize(
    ("body", "limits", "stopped"),
    [
        ("while True: print('x' * 1000)", Limits(stdout=100_000), "output"),
        ("while True: sys.stderr.write('x' * 1000)", Limits(stderr=100_000), "output"),
        ("while True: call_tool('a', 'x')", Limits(calls=5), "calls"),
        ("x = 'y' * (1 << 40)", Limits(), "memory"),
    ],
)
def test_a_limit_stops_it(run_once, body, limits, stopped):
    run = run_once(body, limits=limits)
    assert (run.stopped_by, run.exit_code) == (stopped, None)
    assert len(run.calls) <= limits.calls
    assert len(run.stdout) <= limits.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a job object's limit, not tried there")
def test_processor_time_stops_it(run_once):
    assert run_once("while True: pass", limits=Limits(cpu=1, wall=20)).stopped_by == "cpu"


def test_answers_reach_the_program_in_order_and_failures_as_objects(run_once):
    def answer(calls):
        return [
            Answer(text=call.prompt.upper()) if call.tool == "a" else Answer(error="no", code="gone") for call in calls
        ]

    run = run_once(
        "r = call_tools_parallel([('a', 'x'), ('b', 'y'), ('a', 'z')])\nprint(r[0], type(r[1]) is ToolError, r[1].code, r[2])",
        answer=answer,
    )
    assert run.stdout.split() == [b"X", b"True", b"gone", b"Z"]


def test_a_tool_that_fails_in_a_case_fails_the_program(run_once):
    run = run_once("call_tool('a', 'x')", failing="a")
    assert run.exit_code == 1
    assert json.loads(run.stdout)["error"]["code"] == "tool_failed"
    assert list(run.calls) == [Call("a", "x", {})]


def test_a_tool_that_is_not_its_own_is_refused_and_not_called(run_once):
    run = run_once("call_tool('secret', 'x')")
    assert json.loads(run.stdout)["error"]["code"] == "tool_not_allowed"
    assert list(run.calls) == []


def test_exit_codes_and_bad_input_come_back(run_once):
    assert run_once("sys.exit(7)").exit_code == 7
    assert run_once("json.load(sys.stdin)", data=b"{").exit_code == 2


def test_a_megabyte_goes_in_and_out_and_to_a_tool(run_once):
    run = run_once("t = sys.stdin.read()\nprint(call_tool('a', t))", data=b"z" * 10**6,
                   answer=lambda calls: [Answer(text=calls[0].prompt.upper())])  # fmt: skip
    assert run.stdout.strip() == b"Z" * 10**6


def test_no_file_is_opened_and_the_environment_is_bare(run_once):
    run = run_once(f"open({__file__!r})")
    assert run.exit_code == 1
    assert "PermissionError" in run.stderr
    shown = run_once("import os\nprint(sorted(os.environ))", preload=("os",)).stdout
    assert set(json.loads(shown.decode().replace("'", '"'))) <= {"LC_CTYPE", "SYSTEMROOT"}


def test_a_program_that_breaks_off_is_told_by_its_exit_code(run_once):
    run = run_once("import os\nprint('said')\nsys.stdout.flush()\nos._exit(5)", preload=("os",))
    assert (run.exit_code, run.stdout.strip()) == (5, b"said")


def test_a_python_that_is_not_there_is_a_failed_trial(options, tmp_path):
    trial = ChildTrials(python=str(tmp_path / "none"), **options).run(program("pass"), [Case("one", b"{}")], ())
    assert "could not be started" in trial.failed
    assert trial.runs == []


def test_a_python_that_ends_at_once_is_a_failed_trial(options):
    trial = ChildTrials(python=_ending(), **options).run(program("pass"), [Case("one", b"{}")] * 3, ())
    assert trial.failed != ""
    assert trial.runs == []


def _ending() -> str:
    if sys.platform == "win32":
        pytest.skip("needs a program that ends whatever its arguments")
    return "/bin/false"


def test_closed_trials_end_though_their_programs_never_do_and_none_starts_any_more(options):
    trials = ChildTrials(**options, limits=Limits(cpu=60, wall=60))
    called, found = threading.Event(), []

    def answer(calls):
        called.set()
        return [Answer(text="") for _ in calls]

    body = "call_tool('a', 'x')\nwhile True:\n    pass"
    running = threading.Thread(
        target=lambda: found.append(trials.run(program(body), [Case("one", INPUT)], ["a"], answer))
    )
    running.start()
    assert called.wait(60)
    trials.close()
    running.join(60)
    assert "child" in found[0].failed
    assert (
        trials.run(program("print(1)"), [Case("one", INPUT)], []).failed == "No trial starts any more: the run is over."
    )
