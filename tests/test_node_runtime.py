"""A node started by hand is checked and runs sealed; elsewhere node_runtime offers its functions and costs nothing."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from code_evolver.core.compose import compose
from code_evolver.core.task_types import SUMMARIZE
from code_evolver.core.trials import Answer
from code_evolver.host import Doors, normal_sha256, run_node_by_hand

ROOT = Path(__file__).resolve().parents[1]
CODE = compose(SUMMARIZE, translations=True, fields=("content",))
INPUT = b'{"id": "7", "content": "The fox runs far."}'
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the child needs fork")


@pytest.fixture
def node(tmp_path):
    folder = tmp_path / "nodes" / "summarize_fox"
    folder.mkdir(parents=True)
    (folder / "main.py").write_bytes(CODE)
    record = {"name": "summarize_fox", "sha256": normal_sha256(CODE), "generator": {"kind": "composer"}}
    (folder / "node.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def start(node: Path, data: bytes = INPUT, **environment: str):
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("CODE_EVOLVER_")}
    given = {
        **inherited,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "CODE_EVOLVER_STUB_TOOLS": "1",
        **environment,
    }
    return subprocess.run(
        [sys.executable, str(node / "main.py")], input=data, capture_output=True, env=given, timeout=60, check=False
    )


def test_a_node_runs_by_hand_and_prints_one_document(node):
    done = start(node)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {"result", "task_id", "task_type"}
    assert b"Stub tools answer" in done.stderr


def test_bad_input_ends_with_2_and_a_failure_object(node):
    done = start(node, b"{")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "bad_input")


@pytest.mark.parametrize("change", [b"\n# more\n", b"\nprint('CROSSED')\n"])
def test_a_changed_node_does_not_run(node, change):
    (node / "main.py").write_bytes(CODE + change)
    done = start(node)
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "node_changed"
    assert "code-evolver nodes verify summarize_fox" in error["hint"]


def test_line_ends_of_windows_are_no_change(node):
    (node / "main.py").write_bytes(CODE.replace(b"\n", b"\r\n"))
    assert start(node).returncode == 0


def test_the_loud_opt_out_runs_a_changed_node_still_gated(node):
    (node / "main.py").write_bytes(CODE + b"\n# more\n")
    done = start(node, CODE_EVOLVER_RUN_CHANGED="1")
    assert (done.returncode, b"CHANGED PROGRAM" in done.stderr) == (0, True)
    (node / "main.py").write_bytes(CODE.replace(b"import json", b"import json\nimport os", 1))
    refused = start(node, CODE_EVOLVER_RUN_CHANGED="1")
    assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (1, "node_failed")


@pytest.mark.parametrize("damage", ["gone", "torn", "no hash"])
def test_a_node_without_a_record_does_not_run(node, damage):
    record = node / "node.json"
    if damage == "gone":
        record.unlink()
    else:
        record.write_text("{" if damage == "torn" else "{}", encoding="utf-8")
    assert json.loads(start(node).stdout)["error"]["code"] == "node_changed"


def test_a_stray_module_is_reported_and_not_used_by_the_program(node):
    (node / "node_runtime_helper.py").write_text("print('CROSSED')", encoding="utf-8")
    (node / "statistics.py").write_text("print('CROSSED')", encoding="utf-8")
    done = start(node)
    assert (done.returncode, b"CROSSED" in done.stdout) == (0, False)
    assert b"statistics.py stands beside main.py" in done.stderr


def test_a_linked_node_does_not_run(node):
    link = node.parent / "other"
    link.symlink_to(node, target_is_directory=True)
    assert json.loads(start(link).stdout)["error"]["code"] == "node_failed"


def test_code_below_the_import_never_runs_outside_of_the_child(node, tmp_path):
    mark = tmp_path / "mark"
    late = CODE.replace(b"\nTASK_TYPE", f"\nopen({str(mark)!r}, 'w')\nTASK_TYPE".encode(), 1)
    assert late != CODE
    (node / "main.py").write_bytes(late)
    start(node, CODE_EVOLVER_RUN_CHANGED="1")
    assert not mark.exists()


class Streams:
    """The doors of a run in this process."""

    def __init__(self, data: bytes, tmp_path: Path, **environment: str) -> None:
        (tmp_path / "in").write_bytes(data)
        self.said: list[str] = []
        self.out = tmp_path / "out"
        self.doors = Doors((tmp_path / "in").open("rb"), self.out.open("wb"), self.said.append, environment)

    def close(self) -> None:
        self.doors.stdin.close()
        self.doors.stdout.close()


def test_tool_calls_are_answered_by_the_callers_toolbox(node, tmp_path):
    streams = Streams(INPUT, tmp_path)
    code = run_node_by_hand(node / "main.py", streams.doors, lambda calls: [Answer(text="short") for _ in calls])
    streams.close()
    assert (code, json.loads(streams.out.read_bytes())["result"]) == (0, "short")


def test_a_failing_tool_fails_the_node(node, tmp_path):
    streams = Streams(INPUT, tmp_path)
    code = run_node_by_hand(
        node / "main.py", streams.doors, lambda calls: [Answer(error="down", code="llm_unavailable") for _ in calls]
    )
    streams.close()
    assert (code, json.loads(streams.out.read_bytes())["error"]["code"]) == (1, "llm_unavailable")


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_it_elsewhere_takes_under_15_milliseconds():
    code = "import time; t = time.process_time(); import node_runtime; print((time.process_time() - t) * 1000)"
    assert statistics.median(float(run_python(code)) for _ in range(5)) < 15


def test_elsewhere_it_offers_every_name_of_the_contract():
    names = "ToolChain, ToolError, call_llm, call_tool, call_tool_resilient, call_tools_parallel"
    assert (
        run_python(f"from node_runtime import {names}; print(callable(call_tool), issubclass(ToolError, Exception))")
        == "True True"
    )


def test_an_unknown_name_of_it_is_an_import_error():
    assert (
        run_python("try:\n    from node_runtime import nothing\nexcept ImportError as e: print('refused')") == "refused"
    )
