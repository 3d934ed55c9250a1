"""Executable tools as real processes: what they get, what is taken from them, and that nothing of them stays."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from code_evolver.core.errors import ToolError
from code_evolver.core.manifest import Executable, Manifest
from code_evolver.edges.tool_process import ProcessTools
from tests.tool_servers import alive

ECHO = "import json, os, sys; print(json.dumps({'got': json.load(sys.stdin), 'env': sorted(os.environ), 'argv': sys.argv[1:]}))"


def tool(*args, seconds=20.0, command="python"):
    return Manifest("t", "executable", "", {}, {}, executable=Executable(command, args, seconds))


def run(manifest, payload=None, roots=(), **more):
    return asyncio.run(ProcessTools(roots, **more).call(manifest, payload or {}))


def test_a_tool_gets_one_object_and_gives_one():
    answer = run(tool("-c", ECHO, "; echo $HOME `id`"), {"text": "é\n😀", "n": 1})
    assert answer["got"] == {"text": "é\n😀", "n": 1}
    assert answer["argv"] == ["; echo $HOME `id`"]


def test_a_tool_has_a_bare_environment():
    answer = run(
        tool("-c", ECHO),
        environment={"PATH": "/usr/bin:/bin", "CANARY_TOKEN": "x", "CODE_EVOLVER_ACCESS_TOKEN": "x", "HOME": "/root"},
    )
    assert not {"CANARY_TOKEN", "CODE_EVOLVER_ACCESS_TOKEN", "HOME"} & set(answer["env"])


def test_a_relative_file_is_found_under_the_first_root_that_has_it(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "tools").mkdir(parents=True)
        (tmp_path / name / "tools" / "a.py").write_text(f'print(\'{{"root": "{name}"}}\')', encoding="utf-8")
    (tmp_path / "one" / "tools" / "a.py").unlink()
    assert run(tool("tools/a.py"), roots=(tmp_path / "one", tmp_path / "two")) == {"root": "two"}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            'import sys; print(\'{"success": false, "error": {"message": "no room", "hint": "make some"}}\'); sys.exit(3)',
            "no room",
        ),
        ("print('{\"success\": false}')", "ended with code 0"),
        ("import sys; print('{}'); sys.exit(4)", "ended with code 4"),
        ("print('hello')", "no JSON document"),
        ("import sys; sys.exit('it broke \\x1b[31m')", "it broke \\u001b"),
        ("pass", "no JSON document"),
        ("print('[]')", "a list"),
        ("print('{}{}')", "no JSON document"),
        ("print('{\"a\": NaN}')", "no JSON document"),
        ("import sys; sys.stdout.write('x' * 10_500_000)", "more than 10,000,000 bytes"),
    ],
)
def test_what_is_no_good_answer_is_a_tool_error_that_says_why(code, words):
    with pytest.raises(ToolError) as caught:
        run(tool("-c", code))
    assert words in caught.value.message


def test_a_tool_that_reads_nothing_and_much_noise_do_not_block():
    code = "import sys; sys.stderr.write('n' * 3_000_000); print('{\"ok\": 1}')"
    assert run(tool("-c", code), {"text": "x" * 5_000_000}) == {"ok": 1}


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(ToolError, match="cannot be started") as caught:
        run(tool(command="no-such-program-here"))
    assert "no-such-program-here" in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="looks at processes as POSIX does")
def test_a_tool_that_takes_too_long_is_killed_with_its_children(tmp_path):
    pids = tmp_path / "pids"
    code = (
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)"
    )
    began = time.monotonic()
    with pytest.raises(ToolError, match="did not end within 2 s") as caught:
        run(tool("-c", code, seconds=2.0))
    assert caught.value.actual_code == "tool_timeout"
    assert time.monotonic() - began < 15
    assert [alive(int(pid)) for pid in pids.read_text(encoding="utf-8").split()] == [False, False]


@pytest.mark.skipif(sys.platform == "win32", reason="looks at processes as POSIX does")
def test_children_that_a_tool_leaves_behind_are_ended(tmp_path):
    code = (
        "import json, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(json.dumps({'pid': child.pid}))"
    )
    assert not alive(run(tool("-c", code))["pid"])


def test_a_manifest_without_the_part_is_refused():
    with pytest.raises(ToolError, match="no executable tool"):
        run(Manifest("t", "executable", "", {}, {}))


def test_the_shipped_doors_are_started_by_this_interpreter():
    root = Path(__file__).parents[2]
    manifest = tool("tools/executable/verify_workflow.py")
    words = ProcessTools((root,)).command(manifest)
    assert words == [sys.executable, str(root / "tools" / "executable" / "verify_workflow.py")]
    assert json.dumps(words)
