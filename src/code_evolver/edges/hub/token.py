"""The access token for the hub, asked for anew at every attempt: given, from a file, or printed by a command."""

import asyncio
import errno
import os
import shlex
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from code_evolver.core.errors import HubAuthentication, TokenUnavailable
from code_evolver.core.session import HubSettings
from code_evolver.core.strict_json import show

LIMIT = 64 * 1024
"""Bytes of a token, at most."""
_DYING_WITH_US = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what it becomes would inherit that
    signal.signal(number, signal.SIG_DFL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
"""What becomes the command. Not a preexec_fn: that is not safe where there are threads."""
_CHECK = "Run the command of access_token_command by hand: it must print the token, and nothing else, in time."


async def fetch(settings: HubSettings) -> str | None:
    """Give the token, None where none is configured. No message ever holds the token.

    Raises TokenUnavailable: file or command may give one later; HubAuthentication: the setting itself is none.
    """
    if settings.access_token_command:
        text = await _from_command(settings.access_token_command, settings.token_timeout_seconds)
        return _checked(text, "access_token_command")
    if settings.access_token_file:
        return _checked(_from_file(settings.access_token_file), "access_token_file")
    if settings.access_token:
        return _checked(settings.access_token, "access_token")
    return None


def _checked(text: str, source: str) -> str:
    token = text.strip().removeprefix("Bearer ").strip()
    error = HubAuthentication if source == "access_token" else TokenUnavailable
    if not token:
        raise error(f"The setting {source} gave an empty token.", "Give the token's text.")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise error(f"What {source} gave is no token: it has spaces, control or non-ASCII characters.",
                    "Give the bare token: one word, without quotes or prefix.")  # fmt: skip
    return token


def _from_file(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            return file.read(LIMIT + 1)[:LIMIT].decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TokenUnavailable(f"The token file {show(name)} cannot be read: {reason}.",
                               "Check access_token_file and its permissions.") from error  # fmt: skip
    except UnicodeDecodeError as error:
        raise TokenUnavailable(f"The token file {show(name)} is not UTF-8 text.",
                               "Write the bare token into access_token_file.") from error  # fmt: skip


async def _from_command(command: str | Sequence[str], seconds: float) -> str:
    process = await _start(command)
    try:
        async with asyncio.timeout(seconds):
            output = await _read_all(process)
            code = await process.wait()
    except TimeoutError as error:
        raise TokenUnavailable(f"The token command gave no token within {seconds:g} s.", _CHECK) from error
    finally:
        _kill(process)
        _close_output(process)
        await process.wait()
    if code:
        raise TokenUnavailable(f"The token command ended with exit code {code}.", _CHECK)
    try:
        return output.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TokenUnavailable("The token command printed something that is not UTF-8.", _CHECK) from error


async def _start(command: str | Sequence[str]) -> Process:
    try:
        words = shlex.split(command, posix=os.name == "posix") if isinstance(command, str) else list(command)
        if not words:
            raise TokenUnavailable("The setting access_token_command is empty.", _CHECK)
        return await asyncio.create_subprocess_exec(
            *_dying_with_us(words), stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TokenUnavailable(f"The token command cannot be started: {reason}.", _CHECK) from error


def _dying_with_us(words: Sequence[str]) -> Sequence[str]:
    """Have the command killed when we are, whatever kills us. Linux only; what it starts in its turn is not."""
    if sys.platform != "linux":
        return words
    if shutil.which(words[0]) is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    return [sys.executable, "-I", "-S", "-c", _DYING_WITH_US, str(os.getpid()), *words]


async def _read_all(process: Process) -> bytes:
    output = bytearray()
    if process.stdout is not None:
        while chunk := await process.stdout.read(LIMIT):
            output += chunk
            if len(output) > LIMIT:
                raise TokenUnavailable(f"The token command printed more than {LIMIT} bytes.", _CHECK)
    return bytes(output)


def _close_output(process: Process) -> None:
    """Close our end: where a process that left the session keeps the other end open, wait() would wait for it too."""
    transport = getattr(process, "_transport", None)  # there is no public way to it
    pipe = transport.get_pipe_transport(1) if transport is not None else None
    if pipe is not None:
        pipe.close()


def _kill(process: Process) -> None:
    """Kill the command with whatever it started (its session), whether it has ended or not."""
    try:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()
    except (ProcessLookupError, PermissionError):
        return
