"""A process of its own that does one thing with a queue file and is killed in the midst of it: at a statement, at a byte."""

import asyncio
import os
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, NoReturn

from code_evolver.edges.queue_sqlite import SqliteQueue, read_status, read_tasks

Call = Callable[[SqliteQueue], Coroutine[Any, Any, Any]]
Moment = tuple[Literal["statement", "byte"], int]
"""As the statement of that number begins, or in the midst of what is written to the -wal, so many bytes on."""


def killed_inside(path: Path, moment: Moment, call: Call, **settings: Any) -> bool:
    """Let a child open the file and do `call`, and be killed at that moment; say whether it was done before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the child uses none of them
        child = os.fork()
    if not child:
        _be_killed(path, moment, call, settings)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -signal.SIGKILL, -signal.SIGXFSZ}, code
    return code == 0


def _be_killed(path: Path, moment: Moment, call: Call, settings: dict[str, Any]) -> NoReturn:
    kind, number = moment
    signal.alarm(60)  # whatever hangs here must not hang its parent
    try:
        queue = SqliteQueue.open(path, **settings)
        if kind == "byte":
            _limit_file_size(Path(f"{path}-wal").stat().st_size + number)
        else:
            queue._writer.db.set_trace_callback(_killing_at(number))
        asyncio.run(asyncio.wait_for(call(queue), 20))
        os._exit(0)
    finally:
        os._exit(1)  # what failed here was no kill


def _limit_file_size(size: int) -> None:
    """Have this process killed by its first write past `size`, after what fits of it."""
    import resource  # POSIX only, as fork is; the state machine runs without it

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def _killing_at(number: int) -> Callable[[str], None]:
    begun = 0

    def look(_statement: str) -> None:
        nonlocal begun
        begun += 1
        if begun == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return look


def seen_outside(path: Path, now: float) -> tuple[Any, ...]:
    """What `code-evolver status` sees of a file, whoever had it open: ends, pending, received, rejected, duplicates, ids."""
    found = read_status(path, now)
    counts = found.counts
    assert found.ready + found.delayed + found.leased == counts.pending, "a count is not its rows'"
    waiting = Counter(row.id for row in read_tasks(path, 1000, pending=True))
    numbers = (counts.generated, counts.reused, counts.failed, counts.pending, counts.received)
    return (*numbers, counts.rejected, counts.duplicates, waiting)
