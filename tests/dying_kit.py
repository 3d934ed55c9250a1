"""What the tests of dying share: children of a process, orphans, tasks by number, and the balance of a workspace."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from code_evolver.core.lifecycle import State
from code_evolver.edges.queue_sqlite import read_tasks
from tests.acceptance_kit import CLI, environment, run, until

SUBJECTS = (
    "harbour",
    "weather",
    "budget",
    "garden",
    "bridge",
    "museum",
    "winter",
    "market",
    "railway",
    "forest",
    "island",
    "kitchen",
)
ENDED = {State.GENERATED, State.REUSED, State.FAILED}
_PR_SET_CHILD_SUBREAPER = 36


def task(number: int, subject: str = "") -> dict[str, Any]:
    """A task of a known type; six have one subject, so of six three make a node and three reuse it."""
    kind = ("summarize", "generate", "translate")[number % 3]
    group = number // 6
    subject = subject or f"{SUBJECTS[group % len(SUBJECTS)]} {SUBJECTS[group // len(SUBJECTS) % len(SUBJECTS)]}"
    verb = {"summarize": "Summarize", "generate": "Generate", "translate": "Translate"}[kind]
    return {
        "id": f"k-{number}", "taskName": f"{verb} {subject}", "llmTaskType": kind, "content": f"Text {number}.",
        "translationLanguages": [{"from": "en", "to": "fr"}],
    }  # fmt: skip


def children(pid: int, *, deep: bool = True) -> list[int]:
    """Processes that `pid` started and that are there now; `deep`: grandchildren too."""
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (thread / "children").read_text(encoding="utf-8").split()]
    return found + [grandchild for child in found if deep for grandchild in children(child)]


class Started(Protocol):
    """Something that was started: a Door, a Terminal."""

    process: subprocess.Popen[Any]


def connector_of(launcher: Started) -> int:
    """The connector's process id: the launcher's child that is no demo hub."""

    def look() -> int | None:
        for child in children(launcher.process.pid):
            with suppress(OSError):
                if b"signalr_hub_connector" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return child
        return None

    return int(until(look, "the launcher to start its connector", 10))


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def no_orphans() -> Iterator[None]:
    """Fail when a process that was started inside, by whomever, is left afterwards: orphans become ours."""
    if sys.platform != "linux":
        yield
        return
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = set(children(os.getpid()))
    try:
        yield
    finally:
        left = [pid for pid in children(os.getpid()) if pid not in before]
        with suppress(AssertionError):
            until(lambda: not [pid for pid in left if alive(pid)], "processes to end", 2.0)
        stayed = [pid for pid in left if alive(pid)]
        shown = [(pid, _command(pid)) for pid in stayed]
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with suppress(OSError):
                os.waitpid(pid, 0)
    assert not stayed, shown


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    return ""


def status(workspace: Path) -> dict[str, Any]:
    """`code-evolver status --json`."""
    code, found, err = run([*CLI, "status", "--workspace", str(workspace), "--json"])
    assert code == 0, err
    return found


def balance(workspace: Path, ids: Sequence[str] | set[str]) -> dict[str, int]:
    """Check a workspace whose queue is worked off: none lost, none twice, every file valid. Give the numbers."""
    found = status(workspace)
    rows = read_tasks(workspace / ".code_evolver" / "queue.db", 1_000_000)
    times = Counter(row.id for row in rows)
    records = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in workspace.glob("nodes/*/node.json")
    }
    folders = sorted(path.name for path in (workspace / "nodes").iterdir())
    keys = Counter(record["keys"]["node"] if "keys" in record else record["node_key"] for record in records.values())
    ends = found["generated"] + found["reused"] + found["failed"] + found["pending"]
    numbers = {
        "accepted": len(rows), "lost": len(set(ids) - set(times)), "unbalanced": len(rows) - ends, "pending": found["pending"],
        "tasks_twice": sum(count > 1 for count in times.values()), "nodes": len(records),
        "nodes_twice": sum(count > 1 for count in keys.values()), "failed": found["failed"], "generated": found["generated"],
        "reused": found["reused"], "duplicates": found["duplicates"],
    }  # fmt: skip
    assert (numbers["lost"], numbers["unbalanced"], numbers["tasks_twice"], numbers["nodes_twice"]) == (0, 0, 0, 0), (
        numbers
    )
    assert all(row.state in ENDED or row.state in {State.READY, State.DELAYED, State.LEASED} for row in rows)
    assert folders == sorted(records), "a folder without a record"
    listed = json.loads((workspace / "registry.json").read_text(encoding="utf-8"))["nodes"]
    assert sorted(listed) == folders
    assert numbers["generated"] == len(folders), numbers
    assert not list((workspace / ".code_evolver" / "staged").glob("*"))
    return numbers


def verify_all(workspace: Path) -> None:
    """`code-evolver nodes verify --all`."""
    code, printed, err = run([*CLI, "nodes", "verify", "--all", "--workspace", str(workspace), "--json"], timeout=600)
    assert code == 0, (printed, err)


def work_off(workspace: Path) -> dict[str, Any]:
    """`code-evolver work`: without a hub, to the end of the queue."""
    code, printed, err = run([*CLI, "work", "--workspace", str(workspace), "--llm", "off", "--json"])
    assert code == 0, (printed, err)
    return printed


class Silent:
    """A TCP server that accepts, reads, and never says a word; `slow` says after how many seconds it hangs up."""

    def __init__(self, answer: bytes = b"") -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.asked = threading.Event()
        self._answer = answer
        self._taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        while True:
            try:
                taken, _ = self._listening.accept()
            except OSError:
                return
            self._taken.append(taken)
            threading.Thread(target=self._read, args=(taken,), daemon=True).start()

    def _read(self, taken: socket.socket) -> None:
        seen = b""
        with suppress(OSError):
            while data := taken.recv(65536):
                seen += data
                if seen.startswith(b"GET ") and b"\r\n\r\n" in seen and self._answer:
                    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(self._answer)}\r\n\r\n"
                    taken.sendall(head.encode() + self._answer)
                    seen = b""
                elif seen.startswith(b"POST ") or not self._answer:
                    self.asked.set()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for taken in self._taken:
            taken.close()
        self._thread.join(5.0)


@contextmanager
def silent_model() -> Iterator[tuple[Silent, dict[str, str]]]:
    """A model server that lists a model and then never answers; and the environment that leads to it."""
    server = Silent(b'{"object": "list", "data": [{"id": "slow", "object": "model"}]}')
    try:
        yield server, environment(CODE_EVOLVER_LLM_URL=f"{server.url}/v1", CODE_EVOLVER_LLM_MODEL="slow")
    finally:
        server.close()


def odd_task(key: str) -> dict[str, Any]:
    """A task that only a model can do."""
    return {"id": key, "taskName": "Classify the letter", "llmTaskType": "classify", "content": "Dear all."}


def told(server):
    """The tasks whose outcome the hub was told."""
    return {call["arguments"][0]["taskId"] for call in server.get("received") if call["method"] == "TaskFinished"}
