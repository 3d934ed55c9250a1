"""Runs every crossing attack in sealed children with the gate off, and prints what came of it as one JSON object.

`python run_corpus.py FOLDER PYTHON LEVEL[-spawn]`: a program of its own, so that it can be started as another user.
"""

import json
import os
import signal
import socket
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from code_evolver.core.child_frames import Limits  # noqa: E402 - after the path is set
from code_evolver.core.trials import Case  # noqa: E402
from code_evolver.edges.trial import ChildTrials  # noqa: E402
from tests.attacks.corpus import Attack, read  # noqa: E402

CANARY = "the canary sings"
PRELOAD = [
    "os",
    "io",
    "codecs",
    "linecache",
    "tokenize",
    "fileinput",
    "mmap",
    "importlib.machinery",
    "ctypes",
    "socket",
    "_socket",
    "urllib.request",
    "pty",
    "subprocess",
    "threading",
    "multiprocessing",
    "resource",
    "fcntl",
    "time",
    "signal",
    "pwd",
    "tempfile",
    "_posixshmem",
    "_io",
]
LIMITS = Limits(wall=4, cpu=2, memory=1 << 30)


class Surroundings:
    """What the attacks would like to reach: a file, listeners, this process."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.canary = self.folder / "canary"
        self.canary.write_text(CANARY, encoding="utf-8")
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(self.folder / "unix"))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0code-evolver-{os.getpid()}")
        for one in (self.unix, self.abstract):
            one.listen()
        for one in (self.tcp, self.udp, self.unix, self.abstract):
            one.setblocking(False)
        self.before = sorted(entry.name for entry in self.folder.iterdir())
        self.stat = self.canary.stat()
        self.signals: list[int] = []
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGIO, signal.SIGHUP):
            signal.signal(number, lambda got, _: self.signals.append(got))

    def places(self, python: str) -> dict[str, object]:
        return {
            "canary": self.canary, "folder": self.folder, "tcp": self.tcp.getsockname()[1], "udp": self.udp.getsockname()[1],
            "unix": self.folder / "unix", "abstract": f"code-evolver-{os.getpid()}", "parent": os.getpid(), "python": python,
        }  # fmt: skip

    def harm(self) -> list[str]:
        """Say what was reached."""
        found = [f"signal {number}" for number in self.signals]
        if not self.canary.exists() or self.canary.read_text(encoding="utf-8") != CANARY:
            return [*found, "the canary is changed"]
        now = self.canary.stat()
        if (now.st_mtime, now.st_mode, now.st_uid) != (self.stat.st_mtime, self.stat.st_mode, self.stat.st_uid):
            found.append("the canary's attributes are changed")
        names = sorted(entry.name for entry in self.folder.iterdir())
        found += [f"new file {name}" for name in names if name not in self.before]
        for one in (self.tcp, self.unix, self.abstract):
            found += [] if _silent(one.accept) else ["a listener was reached"]
        return found + ([] if _silent(lambda: self.udp.recv(9)) else ["a datagram arrived"])


def _silent(ask) -> bool:
    try:
        ask()
    except BlockingIOError:
        return True
    return False


def _children() -> list[str]:
    """Name processes that are ours by session or parent and still there."""
    left = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if int(words[1]) == os.getpid():
                left.append(entry.name)
    return left


def main() -> None:
    folder, python, level = sys.argv[1:]
    around = Surroundings(folder)
    trials = ChildTrials(
        limits=LIMITS, python=python, preload=PRELOAD, guarded=level.startswith("guarded"),
        start="spawn" if level.endswith("-spawn") else None,
    )  # fmt: skip
    places = around.places(python)

    def one(attack: Attack) -> tuple[str, dict[str, object]]:
        trial = trials.run(attack.bare(**places), [Case(attack.id, b'{"content": "x"}')], ())
        if trial.failed:
            return attack.id, {"failed": trial.failed}
        run = trial.runs[0]
        crossed = b"CROSSED" in run.stdout
        return attack.id, {
            "crossed": crossed,
            "stopped": run.stopped_by,
            "said": (run.stdout.decode() + run.stderr)[-300:],
        }

    said = trials.level()
    with ThreadPoolExecutor(2) as pool:
        results = dict(pool.map(one, read("crossing")))
    print(
        json.dumps({"level": said, "uid": os.getuid(), "results": results, "harm": around.harm(), "left": _children()})
    )


if __name__ == "__main__":
    main()
