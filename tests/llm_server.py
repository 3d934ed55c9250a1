"""Real model servers for tests: llama.cpp, with a tiny random model.

The virtual environment is kept in the temporary directory, named after its version, so only the first run pays for it.
"""

import contextlib
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from filelock import FileLock

VERSION = "2026.10.11549"
PACKAGES = (f"xllamacpp=={VERSION}", "gguf==0.19.0", "numpy")
RIG = Path(__file__).resolve().parents[2] / "shared" / "llm-server"
HOME = Path(tempfile.gettempdir()) / f"code-evolver-llm-{VERSION}"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])


def _prepare() -> None:
    python = HOME / "v" / "bin" / "python"
    if not (HOME / "tiny.gguf").exists():
        HOME.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", str(HOME / "v"))
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
        _run(str(python), str(RIG / "make_tiny_gguf.py"), str(HOME / "draft.gguf"))
        (HOME / "draft.gguf").replace(HOME / "tiny.gguf")


@lru_cache(maxsize=1)
def unavailable() -> str:
    """Say why there is no llama.cpp server here; "" where there is one. Installs it at the first call."""
    if sys.platform != "linux":
        return "the llama.cpp test server is prepared for Linux only"
    if not (RIG / "serve_llamacpp.py").exists():
        return f"{RIG} is absent"
    try:
        with FileLock(f"{HOME}.lock", timeout=300):
            _prepare()
    except (OSError, RuntimeError, subprocess.TimeoutExpired, TimeoutError) as error:
        return f"the llama.cpp test server cannot be installed: {error}"
    return ""


class LlamaServer:
    """A running server; kill() ends it as a crash would."""

    def __init__(self, port: int = 0, *options: str) -> None:
        command = [
            str(HOME / "v" / "bin" / "python"),
            str(RIG / "serve_llamacpp.py"),
            str(HOME / "tiny.gguf"),
            str(port),
        ]
        self._process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True
        )
        said: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._listen, args=(said,), daemon=True)
        self._reader.start()
        try:
            self.url = said.get(timeout=30).split()[1]
        except (queue.Empty, IndexError):
            self.kill()
            raise

    def _listen(self, said: queue.Queue[str]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said.put(line)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(timeout=10)
        self._reader.join(timeout=10)
        if self._process.stdout:
            self._process.stdout.close()


@contextlib.contextmanager
def llama(port: int = 0, *options: str) -> Iterator[LlamaServer]:
    """Run a server for a test; skips where there is none."""
    if why := unavailable():
        pytest.skip(why)
    server = LlamaServer(port, *options)
    try:
        yield server
    finally:
        server.kill()
