"""The launcher: what a person looks at. Spawns the connector tool, shows its events, asks it to stop, tells how it ended.

It imports core and the log edge only: all the work is the child's.
"""

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from code_evolver import early
from code_evolver.core.strict_json import BadJson, loads
from code_evolver.core.tally import Tally

LAUNCHED = "CODE_EVOLVER_LAUNCHED"
_TICK = 0.25
_PASSING_ON = 0.05
"""Seconds between two looks for a request to stop."""
_PATIENCE_AFTER_SECOND = 0.95
"""The connector ends sooner by itself; past this it is killed."""
PATIENCE_WITH_READERS = 1.0
"""So long one line may take to be read once the connector has ended."""
_INTERRUPTED = 130
_SIGKILL = 9


class View(Protocol):
    """How a run is shown (core.render for lines, live.py for a terminal)."""

    def event(self, event: Mapping[str, Any], tally: Tally) -> None:
        """Show one event, counted already."""

    def tick(self, tally: Tally) -> None:
        """Show that time passes."""

    def close(self) -> None:
        """Leave the screen tidy."""


@dataclass(slots=True)
class Ended:
    """How the connector ended."""

    code: int
    result: dict[str, Any]
    tally: Tally = field(default_factory=Tally)
    seen: bool = True
    """False: whoever should look stands still, and a thread of ours with it, in the midst of a write to stderr."""


_Line = tuple[str, dict[str, Any] | None]
"""What the connector wrote, and the event that it is; None: a blank line."""


@dataclass(slots=True)
class Launcher:
    """One run of the connector tool as a child process."""

    command: Sequence[str]
    settings: Mapping[str, Any]
    view: View
    passed_on: IO[str] | None = None
    """Where event lines go as they are (`--log-format json`); None: only to the view."""
    environment: Mapping[str, str] = field(default_factory=dict)
    finished: Callable[[Tally], bool] = lambda _tally: False
    """Says when to stop by itself (the demo does when its tasks are done)."""
    _lines: "queue.Queue[_Line | None]" = field(default_factory=lambda: queue.Queue(10_000))
    _stops: int = 0
    _asked: int = 0
    _asked_at: float = 0.0
    _shown: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _signals: socket.socket = field(init=False)
    _written: socket.socket = field(init=False)

    def run(self) -> Ended:
        """Run the child to its end. Signals (Ctrl+C, SIGTERM) ask it to stop: once to drain, twice at once."""
        tally = self._new_tally()
        before = self._take_signals()  # first: one that comes while the child starts is passed on as well
        child = self._spawn()
        out: list[bytes] = []
        readers = [
            threading.Thread(target=self._read_events, args=(child.stderr, tally), daemon=True),
            threading.Thread(target=lambda: out.append(_read_all(child.stdout)), daemon=True),
        ]
        for reader in readers:
            reader.start()
        try:
            self._hand_over_settings(child)
            threading.Thread(target=self._pass_on_stops, args=(child,), daemon=True).start()
            showing = threading.Thread(target=self._show_all, daemon=True)
            showing.start()  # apart: a terminal or pipe that stands still holds up whoever writes there
            code = child.wait()
            seen = self._all_shown(showing)
            if code == -_SIGKILL and self._asked == 2:
                code = _INTERRUPTED  # it was us
            readers[1].join(5.0)
        finally:
            self._let_signals_go(before)
            if child.poll() is None:
                child.kill()
        return Ended(code, _read_result(b"".join(out)), tally, seen)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, **self.environment, LAUNCHED: "1", "PYTHONUTF8": "1"}
        # A session (Windows: process group) of its own, so that one Ctrl+C in the terminal reaches the connector once, through us.
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        with early.held_back():  # one that comes while it starts would kill it without a result
            return subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                **apart,
            )

    def _take_signals(self) -> dict[int, Any]:
        """Have signals written to a socket: a thread reads them there and tells the child, whatever the main thread waits for."""
        self._signals, written = socket.socketpair()
        written.setblocking(False)  # noqa: FBT003 - its only parameter, by place only
        self._written = written
        signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, lambda *_: None) for number in early.numbers()}
        self._count_stops(early.taken())
        return before

    def _let_signals_go(self, before: Mapping[int, Any]) -> None:
        self._over.set()
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        self._written.close()

    def _hand_over_settings(self, child: "subprocess.Popen[bytes]") -> None:
        self._tell(child, json.dumps(dict(self.settings)).encode() + b"\n")

    @staticmethod
    def _tell(child: "subprocess.Popen[bytes]", data: bytes) -> None:
        assert child.stdin is not None  # noqa: S101 - Popen was asked for a pipe
        try:
            child.stdin.write(data)
            child.stdin.flush()
        except OSError:
            return  # it has ended already: its result, or the lack of one, says why

    def _new_tally(self) -> Tally:
        return Tally(hub_name=str(self.settings.get("hub_name", "")))

    def _read_events(self, stream: IO[bytes], tally: Tally) -> None:
        """Count each event as it comes, shown or not, and stop once that is what we wait for; the body of a thread."""
        for data in stream:
            text = data.decode("utf-8", "replace")
            event = _read_event(text)
            if event is not None:
                tally.add(event)
            if not self._stops and self.finished(tally):
                self._stops = 1
            self._lines.put((text, event))
        self._lines.put(None)

    def _show_all(self) -> None:
        """Show each line to the last, with what had come until then; the body of a thread."""
        try:
            self._follow(self._new_tally())
        finally:
            self._show_safely(self.view.close)

    def _all_shown(self, showing: threading.Thread) -> bool:
        """Wait until all is shown, for as long as some of it is read each second and nobody asks twice."""
        before = -1
        while showing.is_alive() and self._shown != before:
            before = self._shown
            showing.join(PATIENCE_WITH_READERS)
            if self._stops > 1:
                break
        return not showing.is_alive()

    def _follow(self, tally: Tally) -> None:
        while True:
            try:
                line = self._lines.get(timeout=_TICK)
            except queue.Empty:
                self._show_safely(self.view.tick, tally)
                continue
            if line is None:
                return
            self._show(*line, tally)
            self._shown += 1

    def _pass_on_stops(self, child: "subprocess.Popen[bytes]") -> None:
        """Tell the child of each request to stop; the body of a thread."""
        self._signals.settimeout(_PASSING_ON)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                self._count_stops(self._signals.recv(16))
            while self._asked < min(self._stops, 2):
                self._asked += 1
                self._asked_at = time.monotonic()
                self._tell(child, b"stop\n")
            waited = time.monotonic() - self._asked_at
            if self._asked == 2 and waited > _PATIENCE_AFTER_SECOND and child.poll() is None:
                child.kill()
        self._signals.close()

    def _count_stops(self, numbers: Iterable[int]) -> None:
        """Count signals; a closed terminal says so twice (the system and the shell), and nobody is there to mean it."""
        hang_up = getattr(signal, "SIGHUP", None)
        for number in numbers:
            self._stops = max(self._stops, 1) if number == hang_up else self._stops + 1

    def _show(self, text: str, event: Mapping[str, Any] | None, tally: Tally) -> None:
        if self.passed_on is not None:
            self._show_safely(_write, self.passed_on, text)
        if event is not None:
            tally.add(event)
            self._show_safely(self.view.event, event, tally)

    @staticmethod
    def _show_safely(show: Callable[..., None], *values: Any) -> None:
        """Show something; where nobody looks any more (`| head -1`, a closed terminal), the work goes on unseen."""
        try:
            show(*values)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _write(stream: IO[str], text: str) -> None:
    stream.write(text)
    stream.flush()


def _read_event(text: str) -> dict[str, Any] | None:
    """Read an event line; None for anything else that came to stderr (a traceback of a library)."""
    try:
        found = json.loads(text)
    except ValueError:
        return {"event": "notice", "message": text.rstrip()} if text.strip() else None
    return found if isinstance(found, dict) and "event" in found else None


def _read_all(stream: IO[bytes] | None) -> bytes:
    return stream.read() if stream else b""


def _read_result(data: bytes) -> dict[str, Any]:
    try:
        found = loads(data)
    except BadJson:
        return {}
    return found if isinstance(found, dict) else {}


def how_it_ended(ended: Ended) -> dict[str, Any]:
    """Give the result that the launcher prints: the connector's, or one made of its events where it was killed."""
    if ended.result:
        return ended.result
    if ended.code == _INTERRUPTED:
        message = "The connector was ended by the second request to stop, before it could give its result."
    elif ended.code < 0:
        name = signal.Signals(-ended.code).name if -ended.code in set(signal.Signals) else str(-ended.code)
        message = f"The connector was killed by {name}."
    else:
        message = f"The connector ended with exit code {ended.code} and no result."
    error = {"code": "connector_killed", "message": message, "retryable": True,
             "hint": "Nothing accepted is lost: start again, and the queue goes on."}  # fmt: skip
    return {"success": False, "error": error, **ended.tally.result()}


def exit_code(ended: Ended) -> int:
    """Give the launcher's exit code: the connector's, or 1 where it was killed."""
    told = ended.result or ended.code == _INTERRUPTED
    return ended.code if told and ended.code >= 0 else 1


def connector_command(root: Path | None = None) -> list[str]:
    """Give the command of the low-level tool: the file in the repository where it is there, else the installed module."""
    door = (root or Path(__file__).resolve().parents[2]) / "tools" / "executable" / "signalr_hub_connector.py"
    if door.is_file():
        return [sys.executable, str(door)]
    return [sys.executable, "-m", "code_evolver.executables"]
