"""The process that workflows run in, after boot.py has started it: empty environment, the parent's orders on fd 0.

It imports what the program may import. Then it forks one worker a case and only tells their ends; or, where there is no
fork, it is the one worker itself. Each worker shuts itself in *before* it is given a single byte of the program.

fd 0     ← S settings        → W {"pids"}      ← K case → D {"status", "cpu", "rss"}      its end: everybody dies
fd 0     ← S settings with "knock" [port, secret]: no more than this; the worker's channel is a TCP connection to us
"""

from __future__ import annotations

import gc
import json
import os
import select
import sys

import worker  # type: ignore[import-not-found]
from worker import Wire, receive, send

TYPE_CHECKING = False  # as typing says it; its import would cost every child 5 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

KEPT = 3
"""The one descriptor that a worker keeps."""
GRACE_MS = 1000
"""After a worker closed its channel: on a busy machine its end may take a while; who stays on purpose gains no more."""


def load_modules(names: Sequence[str]) -> None:
    """Import what the program may import: after the seal no file can be read. Lazy helpers of these too."""
    lazy = {
        "datetime": ["_strptime"],
        "re": ["copy"],
        "collections": ["heapq", "copy"],
        "statistics": ["fractions", "decimal"],
    }
    for name in [*names, "encodings.ascii", "encodings.latin_1", "encodings.utf_16", "encodings.cp1252"]:
        for module in [name, *lazy.get(name, [])]:
            try:
                __import__(module)
            except ImportError as error:
                sys.stderr.write(f"no module {module}: {error}\n")


def silence() -> None:
    """Put nothing in the place of the standard descriptors."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


def keep_only(fd: int) -> None:
    """Move the one descriptor that is needed to its place and close all others."""
    silence()
    if fd != KEPT:
        os.dup2(fd, KEPT)  # may be where the null device was: so it comes second
    os.closerange(KEPT + 1, 65536)


def become_worker(wire: Wire, settings: Mapping[str, Any], lockdown: Any, runtime: Any, prepared: Any) -> NoReturn:
    """Shut in, report, serve."""
    kernel, program = prepared
    report = lockdown.shut_in(settings["limits"], want_seal=settings["seal"], kernel=kernel, program=program)
    if kernel is not None and not report["seccomp"]:
        kernel.forget()
    send(wire, b"R", report)
    worker.Worker(wire, settings, runtime).serve()
    raise SystemExit  # not reached


def warm() -> None:
    """Do once what every program makes the interpreter do: the first compile builds the syntax tree's types, 2 ms."""
    compile("", "warm", "exec")
    gc.freeze()  # a collection in a worker would touch, and so copy, every page that it shares with this process


def reap(pid: int) -> dict[str, Any]:
    """Wait a moment for the end, else kill; give how it ended and what it used."""
    try:
        pidfd = os.pidfd_open(pid)
    except (AttributeError, OSError):
        pidfd = None
    if pidfd is not None:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(GRACE_MS)
        os.close(pidfd)
    done, status, usage = os.wait4(pid, os.WNOHANG)
    if not done:
        os.kill(pid, 9)
        _, status, usage = os.wait4(pid, 0)
    return {
        "hung": not done,
        "status": os.waitstatus_to_exitcode(status),
        "cpu": usage.ru_utime + usage.ru_stime,
        "rss": usage.ru_maxrss,
    }


def mind(control: Wire, pids: Sequence[int]) -> NoReturn:
    """Answer the parent's orders; its end ends the whole group."""
    while True:
        order = json.loads(receive(control)[1])
        if order["kill"]:
            os.kill(pids[order["case"]], 9)
        send(control, b"D", reap(pids[order["case"]]))


def fork_all(control: Wire, settings: Mapping[str, Any], lockdown: Any, runtime: Any, prepared: Any) -> NoReturn:
    """Fork a worker a case, then mind them."""
    nursery, pids = os.getpid(), []
    for channel in settings["channels"]:
        pid = os.fork()
        if not pid:
            keep_only(channel)
            if sys.platform == "linux":
                lockdown.die_with_parent(prepared[0] or lockdown.Kernel(), nursery)
            become_worker(Wire(KEPT), settings, lockdown, runtime, prepared)
        pids.append(pid)
    for channel in settings["channels"]:
        os.close(channel)
    send(control, b"W", {"pids": pids})
    mind(control, pids)


def knock(port: int, secret: str) -> Any:
    """Connect to the parent and show what only its child can know; give the socket."""
    import _socket  # here: a forked worker needs none; the module above it costs 5 ms

    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    worker.write_all(worker.SocketWire(sock), bytes.fromhex(secret))
    return sock


def alone(settings: Mapping[str, Any], lockdown: Any, runtime: Any, prepared: Any) -> NoReturn:
    """Be the one worker."""
    sock = knock(*settings["knock"])
    if sys.platform == "win32":
        silence()
        become_worker(worker.SocketWire(sock), settings, lockdown, runtime, prepared)
    keep_only(sock.detach())
    import _socket  # as above

    wire = Wire(KEPT) if settings["seal"] else worker.SocketWire(_socket.socket(fileno=KEPT))
    become_worker(wire, settings, lockdown, runtime, prepared)


def main(lockdown: Any, runtime: Any) -> None:
    """Read the settings, load, then work."""
    control = Wire(0)
    settings = json.loads(receive(control)[1])
    prepared = lockdown.prepare()
    if sys.platform == "linux":
        lockdown.die_with_parent(prepared[0] or lockdown.Kernel(), settings["parent"])
    load_modules(settings["modules"])
    warm()
    if "knock" in settings:
        alone(settings, lockdown, runtime, prepared)
    fork_all(control, settings, lockdown, runtime, prepared)
