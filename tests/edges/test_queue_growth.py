"""What a long queue costs, counted in steps of the database and not in seconds, so that it holds on a busy machine.

Times, and a million tasks: benchmarks/durable_queue.py.
"""

import json
import subprocess
import sys

import pytest

from tests.acceptance_kit import LIMIT, environment

PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.ports import End
from tests.queue_helpers import task

steps = 0

def step():
    global steps
    steps += 1

async def counted(call):
    global steps
    steps = 0
    return await call, steps

async def measured(queue, name):
    _, put = await counted(queue.put([task(f"{name} {number}") for number in range(100)], []))
    leases, leased = await counted(queue.lease(32))
    _, begun = await counted(queue.begin_many(leases))
    done, ended = await counted(queue.finish([End(lease, "reused", "node") for lease in leases]))
    assert all(done) and len(done) == 32
    return {"put": put, "lease": leased, "begin": begun, "end": ended}

async def fill(queue, start, end):
    for place in range(start, end, 1000):
        await queue.put([task(str(number), f"{number} " + "words of a text " * 8) for number in range(place, place + 1000)], [])

async def main(path):
    queue = SqliteQueue.open(path)
    queue._writer.db.set_progress_handler(step, 1)
    await fill(queue, 0, 1000)
    few = await measured(queue, "few")
    queue._writer.db.set_progress_handler(None, 1)
    await fill(queue, 1000, 100_000)
    queue._writer.db.set_progress_handler(step, 1)
    many = await measured(queue, "many")
    await queue.close()
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(json.dumps({"few": few, "many": many, "peak": int(peak.split()[1]) / 1024}))

asyncio.run(main(Path(sys.argv[1])))
"""
LIMITS = {"put": 3.5, "lease": 1.5, "begin": 1.5, "end": 1.5}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_hundred_thousand_pending_tasks_make_no_step_dearer_and_stay_on_disk(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "queue.db")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    dearer = {name: found["many"][name] / found["few"][name] for name in LIMITS}
    assert all(dearer[name] <= limit for name, limit in LIMITS.items()), (dearer, found)
    assert found["peak"] <= 80, found
