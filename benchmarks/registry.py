"""Whether the number of nodes matters: `python benchmarks/registry.py [--nodes 100000] [--profile]`.

The same look-ups, saves and pages with 100 nodes and with many; then a rebuild, a start, and memory with 1,000,000 pending tasks.
"""

import argparse
import asyncio
import cProfile
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from durable_queue import make  # type: ignore[import-not-found]  # the script beside us

from code_evolver.assembly import assemble
from code_evolver.configuration import load
from code_evolver.core.registry import read_registry, write_record
from code_evolver.core.settings import Layer
from code_evolver.edges.node_index import NodeIndex
from code_evolver.edges.nodes import NodeStore
from code_evolver.shelf import reconcile

CODE = b'"""A program."""\n' + b"# as long as a composed one\n" * 130
KINDS = ("summarize", "generate", "translate")
FEW = 100
MEMORY_MB = 80


def record(number: int) -> dict[str, Any]:
    """Make a node's record: one in 50 is an original program, the rest are copies."""
    kind = KINDS[number % 3]
    name = f"{kind}_{'abcdefghij'[number % 10] * 3}_report_{number}"
    copy = number % 50 > 0
    return {
        "schema_version": 1, "name": name, "title": f"{kind.capitalize()} report {number}", "task_type": kind,
        "description": "Summarizes a text and translates the answer into each language asked for.",
        "tools": ["summarizer", "quick_translator"], "program_key": f"{kind}+translations:content,f{number // 50 % 40}",
        "node_key": f"{kind}+translations:content/report_{number}", "source_task": f"task-{number}", "fields": ["content"],
        "sample": {"id": "sample-1", "content": "A short synthetic text."},
        "generator": {"kind": "copy", "of": "x", "origin": "composer"} if copy else {"kind": "composer", "attempts": 1},
        "proof": {"checks": [], "covers": {"languages": 5, "fields": ["content"], "max_chars": 20000, "cases": 27}},
        "isolation": {"level": "isolated", "detail": "seccomp sealed"}, "sha256": f"{number // 50:064x}", "runtime_sha256": "0" * 64,
        "created": f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000Z", "version": 1, "parent": "",
    }  # fmt: skip


def lay_out(root: Path, numbers: range) -> None:
    """Write nodes as they lie on the disk."""
    for number in numbers:
        made = record(number)
        folder = root / "nodes" / made["name"]
        folder.mkdir(parents=True)
        (folder / "main.py").write_bytes(CODE)
        (folder / "node.json").write_bytes(write_record(made))


def each(times: int, work: Callable[[int], object]) -> float:
    """Give the seconds of a call: those of the quickest tenth, for others use this machine as well."""
    seconds = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[times // 10]


def measure(root: Path, size: int) -> dict[str, float]:
    """Measure one index with `size` nodes."""
    store, index = open_at(root)
    keys = [record(number * (size // FEW))["node_key"] for number in range(FEW)]
    fresh = iter(range(10_000_000, 20_000_000))

    def save(_: int) -> None:
        made = record(next(fresh))
        store.save(made["name"], {"main.py": CODE, "node.json": write_record(made), "README.md": b"x"})
        index.register([made])

    found = {
        "look up a node key": each(2000, lambda number: index.newest(keys[number % FEW])),
        "look up a program key": each(
            2000, lambda number: index.program(f"summarize+translations:content,f{number % 2}")
        ),
        "first page of 25": each(200, lambda _: index.page(0, 25)),
        "page in the middle": each(200, lambda _: index.page(size // 2, 25)),
        "page of one type": each(200, lambda _: index.page(0, 25, "translate")),
        "examples for a task": each(
            200, lambda number: index.near("translate", ("report", "abcdefghij"[number % 10] * 3))
        ),
        "register": each(200, lambda _: index.register([record(next(fresh))])),
        "save and register": each(100, save),
    }
    began = time.perf_counter()
    index.catch_up()
    found["bring registry.json up to date"] = time.perf_counter() - began
    assert len(read_registry((root / "registry.json").read_bytes())) == len(index) == size + 300
    index.close()
    return found


def open_at(root: Path) -> tuple[NodeStore, NodeIndex]:
    return NodeStore(root / "nodes", root / "staged"), NodeIndex(
        root / ".code_evolver" / "index.db", root / "registry.json"
    )


def rebuild(root: Path) -> float:
    """Register everything from nodes/; give the seconds."""
    store, index = open_at(root)
    began = time.perf_counter()
    reconcile(store, index, print)
    index.catch_up()
    index.mend_registry()
    seconds = time.perf_counter() - began
    index.close()
    return seconds


def start(root: Path) -> float:
    """Open and reconcile, as each start does; give the seconds."""
    began = time.perf_counter()
    store, index = open_at(root)
    reconcile(store, index, print)
    index.mend_registry()
    seconds = time.perf_counter() - began
    index.close()
    return seconds


def memory(root: Path, pending: int) -> None:
    """In a process of its own: assemble all with so many pending tasks and these nodes, and print the peak (MB)."""

    def quiet(_name: str, /, **_fields: Any) -> None:
        return

    async def work() -> None:
        resolved = load(Layer({"workspace": str(root), "llm": "off"}, {}))
        async with assemble(resolved, quiet, hub=False) as parts:
            await asyncio.to_thread(parts.shelf.open)
            for at in range(0, pending, 1000):
                await parts.queue.put([make(at + number) for number in range(1000)], [])
            leases = await parts.queue.lease(64)
            await parts.queue.release(leases)
            assert (await parts.queue.counts()).pending == pending

    asyncio.run(work())
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    print(int(fields["VmHWM"].split()[0]) / 1024)  # not ru_maxrss: that is inherited from whoever started us


def peak(root: Path, pending: int) -> float:
    command = [sys.executable, __file__, "--memory-of", str(root), "--pending", str(pending)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def lines(few: dict[str, float], many: dict[str, float], size: int) -> Iterator[str]:
    yield f"{'':<34} {f'{FEW} nodes':>14} {f'{size:,} nodes':>16}"
    for name, seconds in few.items():
        aim = "(aim ≤ 1.5)" if "registry.json" not in name else "(once a second at most)"
        yield f"{name:<34} {seconds * 1e6:>11,.0f} µs {many[name] * 1e6:>13,.0f} µs   x {many[name] / seconds:.2f} {aim}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument(
        "--pending", type=int, default=1_000_000, help="pending tasks for the memory figure; 0: leave it out"
    )
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary folder)")
    parser.add_argument("--profile", action="store_true", help="say where the time of a rebuild goes")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        memory(options.memory_of, options.pending)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        lay_out(small, range(FEW))
        lay_out(large, range(options.nodes))
        rebuild(small)
        profiler = cProfile.Profile()
        seconds = profiler.runcall(rebuild, large) if options.profile else rebuild(large)
        began = start(large)
        for line in lines(measure(small, FEW), measure(large, options.nodes), options.nodes):
            print(line)
        print(
            f"rebuild from nodes/: {seconds:.1f} s, {options.nodes / seconds:,.0f} nodes/s; a start with all known: {began:.2f} s"
        )
        if options.profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(15)
        if options.pending:
            print(
                f"peak memory, {options.pending:,} pending and {options.nodes:,} nodes: {peak(large, options.pending):.0f} MB (aim ≤ {MEMORY_MB})"
            )


if __name__ == "__main__":
    main()
