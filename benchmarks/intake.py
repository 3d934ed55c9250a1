"""How fast messages become durable tasks: `python benchmarks/intake.py [--count 100000] [--million] [--profile FILE]`.

On the real hub's /control/push, one task a message. Throughput beside the bare signalrcore client, which receives and
forgets, in the same run; latency from the hub's stamp to the commit, idle and while generating; memory over many messages.
"""

import argparse
import cProfile
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "src"))

from signalrcore.hub_connection_builder import HubConnectionBuilder

from code_evolver.edges.log import EventLog
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.executables import signalr_hub_connector
from tests.acceptance_kit import CONNECTOR, TASKHUB, Hub, environment, hub, until

SHARE_LIMIT, SHARE_AIM = 0.35, 1.0
P50_LIMIT, P99_LIMIT, P99_BUSY_LIMIT, GROWTH_LIMIT = 2.0, 10.0, 150.0, 5.0
PATIENCE = 600.0
ROUNDS = 5
"""Of peer and connector in turn."""
WARM_UP = 1000
"""Tasks before those that are timed: the hub's code is compiled while it runs."""


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def row(name: str, figure: str, limit: str, verdict: bool | None) -> None:
    word = {True: "ok", False: "OVER", None: "-"}[verdict]
    print(f"{name:<48} {figure:<52} {limit:<22} {word:<5} {load()}", flush=True)


def percentile(sorted_values: Sequence[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


# ── the peer: signalrcore's own client, counting ─────────────────────────────────────────────────────────────────────
def bare_client(url: str, count: int) -> None:
    """Receive and forget; say when the last message came (seconds since 1970)."""
    seen, done = 0, threading.Event()

    def take(_arguments: Any) -> None:
        nonlocal seen
        seen += 1
        if seen >= count:
            done.set()

    opened = threading.Event()
    connection = HubConnectionBuilder().with_url(url).build()
    connection.on_open(opened.set)
    connection.on("TaskHub", take)
    connection.start()
    opened.wait(20)
    print("ready", flush=True)
    whole = done.wait(PATIENCE)
    print(json.dumps({"at": time.time(), "seen": seen, "whole": whole}), flush=True)
    os._exit(0)


def peer_rate(there: Hub, count: int) -> float:
    command = [sys.executable, __file__, "--bare", there.url, "--count", str(count)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(), text=True
    ) as client:
        assert client.stdout is not None
        client.stdout.readline()
        there.wait_for_client()
        began = push(there, count=count, rate=0)
        found = json.loads(client.stdout.readline())
        assert found["whole"], found
    return float(count / (found["at"] - began))


def push(there: Hub, *, wait: bool = False, **query: Any) -> float:
    """Let the hub push, in the background; give the time it began."""
    began = time.time()
    thread = threading.Thread(target=there.post, args=("push",), kwargs={"batch": 1, **query}, daemon=True)
    thread.start()
    if wait:
        thread.join(PATIENCE)
    return began


# ── ours: the connector as it is started, its events to a file ───────────────────────────────────────────────────────
class Connector:
    """The connector tool as a process."""

    def __init__(self, command: Sequence[str], url: str, folder: Path, **settings: Any) -> None:
        folder.mkdir()
        self.folder = folder
        self.events = folder / "events"
        given = {"hub_url": url, "hub_name": "TaskHub", "workspace": str(folder), "llm": "off", **settings}
        with self.events.open("wb") as stderr:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr, env=environment()
            )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(given).encode())
        self.process.stdin.close()
        until(lambda: self.has("connected"), "connected")

    def has(self, name: str) -> bool:
        """Say whether an event came."""
        assert self.process.poll() is None, self.events.read_text()[-1000:]
        return f'"event":"{name}"' in self.events.read_text(encoding="utf-8")

    def count(self, name: str) -> int:
        """Count events of a name."""
        with self.events.open("rb") as file:
            return sum(f'"event":"{name}"'.encode() in line for line in file)

    def last(self, name: str) -> dict[str, Any]:
        """Give the last event of a name near the end of the file."""
        with self.events.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 100_000))
            lines = file.read().splitlines()
        wanted = f'"event":"{name}"'.encode()
        return next(
            (json.loads(line) for line in reversed(lines[:-1] + lines[-1:]) if wanted in line and line.endswith(b"}")),
            {},
        )

    def wait_queued(self, count: int) -> float:
        """Wait until so many tasks are queued; give when that was."""
        event = until(
            lambda: (found := self.last("task_queued")).get("queue_size", 0) >= count and found,
            f"{count} tasks",
            PATIENCE,
        )
        return datetime.fromisoformat(event["ts"]).timestamp()

    def memory(self) -> float:
        """Give megabytes in memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024

    def seconds(self) -> list[float]:
        """Give the processor seconds of its first threads, in the order of their start: event loop, events, queue."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        stats = [
            (task / "stat").read_text(encoding="utf-8")
            for task in sorted(tasks.iterdir(), key=lambda task: int(task.name))[:3]
        ]
        ticks = os.sysconf("SC_CLK_TCK")
        return [sum(map(int, stat.rpartition(")")[2].split()[11:13])) / ticks for stat in stats]

    def end(self) -> None:
        """Ask it to stop."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kept(self) -> int:
        """Count the tasks in the queue file."""
        db = sqlite3.connect(self.folder / ".code_evolver" / "queue.db")
        (found,) = db.execute("SELECT count(*) FROM bodies").fetchone()
        db.close()
        return int(found)


@contextmanager
def running(command: Sequence[str], url: str, folder: Path, **settings: Any) -> Iterator[Connector]:
    made = Connector(command, url, folder, **settings)
    try:
        yield made
    finally:
        made.end()


def flood(there: Hub, count: int, folder: Path, command: Sequence[str]) -> tuple[float, list[float]]:
    """Give our messages a second, and the microseconds of processor time a message of each thread."""
    with running(command, there.url, folder, auto_generate_workflows=False) as ours:
        before = ours.seconds()
        began = push(there, count=count, rate=0)
        rate = count / (ours.wait_queued(count) - began)
        spent = [(now - then) / count * 1e6 for now, then in zip(ours.seconds(), before, strict=True)]
    kept = ours.kept()
    lines = ours.count("task_queued")
    assert (kept, lines) == (count, count), (kept, lines)
    return rate, spent


def throughput(there: Hub, count: int, folder: Path, profile: str) -> None:
    """Compare the medians of rounds that take turns: both sides meet the machine in the same moods."""
    command = CONNECTOR if not profile else [sys.executable, __file__, "--profiled", profile]
    peer_rate(there, 2 * count)  # the hub's code is compiled while it runs: nobody's figure
    peers: list[float] = []
    found: list[tuple[float, list[float]]] = []
    for number in range(1 if profile else ROUNDS):
        peers.append(peer_rate(there, count))
        found.append(flood(there, count, folder / f"flood {number}", command))
    peer, rate = statistics.median(peers), statistics.median(rate for rate, _ in found)
    spent = [statistics.median(column) for column in zip(*(spent for _, spent in found), strict=True)]
    row(f"bare signalrcore, receives and forgets, {len(peers)} times", f"{peer:,.0f} messages/s ({min(peers):,.0f} to {max(peers):,.0f})",
        "the peer", None)  # fmt: skip
    rates = [rate for rate, _ in found]
    row(
        f"{count:,} messages → durable, with events",
        f"{rate:,.0f} messages/s ({min(rates):,.0f} to {max(rates):,.0f}); none lost",
        "beside",
        None,
    )
    row(
        "  as a share of the peer's",
        f"{rate / peer:.2f}",
        f"≥ {SHARE_LIMIT} times (aim {SHARE_AIM})",
        rate / peer >= SHARE_LIMIT,
    )
    row("where the time goes: processor time a message", "event loop {:.1f} µs, events {:.1f} µs, queue {:.1f} µs".format(*spent),
        "beside", None)  # fmt: skip


# ── latency ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def stamped(path: str) -> None:
    """Be the connector, and note for each task how long after the hub's stamp its commit was known (nanoseconds)."""
    taken: list[int] = []
    put, close = SqliteQueue.put, EventLog.close

    async def timed(self: Any, tasks: Any, refusals: Any) -> Any:
        found = await put(self, tasks, refusals)
        now = time.time_ns()
        taken.extend(now - int(task.raw["sentAt"]) for task in tasks)
        return found

    def noted(self: Any, seconds: float = 1.0) -> None:
        Path(path).write_text(json.dumps(taken), encoding="utf-8")
        close(self, seconds)

    SqliteQueue.put, EventLog.close = timed, noted  # type: ignore[method-assign]
    signalr_hub_connector.main()


def disk(folder: Path, count: int = 500) -> tuple[float, float]:
    """Time appends of 4 KiB with fsync; p50 and p99 in milliseconds."""
    times = []
    with (folder / "appended").open("ab", buffering=0) as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1e3)
    times.sort()
    return percentile(times, 0.5), percentile(times, 0.99)


def latency(there: Hub, seconds: int, folder: Path, *, generating: bool) -> list[float]:
    """Push 1,000 a second; give the milliseconds from the hub's stamp to the commit, sorted."""
    count = 1000 * seconds
    name = "busy" if generating else "quiet"
    file = folder / f"{name}.json"
    command = [sys.executable, __file__, "--stamped", str(file)]
    with running(command, there.url, folder / name, auto_generate_workflows=generating) as ours:
        push(there, wait=True, count=WARM_UP, rate=1000, start=10_000_000)
        push(there, wait=True, count=count, rate=1000)
        until(lambda: ours.count("task_queued") >= WARM_UP + count, "all tasks", PATIENCE)
        if generating:
            print(f"  ({ours.count('task_completed'):,} tasks were worked off meanwhile)")
    found = sorted(one / 1e6 for one in json.loads(file.read_text(encoding="utf-8"))[WARM_UP:])
    assert len(found) == count
    return found


def latencies(there: Hub, seconds: int, folder: Path) -> None:
    p50, p99 = disk(folder)
    row("the disk: append of 4 KiB, synced", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms", "beside", None)
    found = latency(there, seconds, folder, generating=False)
    half, most = percentile(found, 0.5), percentile(found, 0.99)
    row("hub stamp → committed, 1,000/s", f"p50 {half:.2f} ms, p99 {most:.2f} ms, worst {found[-1]:.1f} ms",
        f"p50 ≤ {P50_LIMIT:g}, p99 ≤ {P99_LIMIT:g}", half <= P50_LIMIT and most <= P99_LIMIT)  # fmt: skip
    found = latency(there, seconds, folder, generating=True)
    most = percentile(found, 0.99)
    row("the same while generating", f"p50 {percentile(found, 0.5):.2f} ms, p99 {most:.2f} ms, worst {found[-1]:.1f} ms",
        f"p99 ≤ {P99_BUSY_LIMIT:g}", most <= P99_BUSY_LIMIT)  # fmt: skip


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def memory(there: Hub, count: int, folder: Path) -> None:
    """Compare the medians of the second and the last tenth: the first fills caches of fixed size."""
    step = count // 10
    marks: list[float] = []
    with running(CONNECTOR, there.url, folder / "memory", auto_generate_workflows=False) as ours:
        for number in range(10):
            push(there, count=step, rate=0, start=number * step)
            seen: list[float] = []

            def there_yet(wanted: int = (number + 1) * step, seen: list[float] = seen) -> bool:
                seen.append(ours.memory())
                return bool(ours.last("task_queued").get("queue_size", 0) >= wanted)

            until(there_yet, f"{(number + 1) * step} tasks", PATIENCE)
            time.sleep(0.2)  # the log's last batch
            marks.append(ours.memory())
    growth = marks[-1] - marks[1]
    verdict = growth < GROWTH_LIMIT if count >= 1_000_000 else None  # fewer fill the caches only
    row(f"memory over {count:,} messages", f"{marks[0]:.1f}, {marks[1]:.1f} … {marks[-1]:.1f} MB: {growth:+.1f} MB",
        f"< {GROWTH_LIMIT:g} MB in 1,000,000", verdict)  # fmt: skip


def profiled(path: str) -> None:
    """Be the connector under cProfile (the loop's thread)."""
    profiler = cProfile.Profile()

    def leave(code: int) -> None:
        profiler.disable()
        profiler.dump_stats(path)
        os._exit(code)

    signalr_hub_connector.leave_at_once = leave  # type: ignore[assignment, attr-defined]
    profiler.enable()
    signalr_hub_connector.main()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=10, help="of the latency runs")
    parser.add_argument("--million", action="store_true", help="memory over 1,000,000 messages instead of --count")
    parser.add_argument("--only", choices=("throughput", "latency", "memory"))
    parser.add_argument("--profile", default="", metavar="FILE", help="run the flood under cProfile")
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary folder)")
    for own in ("bare", "stamped", "profiled"):
        parser.add_argument(f"--{own}", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.bare:
        bare_client(options.bare, options.count)
    elif options.stamped:
        sys.argv[1:] = []
        stamped(options.stamped)
    elif options.profiled:
        sys.argv[1:] = []
        profiled(options.profiled)
    elif not TASKHUB.is_file():
        print(f"skipped: the real hub is not at {TASKHUB}")
    else:
        measure(options)


def measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.folder) as name, hub("real") as there:
        folder = Path(name)
        if options.only in (None, "throughput"):
            throughput(there, options.count, folder, options.profile)
        if options.only in (None, "latency"):
            latencies(there, options.seconds, folder)
        if options.only in (None, "memory"):
            memory(there, 1_000_000 if options.million else options.count, folder)


if __name__ == "__main__":
    main()
