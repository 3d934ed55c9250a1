"""The attack corpus: with the gate on, and with the gate off, where the child alone must hold."""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from code_evolver.core.child_frames import Limits
from code_evolver.core.gate import check, tools_of
from code_evolver.core.trials import Case
from code_evolver.edges.trial import ChildTrials
from tests.attacks.corpus import Attack, read

CROSSING, LANGUAGE, RESOURCES = read("crossing"), read("language"), read("resources")
RUNNER = Path(__file__).parent / "run_corpus.py"
FORM = {"preamble", "main-guard"}
LINUX = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the corpus calls x86-64 Linux by number"
)


def ids(attacks: list[Attack]):
    return pytest.mark.parametrize("attack", attacks, ids=[attack.id for attack in attacks])


def pythons() -> dict[str, str]:
    """Find the interpreters that are installed, by version."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    for version in ("3.11", "3.12", "3.13"):
        places = [*Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"), shutil.which(f"python{version}")]
        for place in places:
            if place and version not in found:
                found[version] = str(place)
    return found


def test_the_corpus_has_at_least_120_programs_and_each_says_what_stops_it():
    assert len(CROSSING) >= 120
    assert all(attack.tries and attack.stopped_by for attack in CROSSING + LANGUAGE)


@ids(CROSSING)
def test_the_gate_refuses_what_would_cross(attack):
    assert {finding.rule for finding in check(attack.dressed())} - FORM


@ids(LANGUAGE)
def test_the_gate_finds(attack):
    findings = check(attack.dressed())
    assert attack.stopped_by in {finding.rule for finding in findings}
    assert all(finding.message and finding.mend for finding in findings)


def run_corpus(folder: Path, python: str, level: str = "isolated", before: tuple[str, ...] = ()) -> dict[str, Any]:
    done = subprocess.run(
        [*before, (before and python) or sys.executable, "-B", str(RUNNER), str(folder), python, level],
        capture_output=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def assert_held(report: dict[str, Any], user: int) -> None:
    assert report["uid"] == user
    assert report["level"][0] == "isolated"
    assert report["harm"] == []
    assert report["left"] == []
    assert {name: one for name, one in report["results"].items() if one.get("crossed") or "failed" in one} == {}
    assert len(report["results"]) == len(CROSSING)


@LINUX
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_sealed_child_holds_every_crossing_attack(version, tmp_path):
    if version not in pythons():
        pytest.skip(f"Python {version} is not installed")
    assert_held(run_corpus(tmp_path, pythons()[version]), os.getuid())


@LINUX
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_sealed_child_holds_for_an_ordinary_user(version):
    if os.getuid() != 0:
        pytest.skip("not root: the run before this one was an ordinary user's")
    if version not in pythons():
        pytest.skip(f"Python {version} is not installed")
    python = Path(pythons()[version]).resolve()
    # The interpreter may lie in root's closed home: in a mount namespace of this test that folder holds nothing else.
    script = (
        'mount --bind "$0" /mnt && mount -t tmpfs -o mode=755 none "$1" && mkdir -p "$0" && mount --bind /mnt "$0" && shift'
        ' && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'
    )
    before: tuple[str, ...] = ("unshare", "--mount", "sh", "-c", script, str(python.parent.parent), str(Path.home()))
    if not python.is_relative_to(Path.home()):
        before = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    shown = str(python)
    if subprocess.run([*before, shown, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces or no setpriv here")
    reading = f"open({str(Path(__file__))!r}).close()"
    if subprocess.run([*before, shown, "-c", reading], capture_output=True, check=False).returncode:
        pytest.skip("an ordinary user may not read this checkout")
    folder = Path("/tmp") / f"code-evolver-attacks-{os.getpid()}-{version}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    try:
        assert_held(run_corpus(folder, shown, before=before), 65534)
    finally:
        shutil.rmtree(folder)


@LINUX
def test_most_of_the_attacks_on_files_and_network_succeed_without_a_child(tmp_path):
    """Else the corpus would prove nothing."""
    harmless = [one for one in CROSSING if one.id.startswith(("file-", "secret-")) and "proc-parent" not in one.id]
    canary = tmp_path / "canary"
    canary.write_text("the canary sings", encoding="utf-8")
    places = {"canary": canary, "folder": tmp_path, "parent": os.getpid(), "python": sys.executable}
    crossed = [
        one.id
        for one in harmless
        if b"CROSSED" in subprocess.run(
            [sys.executable, "-"], input=one.bare(**places), capture_output=True, check=False, cwd=tmp_path, timeout=20
        ).stdout
    ]  # fmt: skip
    assert len(crossed) >= 0.6 * len(harmless), crossed


SMALL = Limits(wall=15, cpu=1, memory=256 * 1024 * 1024, stdout=1 << 20, stderr=1 << 20)
"""Its time is long: on a busy machine, too, each attack meets its own limit first."""
SHORT = replace(SMALL, wall=1.5)
"""For those who wait."""


@LINUX
@ids(RESOURCES)
def test_the_child_and_its_parent_contain(attack):
    limits = SHORT if attack.stopped_by == "wall" else SMALL
    trials = ChildTrials(limits=limits, preload=("os", "time", "signal", "ctypes"))
    trial = trials.run(attack.bare(), [Case(attack.id, b"{}")], ["summarizer"])
    assert trial.failed == ""
    (run,) = trial.runs
    assert run.stopped_by == attack.stopped_by
    assert len(run.calls) <= SMALL.calls
    assert len(run.stdout) <= SMALL.stdout
    assert len(run.stderr) <= 8 * SMALL.stderr_kept
    assert all(call.tool == "summarizer" for call in run.calls)


def test_what_a_tool_name_hidden_in_input_cannot_do():
    attack = next(one for one in LANGUAGE if one.id == "lang-tool-from-input")
    assert tools_of(attack.dressed()) == ()
