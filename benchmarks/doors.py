"""What starting and waiting cost: `python benchmarks/doors.py [--rounds 15]`.

--help of every door beside a bare interpreter · start → connected · task → saved node without a model · memory at rest.
Bytecode is cached, as in an installed program. The real hub is asked where it is (../shared/hub/taskhub).
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "src"))

from benchmarks.reuse import OTHER_FIELDS
from tests.acceptance_kit import CLI, CONNECTOR, LAUNCHER, ROOT, TASKHUB, Door, environment, hub, until

HELP_LIMIT, CONNECTED_LIMIT, SAVED_LIMIT, MEMORY_LIMIT = 3.0, 0.5, 0.150, 50.0
AT_REST_SECONDS = 2.0


def surroundings(folder: Path) -> dict[str, str]:
    """Give the environment of a user: bytecode is kept (here, not in the checkout)."""
    kept = {
        key: value for key, value in environment().items() if key not in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    }
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def row(name: str, figure: str, limit: str, good: bool) -> None:
    print(f"{name:<44} {figure:<44} {limit:<12} {'ok' if good else 'OVER'}   {load()}", flush=True)


def helps(rounds: int, env: dict[str, str]) -> None:
    """Compare medians, all doors in turn in each round, so that a noisy moment hits everybody."""
    tools = sorted((ROOT / "tools" / "executable").glob("*.py"))
    names = ("run", "work", "tool", "status", "dead", "nodes", "registry", "demo-hub", "check")
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "start_signalr_training.py": [*LAUNCHER, "--help"],
        "code-evolver": [*CLI, "--help"],
        **{f"code-evolver {name}": [*CLI, name, "--help"] for name in names},
        **{tool.name: [sys.executable, str(tool), "--help"] for tool in tools},
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=True)
            if number:  # the first writes bytecode
                taken[name].append(time.perf_counter() - began)
    bare = statistics.median(taken.pop("bare"))
    row("bare interpreter (python -c pass)", f"{bare * 1e3:.1f} ms", "the peer", good=True)
    for name, times in taken.items():
        ratio = statistics.median(times) / bare
        row(
            f"{name} --help",
            f"{statistics.median(times) * 1e3:.1f} ms = {ratio:.2f} times bare",
            f"≤ {HELP_LIMIT:g} times",
            ratio <= HELP_LIMIT,
        )


def settings(url: str, workspace: Path, **more: Any) -> dict[str, Any]:
    return {"hub_url": url, "hub_name": "TaskHub", "workspace": str(workspace), "llm": "off", **more}


def connected(kind: str, rounds: int, folder: Path, env: dict[str, str]) -> None:
    """Time from starting the process to the moment its `connected` event can be read."""
    times = []
    with hub(kind) as there:
        for number in range(rounds + 1):
            # llm auto, as a user starts it: looking for a model server on this machine is part of the start.
            given = settings(there.url, folder / f"{kind}-{number}", llm="auto")
            began = time.perf_counter()
            process = subprocess.Popen(
                CONNECTOR, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(json.dumps(given).encode())
            process.stdin.close()
            for line in process.stderr:
                if json.loads(line)["event"] == "connected":
                    break
            if number:
                times.append(time.perf_counter() - began)
            process.terminate()
            process.stderr.read()
            process.wait(10)
            process.stderr.close()
    found = statistics.median(times)
    row(
        f"start → connected, {kind} hub",
        f"{found:.3f} s (worst of {rounds}: {max(times):.3f} s)",
        f"≤ {CONNECTED_LIMIT:g} s",
        found <= CONNECTED_LIMIT,
    )


def new_program(number: int) -> dict[str, Any]:
    """Make a task whose program nobody knows: each asks for other content fields."""
    fields = ("content", *next(itertools.islice(itertools.combinations(OTHER_FIELDS, 2), number, None)))
    return {"id": f"task-{number}", "taskName": f"Summary of subject {number}", "taskType": "summarize",
            **{name: f"Text {number} of the {name}." for name in fields}}  # fmt: skip


def saved(count: int, folder: Path, env: dict[str, str]) -> None:
    """Time from `task_queued` to `workflow_saved`, by the events' own stamps (1 ms)."""
    with hub("demo") as there, ExitStack() as stack:
        door = Door(CONNECTOR, stdin=json.dumps(settings(there.url, folder / "saved")).encode(), env=env)
        stack.callback(door.kill)
        door.wait_event("connected")
        for number in range(count + 1):
            there.post("send", new_program(number), method="TaskHub")
            door.wait_event("task_completed", number + 1)
        at = {
            (event["event"], event["task_id"]): datetime.fromisoformat(event["ts"])
            for event in door.events
            if "task_id" in event
        }
    nodes = door.named("workflow_saved")
    times = [
        (at["workflow_saved", f"task-{number}"] - at["task_queued", f"task-{number}"]).total_seconds()
        for number in range(count + 1)
    ]
    first, rest = times[0], times[1:]
    found = statistics.median(rest)
    kinds = {event.get("generator") for event in door.named("workflow_generated")}
    row(f"task → saved node, {len(nodes)} new programs", f"{found * 1e3:.0f} ms (first {first * 1e3:.0f}, worst {max(rest) * 1e3:.0f}; by {', '.join(map(str, kinds))})",
        f"≤ {SAVED_LIMIT * 1e3:.0f} ms", found <= SAVED_LIMIT)  # fmt: skip


def resident(pid: int) -> float:
    """Give megabytes in memory."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def child_of(pid: int) -> int | None:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return int(text[0]) if text else None


def at_rest(folder: Path, env: dict[str, str]) -> None:
    with hub("demo") as there, ExitStack() as stack:
        command = [*LAUNCHER, "--hub-url", there.url, "--hub-name", "TaskHub", "--workspace", str(folder / "rest")]
        door = Door(command, stdin=b"", env=env)
        stack.callback(door.kill)
        there.wait_for_client()
        time.sleep(AT_REST_SECONDS)
        launcher = door.process.pid
        connector = until(lambda: child_of(launcher), "the connector")
        for name, pid in (("connector", connector), ("launcher", launcher)):
            found = resident(pid)
            row(f"memory at rest, {name}", f"{found:.1f} MB", f"≤ {MEMORY_LIMIT:g} MB", found <= MEMORY_LIMIT)
        door.process.terminate()
        door.process.wait(10)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=("help", "connected", "saved", "rest"))
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder, only = Path(name), options.only
        env = surroundings(folder)
        if only in (None, "help"):
            helps(options.rounds, env)
        if only in (None, "connected"):
            connected("demo", options.rounds, folder, env)
            if TASKHUB.is_file():
                connected("real", options.rounds, folder, env)
            else:
                print(f"start → connected, real hub: skipped, it is not at {TASKHUB}")
        if only in (None, "saved"):
            saved(20, folder, env)
        if only in (None, "rest"):
            # The first start of all compiles the sources, which leaves memory behind.
            subprocess.run(
                [sys.executable, "-c", "import code_evolver.executables.signalr_hub_connector"], env=env, check=True
            )
            at_rest(folder, env)


if __name__ == "__main__":
    main()
