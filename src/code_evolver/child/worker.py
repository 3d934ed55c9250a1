"""One case in a shut-in process: its channel, its streams, the run of its program. Standard library only.

Frames: kind (1 byte), length (4 bytes), body.
→ R lockdown report   ← P program   ← I input   → C calls ← A answers   → O stdout   → E stderr   → X "" or "memory"
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import types

TYPE_CHECKING = False  # as typing says it; its import would cost every child 5 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

HEAD = struct.Struct(">cI")
PIECE = 65536
OUT_OF_MEMORY = HEAD.pack(b"X", 6) + b"memory"
"""Built beforehand: there may be no room to build it then."""
EXITED, FAILED, BAD_INPUT = 0, 1, 2


class Wire:
    """A descriptor that frames travel over: the only kind that the seal lets through."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def take(self, size: int) -> bytes:
        """Give at most `size` bytes; b"" at the end."""
        return os.read(self._fd, size)

    def put(self, data: memoryview) -> int:
        """Send some of it; give how much."""
        return os.write(self._fd, data)

    def finish(self) -> None:
        """Nothing: what was written arrives, whatever becomes of the writer."""


class SocketWire(Wire):
    """A TCP socket as a wire: Windows has no descriptors for sockets."""

    def __init__(self, sock: Any) -> None:
        super().__init__(-1)
        self._sock = sock

    def take(self, size: int) -> bytes:
        """Give at most `size` bytes; b"" at the end, or where the other side broke off."""
        try:
            data: bytes = self._sock.recv(size)
        except OSError:
            return b""
        return data

    def put(self, data: memoryview) -> int:
        """Send some of it; give how much."""
        sent: int = self._sock.send(data)
        return sent

    def finish(self) -> None:
        """Say that nothing more comes, and wait until it was read: Windows throws unread bytes of an ended process away."""
        try:
            self._sock.shutdown(1)
            while self._sock.recv(PIECE):
                pass
        except OSError:
            return


def send(wire: Wire, kind: bytes, body: Any) -> None:
    """Send one frame; `body` is bytes or becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    write_all(wire, HEAD.pack(kind, len(data)) + data)


def write_all(wire: Wire, data: bytes) -> None:
    """Write every byte."""
    view = memoryview(data)
    while view:
        view = view[wire.put(view) :]


def read_exactly(wire: Wire, size: int) -> bytes:
    """Read `size` bytes; the other side's end ends this process at once."""
    parts = []
    while size:
        part = wire.take(min(size, 1 << 20))
        if not part:
            os._exit(9)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def receive(wire: Wire) -> tuple[bytes, bytes]:
    """Give the next frame as (kind, body)."""
    kind, size = HEAD.unpack(read_exactly(wire, HEAD.size))
    return kind, read_exactly(wire, size)


class Pipe(io.RawIOBase):
    """A standard stream that travels as frames."""

    def __init__(self, channel: Wire, kind: bytes) -> None:
        super().__init__()
        self._channel, self._kind = channel, kind
        self.count = 0

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: Any) -> int:
        """Send it in pieces."""
        data = bytes(data)
        self.count += len(data)
        for start in range(0, len(data), PIECE):
            send(self._channel, self._kind, data[start : start + PIECE])
        return len(data)


class Path:
    """As much of pathlib.Path as the fixed preamble needs: saves its import."""

    def __init__(self, text: str) -> None:
        self._text = text

    def resolve(self) -> Path:
        """Give itself: its text is absolute."""
        return self

    @property
    def parent(self) -> Path:
        """Give the folder above."""
        return Path(self._text.rpartition("/")[0])

    def __str__(self) -> str:
        return self._text or "/"


def plain_text(data: bytes) -> bytes:
    """Turn UTF-16 with a byte-order mark (PowerShell) and UTF-8 with one into plain UTF-8; leave the rest as it is."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        try:
            return data.decode("utf-16").encode("utf-8")
        except UnicodeError:
            return data
    return data.removeprefix(b"\xef\xbb\xbf")


class Worker:
    """One case: one process, one program, one input."""

    def __init__(self, channel: Wire, settings: Mapping[str, Any], runtime_module: types.ModuleType) -> None:
        self.channel = channel
        self.settings = settings
        self.module: Any = runtime_module
        self.out = Pipe(channel, b"O")

    def ask(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Transport of the runtime: what the program printed goes first, then the calls; wait for the answers."""
        sys.stdout.flush()
        send(self.channel, b"C", calls)
        kind, body = receive(self.channel)
        if kind != b"A":
            os._exit(9)
        answers: list[dict[str, Any]] = json.loads(body)
        return answers

    def streams(self, data: bytes) -> None:
        """Put the standard streams in place."""
        sys.stdin = io.TextIOWrapper(io.BytesIO(plain_text(data)), encoding="utf-8")
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(self.out), encoding="utf-8", errors="backslashreplace")
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(Pipe(self.channel, b"E")), "utf-8", errors="backslashreplace", line_buffering=True
        )

    def prepare(self) -> None:
        """Put the names in place that the fixed preamble asks for."""
        runtime = self.module.Runtime(self.ask, self.settings["alternatives"], self.settings["pause"])
        facade = types.ModuleType("node_runtime")
        facade.__dict__.update(runtime.names())
        paths = types.ModuleType("pathlib")
        paths.__dict__["Path"] = Path
        sys.modules.update({"node_runtime": facade, "pathlib": paths})
        sys.argv = ["main.py"]

    def serve(self) -> NoReturn:
        """Wait for program and input, run, tell the end. Never returns."""
        program, data = receive(self.channel)[1], receive(self.channel)[1]
        self.streams(data)
        self.prepare()
        code = FAILED
        try:
            code = self.run(program)
            sys.stdout.flush()
            sys.stderr.flush()
            send(self.channel, b"X", b"")
        except MemoryError:
            write_all(self.channel, OUT_OF_MEMORY)
        finally:
            self.leave(code)

    def leave(self, code: int) -> NoReturn:
        """End this process, whatever stands in the way."""
        try:
            self.channel.finish()
        finally:
            os._exit(code & 0xFF)

    def run(self, program: bytes) -> int:
        """Run the program as __main__; give its exit code."""
        space = {"__name__": "__main__", "__file__": "/nodes/node/main.py", "__builtins__": __builtins__}
        try:
            exec(compile(program, "main.py", "exec", dont_inherit=True), space)  # noqa: S102 - what this process is for
        except SystemExit as leave:
            return self.exit_code(leave.code)
        except MemoryError:
            raise
        except self.module.ToolError as error:
            return self.fail(error, error.code, error.message, FAILED)
        except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError are ValueErrors
            return self.fail(error, "bad_input", f"{type(error).__name__}: {error}", BAD_INPUT)
        except BaseException as error:  # noqa: BLE001 - the program's failure is this process's result
            return self.fail(error, "node_failed", f"{type(error).__name__}: {error}", FAILED)
        return EXITED

    @staticmethod
    def exit_code(value: object) -> int:
        """Read what SystemExit carries, as Python does."""
        if value is None:
            return EXITED
        if isinstance(value, int):
            return value
        sys.stderr.write(f"{value}\n")
        return FAILED

    def fail(self, error: BaseException, code: str, message: str, exit_code: int) -> int:
        """Say where it failed; print the failure object unless the program printed something itself."""
        trace, where = error.__traceback__, ""
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "main.py":
                where = f"main.py, line {trace.tb_lineno}, in {trace.tb_frame.f_code.co_name}: "
            trace = trace.tb_next
        sys.stderr.write(f"{where}{type(error).__name__}: {message}\n")
        sys.stdout.flush()
        if not self.out.count:
            failure = {"success": False, "error": {"code": code, "message": str(message)[:2000]}}
            sys.stdout.write(json.dumps(failure, ensure_ascii=False) + "\n")
        return exit_code
