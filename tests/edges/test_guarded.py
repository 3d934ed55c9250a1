"""Where there is no seal: what is said, what the audit hook holds, and - told honestly - what it does not."""

import json
import os
import platform
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from code_evolver.core.child_frames import Limits
from code_evolver.core.gate import tools_of
from code_evolver.core.trials import Case
from code_evolver.edges import child_spawn
from code_evolver.edges.child_process import ChildLost
from code_evolver.edges.trial import ChildTrials, TooWeak
from tests.honest_programs import HONEST

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
X86_LINUX = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="calls x86-64 Linux by number"
)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="a script as interpreter")
INPUT = b'{"id": "7", "content": "The fox runs far."}'

_ANEW = (
    "import sys\nfrozen = sys.modules['_frozen_importlib']\nspec = frozen.BuiltinImporter.find_spec('posix')\n"
    "system = frozen._imp.create_builtin(spec)\nfrozen._imp.exec_builtin(system)\n"
)
GETS_THROUGH = {
    "a file's size, by a module built anew": f"{_ANEW}print('CROSSED', system.stat('/').st_size)",
    "a link's target, by a module built anew": f"{_ANEW}print('CROSSED', system.readlink('/proc/self/ns/pid'))",
    "the parent's priority, by a module built anew": f"{_ANEW}print('CROSSED', system.getpriority(0, system.getppid()))",
    "the frames of the child's own code": (
        "import sys\nframe = sys._getframe()\nwhile frame.f_back: frame = frame.f_back\nprint('CROSSED', frame.f_code)"
    ),
}
"""What a guarded child lets through, with the gate off: why it is called guarded. The corpus of attacks it holds, all of it."""


@pytest.fixture
def python_that(tmp_path):
    """Make an interpreter of a script of ours: it gets `argument` and what python was started with."""

    def make(script: str, *arguments: str) -> str:
        words = " ".join(f"'{word}'" for word in (sys.executable, str(HERE / script), *arguments))
        path = tmp_path / f"python-{len(list(tmp_path.iterdir()))}"
        places = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
        path.write_text(f"#!/bin/sh\nPYTHONPATH='{places}' exec {words} \"$@\"\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return make


@X86_LINUX
@pytest.mark.parametrize("level", ["guarded", "guarded-spawn"])
def test_a_guarded_child_holds_the_corpus_of_attacks(level, tmp_path):
    runner = ROOT / "tests" / "attacks" / "run_corpus.py"
    done = subprocess.run(
        [sys.executable, "-B", str(runner), str(tmp_path), sys.executable, level],
        capture_output=True, timeout=110, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["level"][0] == "guarded"
    assert [name for name, one in report["results"].items() if "failed" in one] == []
    assert [name for name, one in report["results"].items() if one.get("crossed")] == []
    assert report["harm"] == []
    assert report["left"] == []


@X86_LINUX
@pytest.mark.parametrize("attack", GETS_THROUGH)
def test_what_a_guarded_child_lets_through_is_known(attack):
    (run,) = ChildTrials(guarded=True).run(GETS_THROUGH[attack].encode(), [Case("one", b"")], ()).runs
    assert run.stdout.startswith(b"CROSSED"), run.stderr


@X86_LINUX
@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("lacking", "level", "begins", "says"),
    [
        ("landlock", "isolated", "seccomp sealed, no Landlock", ""),
        ("seccomp", "guarded", "audit hook and limits, Landlock ABI ", "; missing: seccomp ([Errno 22]"),
        ("landlock,seccomp", "guarded", "audit hook and limits, no Landlock", "; missing: seccomp ([Errno 22]"),
        ("no_new_privs", "guarded", "audit hook and limits, no Landlock", "; missing: no_new_privs ([Errno 22]"),
    ],
)
def test_a_kernel_that_lacks_a_part_is_told_by_name(python_that, start, lacking, level, begins, says):
    trials = ChildTrials(python=python_that("lacking_kernel.py", lacking), start=start)
    said, detail = trials.level()
    assert (said, detail.startswith(begins), says in detail) == (level, True, True), detail
    code = HONEST["plain"]
    trial = trials.run(code, [Case("sample", INPUT)], tools_of(code))
    assert (trial.failed, trial.level, trial.detail, trial.runs[0].exit_code) == ("", level, detail, 0)
    opened = trials.run(f"open({__file__!r})".encode(), [Case("one", b"")], ())
    assert "PermissionError" in opened.runs[0].stderr


@X86_LINUX
def test_a_program_that_needs_the_seal_is_not_given_to_a_child_without(python_that):
    asked: list[object] = []

    def answer(calls):
        asked.extend(calls)
        return []

    trials = ChildTrials(python=python_that("lacking_kernel.py", "seccomp"))
    with pytest.raises(TooWeak) as caught:
        trials.run_node(HONEST["plain"], INPUT, ["summarizer"], answer, least="isolated")
    assert "missing: seccomp" in caught.value.message
    assert asked == []


@POSIX
def test_the_childs_half_for_windows_runs_honest_programs_as_far_as_it_can_be_had_here(python_that):
    trials = ChildTrials(python=python_that("windows_like.py"), start="spawn", guarded=True)
    level, detail = trials.level()
    assert level == "guarded"
    assert "no kernel filter on win32" in detail
    for name, code in HONEST.items():
        (run,) = trials.run(code, [Case("sample", INPUT)], tools_of(code)).runs
        assert (name, run.exit_code) == (name, 0), run.stderr


@POSIX
def test_the_childs_half_for_windows_is_stopped_and_opens_nothing(python_that):
    python = python_that("windows_like.py")
    hasty = ChildTrials(python=python, start="spawn", limits=Limits(wall=0.4))
    runs = hasty.run(b"while True: pass", [Case("one", b"")], ()).runs
    assert [run.stopped_by for run in runs] == ["wall"]
    trials = ChildTrials(python=python, start="spawn")
    runs = trials.run(f"open({__file__!r})".encode(), [Case("one", b"")], ()).runs
    assert "may not do this: open" in runs[0].stderr


def test_a_system_without_fork_starts_a_process_a_case():
    script = (
        "import os, socket\n"
        "for module, name in ((os, 'fork'), (socket, 'AF_UNIX')):\n"
        "    if hasattr(module, name): delattr(module, name)\n"
        "from code_evolver.core.trials import Case\n"
        "from code_evolver.edges.trial import ChildTrials, own_start\n"
        "trial = ChildTrials().run(b'print(1)', [Case('a', b''), Case('b', b'')], ())\n"
        "print(own_start(), trial.failed, [run.stdout.split() for run in trial.runs])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert (done.stdout.split(maxsplit=1), done.stderr) == (["spawn", "[[b'1'], [b'1']]\n"], "")


def test_what_runs_knows_nothing_to_reach_the_system_with():
    """Its frames hold no loaded library, and the system's functions are gone from os."""
    body = (
        b"import sys, os\nframe, found = sys._getframe(), []\n"
        b"while frame:\n"
        b"    for value in list(frame.f_locals.values()):\n"
        b"        found += [n for n in ('_syscall', '_prctl', 'ctypes') if hasattr(value, n)]\n"
        b"    frame = frame.f_back\n"
        b"print(found)\n"
        b"try: os.stat('/')\nexcept PermissionError as error: print(error)\n"
    )
    (run,) = ChildTrials(guarded=True, preload=("os",)).run(body, [Case("one", b"")], ()).runs
    assert run.stdout.decode().splitlines() == ["[]", "a workflow may not do this: os.stat"], run.stderr


@pytest.fixture
def waiting():
    """A process that lives until its input ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_only_who_knows_the_secret_becomes_the_channel(waiting):
    secret = bytes(range(32))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        strangers = [socket.create_connection(address) for _ in range(3)]
        strangers[0].sendall(b"x" * 32)
        strangers[1].sendall(secret[:31])
        strangers[1].shutdown(socket.SHUT_WR)
        strangers[2].close()
        ours = socket.create_connection(address)
        ours.sendall(secret)
        met = child_spawn._accept(listener, secret, waiting)
    with met:
        assert met.getpeername() == ours.getsockname()
        assert strangers[0].recv(1) == b""
    for sock in (*strangers, ours):
        sock.close()


def test_a_child_that_ends_without_a_word_is_lost_at_once(waiting):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Timer(0.1, waiting.kill).start()
        with pytest.raises(ChildLost, match="ended before it was ready"):
            child_spawn._accept(listener, b"x" * 32, waiting)


@pytest.mark.parametrize(
    ("status", "means"), [(0, 0), (2, 2), (255, 255), (-9, -9), (1816, -24), (0xC0000044, -24), (0xC0000005, -11)]
)
def test_windows_exit_codes_are_read_as_signals(status, means):
    assert child_spawn.as_signal(status) == means
