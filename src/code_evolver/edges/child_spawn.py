"""A process of its own for every case: the start where there is no fork (Windows), and the same one anywhere else.

The child is told on its stdin where to connect and a secret of 32 random bytes; its channel is a TCP connection on
127.0.0.1, because Windows can wait for sockets only. On Windows a job object (edges/windows_job.py) holds its memory and
time, lets it start no process and kills it with us; that half was written from the documentation and not run.
"""

import contextlib
import hmac
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from code_evolver.core.child_frames import frame
from code_evolver.edges.child_process import BOOT, START_SECONDS, Channel, ChildLost, Plan, kill_group, read_report
from code_evolver.edges.windows_job import Job

AT_ONCE = min(4, os.cpu_count() or 1)
"""Children that start, or wait for their turn, at the same time."""
SECRET_BYTES = 32
KNOCK_SECONDS = 2.0
"""For whoever connected to show the secret."""
GRACE_SECONDS = 2.0
"""As GRACE_MS in child/nursery.py; a spawned child still waits for our half of the connection to close."""
_QUOTA = (1816, 0xC0000044)
"""How Windows ends a process that used up its job's time."""
_CRASH = 0x80000000
"""Windows: exit codes from here on are exceptions that nobody caught."""
SIGXCPU, SIGSEGV = 24, 11


class _Child:
    """A started process with its channel."""

    def __init__(self, plan: Plan) -> None:
        self._began = time.monotonic()
        self.job: Job | None = None
        with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
            self.process = _start(plan.python)
            try:
                self.job = Job.around(self.process, plan.limits)
                self.channel = Channel(self._meet(listener, plan))
            except (ChildLost, OSError) as error:
                self.kill()
                raise error if isinstance(error, ChildLost) else ChildLost(f"The child was lost: {error}.") from error

    def _meet(self, listener: socket.socket, plan: Plan) -> socket.socket:
        secret = secrets.token_bytes(SECRET_BYTES)
        settings = plan.settings()
        settings["limits"]["job"] = self.job is not None
        settings["knock"] = [listener.getsockname()[1], secret.hex()]
        stdin = self.process.stdin
        if stdin is None:
            raise ChildLost("The child has no input.")
        with stdin:
            stdin.write(frame(b"S", json.dumps(settings).encode()))
        return _accept(listener, secret, self.process)

    def end(self, *, kill: bool) -> dict[str, Any]:
        """Close the channel, wait a moment for the process, else kill it. "cpu" is the time since it began: no less."""
        if kill:
            self.kill()
        self.channel.sock.close()
        hung = False
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            hung = True
            self.kill()
        lasted = time.monotonic() - self._began
        return {"status": as_signal(self.process.returncode), "cpu": lasted, "hung": hung}

    def kill(self) -> None:
        """Kill the process and close everything."""
        kill_group(self.process)
        self.process.wait()
        if self.job:
            self.job.close()
        if hasattr(self, "channel"):
            self.channel.sock.close()


class Spawned:
    """Children that are started one by one, some ahead. Implements Children."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._children: dict[int, Future[_Child]] = {}

    def __enter__(self) -> Self:
        # The threads live until all is over: on Linux a child is killed when the thread that started it ends.
        self._pool = ThreadPoolExecutor(AT_ONCE, "code-evolver-start")
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._children.values():
            if not future.cancel() and future.exception() is None:
                future.result().kill()
        self._pool.shutdown()

    def kill(self) -> None:
        """Kill the children that have started; one that starts now ends with our process."""
        for future in list(self._children.values()):
            if future.done() and not future.cancelled() and future.exception() is None:
                kill_group(future.result().process)

    def channel(self, case: int) -> Channel:
        """Give a worker's channel."""
        return self._children[case].result().channel

    def lockdown_of(self, case: int) -> dict[str, Any]:
        """Wait until the worker is shut in; give its report."""
        for number in range(case, min(case + AT_ONCE, self._plan.count)):
            if number not in self._children:
                self._children[number] = self._pool.submit(_Child, self._plan)
        child = self._children[case].result()
        return read_report(child.channel, child.process.pid, sealing=self._plan.seal)

    def end(self, case: int, *, kill: bool) -> dict[str, Any]:
        """Give how a worker ended."""
        return self._children[case].result().end(kill=kill)


def _start(python: str) -> "subprocess.Popen[bytes]":
    root = os.environ.get("SYSTEMROOT", r"C:\Windows")
    manner: dict[str, Any] = {"env": {}, "cwd": "/", "start_new_session": True}
    if sys.platform == "win32":  # sockets and random bytes need SYSTEMROOT there
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        manner = {"env": {"SYSTEMROOT": root}, "cwd": root, "creationflags": flags}
    try:
        return subprocess.Popen(
            [python, "-I", "-S", str(BOOT)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, close_fds=True, **manner,
        )  # fmt: skip
    except OSError as error:
        raise ChildLost(f"The child could not be started: {error}.", f"Is {python} there?") from error


def _accept(listener: socket.socket, secret: bytes, process: "subprocess.Popen[bytes]") -> socket.socket:
    """Wait for the one that knows the secret; turn others away. Raises ChildLost."""
    end = time.monotonic() + START_SECONDS
    listener.settimeout(0.2)
    while time.monotonic() < end:
        try:
            sock, _ = listener.accept()
        except TimeoutError:
            if process.poll() is not None:
                raise ChildLost("The child ended before it was ready.") from None
            continue
        if hmac.compare_digest(_first_bytes(sock), secret):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        sock.close()
    raise ChildLost("The child did not connect.")


def _first_bytes(sock: socket.socket) -> bytes:
    got = b""
    sock.settimeout(KNOCK_SECONDS)
    with contextlib.suppress(OSError):
        while len(got) < SECRET_BYTES and (piece := sock.recv(SECRET_BYTES - len(got))):
            got += piece
    return got


def as_signal(status: int) -> int:
    """Give an exit status as POSIX counts it: the codes by which Windows tells a crash or used-up time become -signal."""
    if status in _QUOTA:
        return -SIGXCPU
    return -SIGSEGV if status >= _CRASH else status
