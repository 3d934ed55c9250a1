"""The door of a tool: one JSON object in on stdin, exactly one JSON document out on stdout, nothing else there."""

import asyncio
import contextlib
import errno
import io
import json
import os
import select
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from code_evolver.core import strict_json
from code_evolver.core.errors import EXIT_INTERRUPTED, CodeEvolverError, InputError, Unexpected, failure
from code_evolver.core.redact import Redactor

MAX_INPUT: Final = 50_000_000
"""Bytes."""
_WAIT_SECONDS: Final = 0.1
_PATIENCE: Final = 50
"""Times that a line for people waits for a slow reader, 5 s in all."""
Clean = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Finished:
    """A result with an exit code of its own, such as 7, or a failure with counts."""

    document: Mapping[str, Any]
    exit_code: int = 0

    @classmethod
    def failed(cls, error: CodeEvolverError, counts: Mapping[str, object] | None = None) -> "Finished":
        """Make the failure document of an error, with counts beside it."""
        return cls(failure(error, counts), error.exit_code)


Result = Mapping[str, Any] | Finished


class _Harmless(io.RawIOBase):
    """Writes to a descriptor; where nobody reads it any more, the bytes are gone and nothing is raised."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def write(self, data: Any) -> int:
        for _ in range(_PATIENCE):
            try:
                return os.write(self.descriptor, data)
            except BlockingIOError:  # non-blocking, and its reader slow
                _wait_writable(self.descriptor)
            except OSError:
                break
        return len(data)


def _wait_writable(descriptor: int) -> None:
    """Wait until the descriptor may take something, at most a moment: the caller tries again."""
    if hasattr(select, "poll"):
        waiting = select.poll()
        waiting.register(descriptor, select.POLLOUT)
        waiting.poll(_WAIT_SECONDS * 1000)
    else:  # Windows selects on sockets only
        time.sleep(_WAIT_SECONDS)


def _text_stream(descriptor: int) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_Harmless(descriptor))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True)


def _take_stdout() -> int:
    """Give a descriptor of the real stdout, and point stdout at stderr from now on: libraries, children and C included.

    It is not put back: what a library prints at exit must not reach the wire either.
    """
    for descriptor in (0, 1, 2):  # a closed one would be taken by the next file that is opened
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    wire = os.dup(1)
    os.dup2(2, 1)
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)
    return wire


def _write_all(wire: int, line: str) -> bool:
    """Write the line. False: not all of it could be written, and a reader is still there."""
    left = memoryview((line + "\n").encode("utf-8", "backslashreplace"))
    try:
        while left:
            try:
                left = left[os.write(wire, left) :]
            except BlockingIOError:  # non-blocking, and its reader slow: waited for like a reader of any other pipe
                _wait_writable(wire)
    except OSError as error:
        return error.errno in {errno.EPIPE, errno.EINVAL, errno.EBADF}
    return True


def read_bytes(usage: str = "") -> bytes:
    """Read stdin to its end, at most 50 MB. Raises InputError; on a terminal at once, with `usage` as the hint."""
    if os.isatty(0):
        sys.stderr.write(f"{usage}\n" if usage else "")
        raise InputError("Nothing was piped in: stdin is a terminal.", usage or "Pipe one JSON object into it.")
    chunks, size = [], 0
    while chunk := os.read(0, 1 << 20):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_INPUT:
            raise InputError(f"The input is too large: over {MAX_INPUT // 1_000_000} MB.", "Send it in smaller parts.")
    return b"".join(chunks)


def as_text(data: bytes) -> str:
    """Read UTF-8, with or without a byte-order mark, or UTF-16 with one (PowerShell sends it). Raises BadJson."""
    utf16 = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        name = "UTF-16" if utf16 else "UTF-8"
        hint = "Send UTF-8, or UTF-16 with a byte-order mark."
        raise strict_json.BadJson(f"Byte {error.start} of the input is not {name}.", hint) from None


def read_object(usage: str = "") -> dict[str, Any]:
    """Read the one JSON object on stdin. Raises InputError."""
    text = as_text(read_bytes(usage))
    if not text.strip():
        raise InputError("The input is empty.", usage or "Pipe one JSON object into it.")
    return _object(text, usage)


def _object(text: str, usage: str) -> dict[str, Any]:
    value = strict_json.loads(text)
    if not isinstance(value, dict):
        hint = usage or "Send one JSON object: {…}."
        raise InputError(f"The input must be a JSON object, but is {strict_json.kind(value)}.", hint)
    return value


def read_text_input(usage: str = "") -> dict[str, Any]:
    """Read {"request": "…"}, or plain text as the request. Raises InputError."""
    text = as_text(read_bytes(usage)).replace("\r\n", "\n").strip()
    if text.startswith("{"):
        given = _object(text, usage)
        if set(given) != {"request"} or not isinstance(given["request"], str):
            hint = 'Send {"request": "listen to http://…"}, or the words alone.'
            raise InputError("The input must have the one key request, with text.", hint)
        text = given["request"].strip()
    if not text:
        raise InputError("The request is empty.", usage or "Say which hub to listen to.")
    if strict_json.has_surrogate(text) or "\0" in text:
        raise InputError("The request holds characters that are no text.", "Send plain words.")
    return {"request": text}


def serve(
    run: Callable[[Any], Result],
    *,
    usage: str = "",
    read: Callable[[str], Any] = read_object,
    clean: Clean | None = None,
) -> int:
    """Read the input, run the tool, print its one document; give the exit code. Call it once, last thing in a process.

    `clean` takes secrets out of unexpected errors. Raises nothing.
    """
    wire = _take_stdout()
    finished, line = _outcome(run, usage, read, clean or Redactor().clean)
    return finished.exit_code if _write_all(wire, line) else finished.exit_code or 1


def _outcome(
    run: Callable[[Any], Result], usage: str, read: Callable[[str], Any], clean: Clean
) -> tuple[Finished, str]:
    try:
        result = run(read(usage))
        finished = result if isinstance(result, Finished) else Finished({"success": True, **result})
        return finished, strict_json.dumps(finished.document)
    except CodeEvolverError as error:
        finished = Finished.failed(error)
    except KeyboardInterrupt:
        stopped = InputError("Stopped from the keyboard.", "Start it again.", code="interrupted")
        finished = Finished(failure(stopped), EXIT_INTERRUPTED)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the tool door: whatever happens, one document is printed
        finished = _unexpected(error, clean)
    return finished, strict_json.dumps(finished.document)


def _unexpected(error: BaseException, clean: Clean) -> Finished:
    trace = clean("".join(traceback.format_exception(error)))
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(json.dumps({"event": "failed", "error": "unexpected", "traceback": trace}) + "\n")
        sys.stderr.flush()
    what = clean(f"{type(error).__name__}: {error}")
    fault = Unexpected(strict_json.escape(what[:500]), "This is a bug: please report it with the events on stderr.")
    return Finished.failed(fault)


def serve_async(
    run: Callable[[Any], Awaitable[Result]],
    *,
    usage: str = "",
    read: Callable[[str], Any] = read_object,
    clean: Clean | None = None,
) -> int:
    """Do as `serve`, with a coroutine."""

    async def whole(payload: Any) -> Result:
        return await run(payload)

    return serve(lambda payload: asyncio.run(whole(payload)), usage=usage, read=read, clean=clean)
