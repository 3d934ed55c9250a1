"""What the wall costs: `python benchmarks/isolation.py [--rounds 25]`. One run, alternating, medians; exit 1 over a limit.

The naive child is what one would write without a wall: `python main.py` with the same program, tools answered in the child
itself, the environment inherited. The bare one is the fastest start that python has (-I -S) and no runtime around it either.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from code_evolver.core.compose import compose  # noqa: E402 - after the path is set
from code_evolver.core.gate import check, tools_of  # noqa: E402
from code_evolver.core.proof_cases import cases  # noqa: E402
from code_evolver.core.task_types import SUMMARIZE  # noqa: E402
from code_evolver.core.trials import Case  # noqa: E402
from code_evolver.edges.trial import ChildTrials  # noqa: E402
from code_evolver.host import normal_sha256  # noqa: E402
from code_evolver.proof import prove  # noqa: E402
from tests.honest_programs import HONEST  # noqa: E402

CODE = compose(SUMMARIZE, translations=True, fields=("content",))
TOOLS = tools_of(CODE)
SAMPLE = {"id": "7", "content": "The fox runs far. The dog too!", "translationLanguages": [{"from": "en", "to": "de"}]}
INPUT = json.dumps(SAMPLE).encode()
NAIVE_RUNTIME = """
class ToolError(Exception):
    code = "tool_failed"
def call_tool(name, prompt="", **arguments):
    return f"{name}: {prompt[:20]}"
def call_tools_parallel(calls):
    return [call_tool(*call[:2]) for call in calls]
"""


class Figure(float):
    """A median, with the fastest of its rounds."""

    best: float

    def __new__(cls, median: float, best: float) -> Self:
        """Take both."""
        made = super().__new__(cls, median)
        made.best = best
        return made


def timed(deed: Callable[[], object]) -> float:
    """Give milliseconds."""
    began = time.perf_counter()
    deed()
    return (time.perf_counter() - began) * 1000


def alternating(deeds: Sequence[Callable[[], object]], rounds: int) -> list[Figure]:
    """Do each once a round, the first round for nothing; give the medians."""
    for deed in deeds:
        deed()
    found = [[timed(deed) for deed in deeds] for _ in range(rounds)]
    # The fastest stands beside each: on a busy machine the median tells of the neighbours.
    return [Figure(statistics.median(column), min(column)) for column in zip(*found, strict=True)]


def naive(folder: Path, *flags: str) -> Callable[[], object]:
    """Give what runs the program in an ordinary child."""
    place = folder / "naive" / "nodes" / "one"
    place.mkdir(parents=True, exist_ok=True)
    (place / "main.py").write_bytes(CODE)
    (place.parents[1] / "node_runtime.py").write_text(NAIVE_RUNTIME, encoding="utf-8")

    def run() -> None:
        done = subprocess.run(
            [sys.executable, *flags, str(place / "main.py")], input=INPUT, capture_output=True, check=True
        )
        assert "result" in json.loads(done.stdout)

    return run


def held(trials: ChildTrials) -> Callable[[], object]:
    """Give what runs the program in a child of ours."""

    def run() -> None:
        trial = trials.run(CODE, [Case("one", INPUT)], TOOLS)
        assert trial.runs[0].exit_code == 0, trial

    return run


def first_proof(trials: ChildTrials, level: str) -> Callable[[], object]:
    """Give what proves the composed program on its real cases."""

    def run() -> None:
        proof = prove(trials, CODE, SUMMARIZE, SAMPLE, tools=frozenset(TOOLS), planned=TOOLS, versions={})
        assert (proof.findings, proof.broken, proof.level["level"]) == ((), "", level), proof

    return run


def by_hand(folder: Path) -> Callable[[], object]:
    """Give what starts a node as a person does: checked, hashed, put into a sealed child."""
    node = folder / "nodes" / "one"
    node.mkdir(parents=True)
    (node / "main.py").write_bytes(CODE)
    record = {"name": "one", "sha256": normal_sha256(CODE), "generator": {"kind": "composer"}}
    (node / "node.json").write_text(json.dumps(record), encoding="utf-8")
    given = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "CODE_EVOLVER_STUB_TOOLS": "1"}
    return lambda: subprocess.run(
        [sys.executable, str(node / "main.py")], input=INPUT, capture_output=True, check=True, env=given
    )


def import_of_runtime() -> float:
    """Give the milliseconds that `import node_runtime` takes in a fresh process."""
    code = "import time; t = time.perf_counter(); import node_runtime; print((time.perf_counter() - t) * 1000)"
    given = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=given).stdout)


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}, " if hasattr(os, "getloadavg") else ""


def measure(rounds: int, folder: Path) -> list[tuple[str, float, str, float | None]]:
    """Give rows (what, figure, unit, limit)."""
    own, guarded, spawned = ChildTrials(), ChildTrials(guarded=True), ChildTrials(start="spawn", guarded=True)
    level, detail = own.level()
    print(f"{level}: {detail}; {os.cpu_count()} processors, {_load()}python {sys.version.split()[0]}")
    plain, bare, sealed, forked, windows = alternating(
        [naive(folder), naive(folder, "-I", "-S"), held(own), held(guarded), held(spawned)], rounds
    )
    gate = statistics.median(
        statistics.median(timed(partial(check, code)) for _ in range(9)) for code in HONEST.values()
    )
    proof, slow = alternating([first_proof(own, level), first_proof(spawned, "guarded")], max(5, rounds // 2))
    (hand,) = alternating([by_hand(folder)], max(5, rounds // 2))
    count = len(cases(SUMMARIZE, SAMPLE, TOOLS))
    return [
        ("a naive child", plain, "ms", None),
        ("a naive child, -I -S", bare, "ms", None),
        (f"one run, {level}", sealed, "ms", None),
        (f"… ÷ naive child ({level})", sealed / plain, "x", 1.25),
        ("one run, guarded, forked", forked, "ms", None),
        ("one run, guarded, spawned (as on Windows)", windows, "ms", None),
        ("gate, median of 30 honest programs", gate, "ms", 1.0),
        (f"first proof of a composed program, {count} cases", proof, "ms", 150.0),
        ("… guarded, spawned (as on Windows)", slow, "ms", None),
        (
            "import of node_runtime",
            statistics.median(import_of_runtime() for _ in range(max(5, rounds // 2))),
            "ms",
            15.0,
        ),
        ("a node started by hand, stub tools", hand, "ms", None),
    ]


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(rounds, Path(folder))
    print(f"{'what':52}{'median':>10}{'best':>8}{'limit':>10}")
    for what, figure, unit, limit in rows:
        shown = "" if limit is None else f"{limit:g} {unit}"
        best = f"{figure.best:.2f}" if isinstance(figure, Figure) else ""
        over = "  OVER" if limit is not None and figure > limit else ""
        print(f"{what:52}{figure:>7.2f} {unit:2}{best:>8}{shown:>10}{over}")
    return any(limit is not None and figure > limit for _, figure, _, limit in rows)


if __name__ == "__main__":
    sys.exit(main())
