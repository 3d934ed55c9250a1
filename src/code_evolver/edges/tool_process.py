"""Runs executable tools: one JSON object in, one out, a bare environment, never a shell, never longer than agreed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from code_evolver.core import strict_json
from code_evolver.core.errors import InputError, ToolError
from code_evolver.core.manifest import Manifest
from code_evolver.core.strict_json import escape, show

MAX_ANSWER: Final = 10_000_000
"""Bytes of stdout."""
_KEPT: Final = ("PATH", "SYSTEMROOT", "WINDIR", "COMSPEC", "TEMP", "TMP", "TMPDIR", "LANG", "LC_ALL", "TZ")


class ProcessTools:
    """Calls tools of type executable. Relative arguments that are files of `roots` are taken from there, first hit."""

    def __init__(self, roots: tuple[Path, ...], *, environment: Mapping[str, str] | None = None) -> None:
        """Take the folders that hold tools/, and the environment from which PATH and the like are kept."""
        self._roots = roots
        source = os.environ if environment is None else environment
        self._environment = {name: source[name] for name in _KEPT if name in source} | {
            "PYTHONIOENCODING": "utf-8",
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def command(self, manifest: Manifest) -> list[str]:
        """Give the argument list that starts the tool."""
        part = manifest.executable
        if part is None:
            raise ToolError(f"{manifest.name} is no executable tool.", "Mend its manifest.")
        program = sys.executable if part.command in {"python", "python3"} else part.command
        return [program, *map(self._located, part.args)]

    def _located(self, word: str) -> str:
        if word.startswith("-") or Path(word).is_absolute():
            return word
        return next((str(root / word) for root in self._roots if (root / word).is_file()), word)

    async def call(self, manifest: Manifest, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Run it once. Raises ToolError, with the tool's own message where it printed a failure."""
        limit = manifest.executable.timeout_seconds if manifest.executable else 0
        process = await self._start(manifest)
        try:
            async with asyncio.timeout(limit):
                code, out, complaint = await _talk(process, strict_json.dumps(payload).encode("utf-8"))
        except TimeoutError:
            hint = "Raise timeout_seconds in its manifest where it may take longer."
            raise ToolError(f"{manifest.name} did not end within {limit:g} s.", hint, code="tool_timeout") from None
        finally:
            await _kill_tree(process)
        return _read_answer(manifest.name, code, out, complaint)

    async def _start(self, manifest: Manifest) -> asyncio.subprocess.Process:
        words = self.command(manifest)
        try:
            return await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment,
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except (OSError, ValueError) as error:
            raise ToolError(
                f"{manifest.name} cannot be started: {error}.", f"Is {show(words[0])} installed?"
            ) from error


async def _talk(process: asyncio.subprocess.Process, line: bytes) -> tuple[int, bytes, bytes]:
    """Send the input, read both streams to their ends (or their limits), and wait."""

    async def feed() -> None:
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(line)
                await process.stdin.drain()
            process.stdin.close()

    _, out, complaint = await asyncio.gather(feed(), _read(process.stdout, MAX_ANSWER), _tail(process.stderr))
    return await process.wait(), out, complaint


async def _read(stream: asyncio.StreamReader | None, limit: int) -> bytes:
    data = b""
    while stream is not None and (chunk := await stream.read(65536)):
        data += chunk
        if len(data) > limit:
            raise ToolError(f"The tool printed more than {limit:,} bytes.", "Send it less at once.")
    return data


async def _tail(stream: asyncio.StreamReader | None, keep: int = 2000) -> bytes:
    data = b""
    while stream is not None and (chunk := await stream.read(65536)):
        data = (data + chunk)[-keep:]
    return data


async def _kill_tree(process: asyncio.subprocess.Process) -> None:
    """End the tool and everything that it started."""
    if sys.platform == "win32":
        if process.returncode is None:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], check=False, capture_output=True)  # noqa: ASYNC221 - ends at once
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    transport = getattr(process, "_transport", None)  # there is no public way to it
    for descriptor in (0, 1, 2):  # a full or inherited pipe would keep wait() from returning
        pipe = transport.get_pipe_transport(descriptor) if transport is not None else None
        if pipe is not None:
            pipe.close()
    await asyncio.shield(process.wait())


def _read_answer(name: str, code: int, out: bytes, complaint: bytes) -> dict[str, Any]:
    try:
        answer = strict_json.loads(out)
    except InputError as error:
        last = escape(complaint.decode("utf-8", "replace").strip()[-300:])
        raise ToolError(
            f"{name} ended with code {code} and printed no JSON document. {last}".strip(), error.message
        ) from None
    if not isinstance(answer, dict):
        raise ToolError(f"{name} printed {strict_json.kind(answer)} instead of an object.", "Mend the tool.")
    if code != 0 or answer.get("success") is False:
        fault = answer.get("error")
        told = fault if isinstance(fault, dict) else {}
        message = escape(str(told.get("message") or f"it ended with code {code}")[:500])
        raise ToolError(f"{name}: {message}", escape(str(told.get("hint", ""))[:500]))
    return answer
