"""What acceptance tests share: real hubs, the real doors as processes, waiting that is bounded and never sleeps blindly."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CODE_EVOLVER_SHARED") or ROOT.parent / "shared")
TASKHUB = SHARED / "hub" / "taskhub"
LAUNCHER = [sys.executable, str(ROOT / "start_signalr_training.py")]
CONNECTOR = [sys.executable, str(ROOT / "tools" / "executable" / "signalr_hub_connector.py")]
ENGLISH = [sys.executable, str(ROOT / "tools" / "executable" / "connect_signalr.py")]
VERIFY = [sys.executable, str(ROOT / "tools" / "executable" / "verify_workflow.py")]
DOCUMENT = [sys.executable, str(ROOT / "tools" / "executable" / "document_workflow.py")]
CLI = [sys.executable, "-m", "code_evolver.cli"]
LIMIT = 60.0
T = TypeVar("T")

needs_taskhub = pytest.mark.skipif(not TASKHUB.is_file(), reason=f"the real hub is not at {TASKHUB}")
needs_ascii_path = pytest.mark.skipif(
    not str(ROOT).isascii(),
    reason="in an ASCII locale Python itself cannot read the .pth file of an editable install in a folder with other letters",
)
HUBS = [
    pytest.param("demo", id="demo-hub"),
    pytest.param("real", id="real-hub", marks=[needs_taskhub, pytest.mark.hub]),
]


def environment(**more: str) -> dict[str, str]:
    """The environment of a stranger: nothing of ours set, the package importable."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith("CODE_EVOLVER_") and key != "PYTHONPATH"
    }
    return {**kept, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **more}


class Hub:
    """A hub process, driven over its control paths."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("READY "), line
        self.base = line.split()[1].removesuffix("/taskhub")
        self.url = f"{self.base}/taskhub"

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        answer = httpx.post(f"{self.base}/control/{path}", json=body, params=query, timeout=30.0)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.base}/control/{path}", timeout=30.0).json()

    def wait_for_client(self) -> None:
        """Wait until it can send to a client: a hub that has just begun knows one later than the client knows itself connected."""
        until(lambda: self.get("connections"), "a client to connect")

    def stop(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(LIMIT)
        assert self.process.stdout is not None
        self.process.stdout.close()


def hub_command(kind: str, *arguments: str, port: int = 0) -> list[str]:
    """The command of the demo hub or of the real one."""
    if kind == "real":
        return [str(TASKHUB), "--urls", f"http://127.0.0.1:{port}", *arguments]
    return [*CLI, "demo-hub", "--port", str(port), "--tasks", "none", *arguments]


@contextmanager
def hub(kind: str, *arguments: str, port: int = 0) -> Iterator[Hub]:
    """Start the demo hub or the real one."""
    made = Hub(hub_command(kind, *arguments, port=port))
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()


def until(look: Any, what: str, seconds: float = LIMIT) -> Any:
    """Look again and again until there is something; fail after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)  # between two looks, not instead of one
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


_BEGINNING = threading.Lock()


def begun(start: Callable[[Callable[[], T]], Any], work: Callable[[], T]) -> Any:
    """Have `start` begin a thread that does the work, one at a time: CPython 3.11 may fail to trace two that begin at once."""
    there = threading.Event()

    def body() -> T:
        there.set()
        return work()

    with _BEGINNING:
        made = start(body)
        assert there.wait(LIMIT)
    return made


def thread_of(body: Callable[[], Any]) -> threading.Thread:
    made = threading.Thread(target=body, daemon=True)
    made.start()
    return made


class Door:
    """A door of the program as a process; its events are read as they come."""

    def __init__(
        self,
        command: list[str],
        *,
        stdin: bytes | None = None,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        **more: Any,
    ) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env or environment(),
            cwd=cwd,
            **more,
        )
        self.lines: list[str] = []
        self._read = 0
        self._events: list[dict[str, Any]] = []
        self._out: list[bytes] = []
        self._threads = [begun(thread_of, self._read_err), begun(thread_of, self._read_out)]
        if stdin is not None:
            self.give(stdin)

    def give(self, data: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.close()
        except OSError:
            pass

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
        self.process.stderr.close()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        self._out.append(self.process.stdout.read())
        self.process.stdout.close()

    @property
    def events(self) -> list[dict[str, Any]]:
        new = self.lines[self._read :]
        self._read += len(new)
        self._events += [json.loads(line) for line in new if line.startswith("{")]
        return list(self._events)

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]

    def wait_event(self, name: str, count: int = 1, seconds: float = LIMIT) -> list[dict[str, Any]]:
        def look() -> Any:
            found = self.named(name)
            assert self.process.poll() is None or len(found) >= count, f"ended without {name}: {self.lines[-20:]}"
            return found if len(found) >= count else None

        return until(look, f"{count} times {name}", seconds)  # type: ignore[no-any-return]

    def wait_line(self, words: str, seconds: float = LIMIT) -> str:
        return until(  # type: ignore[no-any-return]
            lambda: next((line for line in list(self.lines) if words in line), None), f"the line {words!r}", seconds
        )

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float = LIMIT) -> tuple[int, dict[str, Any]]:
        """Wait for the end; give exit code and the one document on stdout."""
        code = self.process.wait(seconds)
        for thread in self._threads:
            thread.join(5.0)
        if self.process.stdin:
            self.process.stdin.close()
        return code, document(b"".join(self._out))

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT)
        if self.process.stdin:
            self.process.stdin.close()
        for thread in self._threads:
            thread.join(5.0)


def document(data: bytes) -> dict[str, Any]:
    """Read stdout, which must hold exactly one JSON document."""
    text = data.decode("utf-8")
    assert text.endswith("\n"), text[-200:]
    assert text.count("\n") == 1, text[:500]
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def run(command: list[str], stdin: bytes = b"", **more: Any) -> tuple[int, dict[str, Any], str]:
    """Run a door to its end; give exit code, document, stderr."""
    more.setdefault("env", environment())
    more.setdefault("timeout", LIMIT)
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, **more)
    return done.returncode, document(done.stdout), done.stderr.decode("utf-8", "replace")


def connector(settings: dict[str, Any], **more: Any) -> Door:
    """Start the low-level connector tool with its settings on stdin."""
    return Door(CONNECTOR, stdin=json.dumps({"llm": "off", **settings}).encode(), **more)


def adds_up(result: dict[str, Any]) -> bool:
    """The contract's equation."""
    return bool(
        result["tasks_received"] + result["tasks_resumed"]
        == result["workflows_generated"] + result["workflows_reused"] + result["tasks_failed"] + result["tasks_pending"]
    )
