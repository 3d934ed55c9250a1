"""What tests of stopping share: the launcher, a terminal of its own for it, work that never ends, a clock."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.acceptance_kit import LAUNCHER, LIMIT, Door, Hub, environment
from tests.dying_kit import Silent, alive, children, odd_task, task

AT_ONCE = 1.0
"""Seconds in which a stop ends a run that has nothing to finish, from the signal to the end of the process."""
CTRL_C = b"\x03"


def launcher(server_url: str, workspace: Path, *more: str, env: dict[str, str] | None = None, **options: Any) -> Door:
    command = [*LAUNCHER, "--hub-url", server_url, "--workspace", str(workspace), "--log-format", "json", *more]
    return Door(command, env=env or environment(CODE_EVOLVER_LLM="off"), **options)


@contextlib.contextmanager
def timed(limit: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < limit, f"took {took:.2f} s"


class Terminal:
    """The launcher on a terminal of its own: keys go in, what it shows comes out."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()

        def own() -> None:
            signal.signal(
                signal.SIGHUP, signal.SIG_DFL
            )  # whoever runs us may ignore it (nohup); a terminal's shell does not
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command, stdin=slave, stdout=subprocess.PIPE, stderr=slave, env=env, start_new_session=True,
            preexec_fn=own,  # noqa: PLW1509 - one system call, and only the child can make the terminal its own
        )  # fmt: skip
        os.close(slave)
        self.shown = b""
        self._enough, self._stop_reading = os.pipe()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while self._enough not in select.select([self.master, self._enough], [], [])[0]:
                self.shown += os.read(self.master, 65536)

    def press(self, key: bytes) -> None:
        os.write(self.master, key)

    def hang_up(self) -> None:
        """Close the terminal as closing its window does: the system then sends SIGHUP."""
        os.write(self._stop_reading, b"x")  # a terminal that somebody still reads from stays open
        self._thread.join(LIMIT)
        os.close(self.master)
        self.master = -1

    def end(self, seconds: float = LIMIT) -> tuple[int, dict[str, Any]]:
        """Wait for the end; give exit code and document. `shown` is whole then: nobody has the terminal any more."""
        out, _ = self.process.communicate(timeout=seconds)
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), "somebody still has the terminal"
        return self.process.returncode, json.loads(out) if out else {}

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT)
        if self.process.stdout:
            self.process.stdout.close()
        if self.master >= 0:
            self.hang_up()
        os.close(self._enough)
        os.close(self._stop_reading)


@contextlib.contextmanager
def on_a_terminal(
    server_url: str, workspace: Path, *more: str, env: dict[str, str] | None = None
) -> Iterator[Terminal]:
    command = [*LAUNCHER, "--hub-url", server_url, "--workspace", str(workspace), "--json", "--log-format", "json"]
    terminal = Terminal([*command, *more], env or environment(CODE_EVOLVER_LLM="off"))
    try:
        yield terminal
    finally:
        terminal.close()


def busy(server: Hub, terminal_or_door: object, model: Silent) -> None:
    """Give the connector a task that a model thinks about for ever, and wait until it does."""
    server.wait_for_client()
    server.post("send", [odd_task("slow"), task(1), task(2)], method="TaskHub")
    assert model.asked.wait(LIMIT), terminal_or_door


def working(pid: int, seconds: float = 0.5) -> list[int]:
    """Processes under `pid` that have computed for so long: a program in its trial."""
    found = []
    for child in children(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") >= seconds and alive(child):
                found.append(child)
    return found
