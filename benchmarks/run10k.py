"""10,000 tasks end to end on a hub: `python benchmarks/run10k.py [--tasks 10000] [--hub demo|PATH]`.

The connector as a process on the real hub (PATH of its executable) or on the demo hub; tasks of 100 node keys and 4 program
keys; reports on. Wall, CPU, memory of the connector, model calls (none: `llm` is off) and whether reuse was exact.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from code_evolver.commands.status import status as read
from code_evolver.edges.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
TASKHUB = Path(os.environ.get("CODE_EVOLVER_SHARED") or ROOT.parent / "shared") / "hub" / "taskhub"
KINDS = (("summarize", ()), ("summarize", ("fr",)), ("generate", ()), ("translate", ("de",)))
WORDS = ("harbour", "garden", "bakery", "station", "library")
BATCH = 500
LIMIT = 900.0


def task(number: int) -> dict[str, Any]:
    kind, languages = KINDS[number % 4]
    subject = f"{WORDS[number // 4 % 5]} {WORDS[number // 20 % 5]}"
    return {"id": f"task-{number}", "taskName": f"{kind.capitalize()} {subject} report", "taskType": kind,
            "content": f"Text number {number}. " * 5, "translationLanguages": [{"from": "en", "to": to} for to in languages]}  # fmt: skip


@contextmanager
def hub(which: str) -> Iterator[tuple[str, str]]:
    """Start a hub; give (its control address, the hub's address)."""
    if which == "demo":
        command = [sys.executable, "-m", "code_evolver.cli", "demo-hub", "--port", "0", "--tasks", "none"]
    else:
        command = [which, "--urls", "http://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        base = process.stdout.readline().split()[1].removesuffix("/taskhub")
        try:
            yield f"{base}/control", f"{base}/taskhub"
        finally:
            process.kill()


def usage(pid: int) -> tuple[float, float]:
    """Give CPU seconds, children that ended included, and peak memory (MB) of a process."""
    parts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
    return sum(map(int, parts[11:15])) / os.sysconf("SC_CLK_TCK"), int(status["VmHWM"].split()[0]) / 1024


def status(folder: Path) -> dict[str, Any]:
    return dict(read(Workspace.at(folder))[0])


def wait_until(look: Any) -> None:
    end = time.monotonic() + LIMIT
    while not look():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {LIMIT:.0f} s")
        time.sleep(0.05)


def measure(which: str, count: int, folder: Path) -> None:
    settings = {"workspace": str(folder), "llm": "off", "report_method": "TaskFinished"}
    with hub(which) as (control, url):
        command = [sys.executable, str(ROOT / "tools" / "executable" / "signalr_hub_connector.py")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdin is not None
        process.stdin.write(json.dumps({**settings, "hub_url": url}).encode())
        process.stdin.close()
        wait_until(lambda: httpx.get(f"{control}/connections", timeout=30).json())
        began = time.perf_counter()
        for start in range(0, count, BATCH):
            batch = [task(number) for number in range(start, min(start + BATCH, count))]
            httpx.post(f"{control}/send", json=batch, params={"method": "TaskHub"}, timeout=60).raise_for_status()
        sent = time.perf_counter() - began
        wait_until(lambda: (found := status(folder))["generated"] + found["reused"] + found["failed"] >= count)
        wall = time.perf_counter() - began
        cpu, peak = usage(process.pid)
        process.terminate()
        assert process.stdout is not None
        result = json.loads(process.stdout.read())
        process.wait(30)
    nodes = [
        json.loads(path.read_text(encoding="utf-8"))["generator"]["kind"]
        for path in (folder / "nodes").glob("*/node.json")
    ]
    print(
        f"{count:,} tasks: {wall:.1f} s wall ({count / wall:,.0f} tasks/s; sent within {sent:.1f} s), {cpu:.1f} s CPU, peak {peak:.0f} MB"
    )
    print(f"nodes {len(nodes)} (aim 100), generated {nodes.count('composer')} (aim 4), copies {nodes.count('copy')}; "
          f"reused {result['workflows_reused']:,}, failed {result['tasks_failed']}, model calls {result.get('llm', {}).get('calls', 0)}")  # fmt: skip
    print(f"a task costs {wall / count * 1e3:.2f} ms; tasks a node: {count / len(nodes):.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument(
        "--hub", default=str(TASKHUB) if TASKHUB.is_file() else "demo", help="demo, or the hub's executable"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options.hub, options.tasks, Path(folder))


if __name__ == "__main__":
    main()
