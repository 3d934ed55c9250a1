"""The nursery process (child/boot.py, child/nursery.py): start it, see that its workers are shut in, kill it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from code_evolver.core.child_frames import BadFrame, Frames, Limits, frame
from code_evolver.core.errors import CodeEvolverError

BOOT = Path(__file__).resolve().parent.parent / "child" / "boot.py"
START_SECONDS = 20.0
"""Generous: a loaded machine; the child imports and forks within 0.1 s otherwise."""


class ChildLost(CodeEvolverError):
    """The nursery did not start or was killed by the system: try again, judge nothing by it."""

    code = "child_lost"
    retryable = True


class Channel:
    """One socket to the nursery or a worker, with whole frames."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.frames = Frames()
        self.waiting: list[tuple[bytes, bytes]] = []

    def send(self, kind: bytes, body: bytes) -> None:
        """Send a frame, at most START_SECONDS long. Raises ChildLost."""
        self.sock.settimeout(START_SECONDS)
        try:
            self.sock.sendall(frame(kind, body))
        except OSError as error:
            raise ChildLost(f"The child went away: {error}.") from error

    def read(self, seconds: float = START_SECONDS) -> tuple[bytes, bytes]:
        """Give the next frame within `seconds`. Raises ChildLost."""
        end = time.monotonic() + seconds
        while not self.waiting:
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.sock.recv(65536)
                self.waiting += self.frames.feed(data)
            except (OSError, BadFrame) as error:
                raise ChildLost(f"The child did not answer: {error}.") from error
            if not data and not self.waiting:
                raise ChildLost("The child ended before it was ready.")
        return self.waiting.pop(0)


class Nursery:
    """A started child with one shut-in worker a case. A context manager: leaving kills everything."""

    def __init__(
        self, count: int, modules: Sequence[str], limits: Limits, extras: Mapping[str, Any], *, seal: bool, python: str
    ) -> None:
        self._settings = {
            "modules": list(modules),
            "limits": asdict(limits),
            "seal": seal,
            "parent": os.getpid(),
            **extras,
        }
        self._python = python
        self._count = count
        self._sealing = seal
        self.workers: list[Channel] = []
        self.pids: list[int] = []

    def __enter__(self) -> Self:
        if not hasattr(socket, "AF_UNIX") or not hasattr(os, "fork"):
            # Windows: needs a socket handed over by socket.share and one process a case; designed, not built.
            raise ChildLost("This system cannot start a workflow's child yet.", "Use Linux (or WSL on Windows).")
        control, theirs = socket.socketpair()
        pairs = [socket.socketpair() for _ in range(self._count)]
        self.control = Channel(control)
        self.workers = [Channel(ours) for ours, _ in pairs]
        ends = [end for _, end in pairs]
        self._process = subprocess.Popen(
            [self._python, "-I", "-S", str(BOOT)], stdin=theirs.fileno(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={}, cwd="/", close_fds=True, start_new_session=True,
            pass_fds=[end.fileno() for end in ends],
        )  # fmt: skip
        theirs.close()
        settings = {**self._settings, "channels": [end.fileno() for end in ends]}
        for end in ends:
            end.close()
        try:
            self._meet(settings)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _meet(self, settings: Mapping[str, Any]) -> None:
        self.control.send(b"S", json.dumps(settings).encode())
        kind, body = self.control.read()
        if kind != b"W":
            raise ChildLost(f"The child failed to start: {body.decode('utf-8', 'replace')[:300]}.")
        self.pids = json.loads(body)["pids"]

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, 9)
        self._process.kill()
        self._process.wait()
        for channel in (self.control, *self.workers):
            channel.sock.close()

    def lockdown_of(self, case: int) -> dict[str, Any]:
        """Wait until the worker is shut in and check it from outside; give its report with "sealed": bool."""
        kind, body = self.workers[case].read()
        if kind != b"R":
            raise ChildLost("The child spoke before it was shut in.")
        report: dict[str, Any] = json.loads(body)
        report["sealed"] = bool(report["seccomp"]) and kernel_says_sealed(self.pids[case])
        if report["seccomp"] and not report["sealed"]:
            report["missing"].append("/proc does not confirm the filter")
        if not report["sealed"] and not self._sealing:
            report["missing"].append("seccomp was not asked for")
        return report

    def end(self, case: int, *, kill: bool) -> dict[str, Any]:
        """Give how a worker ended: {"status": exit code or -signal, "cpu", "rss"}; `kill` it first if need be."""
        self.control.send(b"K", json.dumps({"case": case, "kill": kill}).encode())
        answer: dict[str, Any] = json.loads(self.control.read()[1])
        return answer


def kernel_says_sealed(pid: int) -> bool:
    """Read from /proc that the process has a filter and no new privileges."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return lines.get("Seccomp", "").strip() == "2" and lines.get("NoNewPrivs", "").strip() == "1"


def default_python() -> str:
    """Give the interpreter that runs us."""
    return sys.executable
