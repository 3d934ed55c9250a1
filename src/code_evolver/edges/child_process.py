"""The nursery process (child/boot.py, child/nursery.py): start it, see that its workers are shut in, kill it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from code_evolver.core.child_frames import BadFrame, Frames, Limits, frame
from code_evolver.core.errors import CodeEvolverError

BOOT = Path(__file__).resolve().parent.parent / "child" / "boot.py"
START_SECONDS = 20.0
"""Generous: a loaded machine; the child imports and forks within 0.1 s otherwise."""


class ChildLost(CodeEvolverError):
    """The child did not start or was killed by the system: try again, judge nothing by it."""

    code = "child_lost"
    retryable = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What the children of one trial are like."""

    count: int
    """Cases, and so workers."""
    modules: Sequence[str]
    limits: Limits
    seal: bool
    """Ask for the kernel's seal; without it a worker is guarded by its audit hook."""
    python: str
    extras: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """Give what the child is told first."""
        return {
            "modules": list(self.modules), "limits": asdict(self.limits), "seal": self.seal, "parent": os.getpid(),
            **self.extras,
        }  # fmt: skip


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


class Children(Protocol):
    """One shut-in worker a case, however started. A context manager: leaving kills everything."""

    def __enter__(self) -> Self:
        """Start. Raises ChildLost."""

    def __exit__(self, *_: object) -> None:
        """Kill all."""

    def kill(self) -> None:
        """Kill those that have started, from whatever thread; who waits for one of them sees its end."""

    def channel(self, case: int) -> Channel:
        """Give a worker's channel; asked for once `lockdown_of` has answered."""

    def lockdown_of(self, case: int) -> dict[str, Any]:
        """Wait until the worker is shut in and check it from outside; give its report with "sealed": bool."""

    def end(self, case: int, *, kill: bool) -> dict[str, Any]:
        """Give how a worker ended: {"status": exit code or -signal, "cpu", "hung"}; `kill` it first if need be."""


class Nursery:
    """Children forked by one process that imported everything once. Implements Children; POSIX."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._workers: list[Channel] = []
        self._pids: list[int] = []

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._kill)
            self._start()
            kind, body = self._control.read()
            if kind != b"W":
                raise ChildLost(f"The child failed to start: {body.decode('utf-8', 'replace')[:300]}.")
            self._pids = json.loads(body)["pids"]
            undo.pop_all()
        return self

    def _start(self) -> None:
        control, theirs = socket.socketpair()
        pairs = [socket.socketpair() for _ in range(self._plan.count)]
        self._control = Channel(control)
        self._workers = [Channel(ours) for ours, _ in pairs]
        ends = [end for _, end in pairs]
        try:
            self._process = subprocess.Popen(
                [self._plan.python, "-I", "-S", str(BOOT)], stdin=theirs.fileno(), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, env={}, cwd="/", close_fds=True, start_new_session=True,
                pass_fds=[end.fileno() for end in ends],
            )  # fmt: skip
        except OSError as error:
            raise ChildLost(f"The child could not be started: {error}.", f"Is {self._plan.python} there?") from error
        finally:
            channels = [end.fileno() for end in ends]
            for end in (theirs, *ends):
                end.close()
        self._control.send(b"S", json.dumps({**self._plan.settings(), "channels": channels}).encode())

    def _kill(self) -> None:
        process: subprocess.Popen[bytes] | None = getattr(self, "_process", None)
        if process is not None:
            kill_group(process)
            process.wait()
        for channel in (self._control, *self._workers):
            channel.sock.close()

    def __exit__(self, *_: object) -> None:
        self._kill()

    def kill(self) -> None:
        """Kill the nursery and its workers; whoever entered collects them."""
        kill_group(self._process)

    def channel(self, case: int) -> Channel:
        """Give a worker's channel."""
        return self._workers[case]

    def lockdown_of(self, case: int) -> dict[str, Any]:
        """Wait until the worker is shut in; give its report."""
        return read_report(self._workers[case], self._pids[case], sealing=self._plan.seal)

    def end(self, case: int, *, kill: bool) -> dict[str, Any]:
        """Give how a worker ended."""
        self._control.send(b"K", json.dumps({"case": case, "kill": kill}).encode())
        answer: dict[str, Any] = json.loads(self._control.read()[1])
        return answer


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill a child and all that it started."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, 9)
    process.kill()


def read_report(channel: Channel, pid: int, *, sealing: bool) -> dict[str, Any]:
    """Wait for a worker's lockdown report and check it from outside; give it with "sealed": bool. Raises ChildLost."""
    kind, body = channel.read()
    if kind != b"R":
        raise ChildLost("The child spoke before it was shut in.")
    report: dict[str, Any] = json.loads(body)
    report["sealed"] = bool(report["seccomp"]) and kernel_says_sealed(pid)
    if report["seccomp"] and not report["sealed"]:
        report["missing"].append("/proc does not confirm the filter")
    if not report["sealed"] and not sealing:
        report["missing"].append("seccomp was not asked for")
    return report


def kernel_says_sealed(pid: int) -> bool:
    """Read from /proc that the process has a filter and no new privileges."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return lines.get("Seccomp", "").strip() == "2" and lines.get("NoNewPrivs", "").strip() == "1"


def default_python() -> str:
    """Give the interpreter that runs us; on Windows the real one, not the launcher of a virtual environment, which starts it."""
    return str(getattr(sys, "_base_executable", "") if sys.platform == "win32" else "") or sys.executable
