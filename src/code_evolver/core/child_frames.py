"""Frames between us and the sealed child, and the limits they are held to. The child's side: child/worker.py."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from code_evolver.core.strict_json import BadJson, loads
from code_evolver.core.trials import Answer, Call

HEAD = struct.Struct(">cI")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use."""

    wall: float = 5.0
    """Seconds, without the time in which tools answer."""
    cpu: int = 2
    """Seconds of processor time."""
    memory: int = 512 * 1024 * 1024
    """Bytes of address space."""
    stdout: int = 4 * 1024 * 1024
    """Bytes; more stops the run."""
    stderr_kept: int = 64 * 1024
    stderr: int = 8 * 1024 * 1024
    """Bytes; more stops the run."""
    calls: int = 50
    """Tool calls; one more stops the run."""


TRIAL = Limits()
REAL = Limits(wall=60.0, cpu=30, memory=1024 * 1024 * 1024, stdout=16 * 1024 * 1024, calls=200)

MOST_BYTES = {
    b"R": 4096,
    b"C": 48 * 1024 * 1024,  # the largest message of a hub (16 MB) as a call, with room for two pairs at once
    b"O": 65536,
    b"E": 65536,
    b"X": 64,
    b"W": 65536,
    b"D": 512,
    b"F": 65536,
}
"""Largest body of each kind; looked at before any of the body is kept."""


class BadFrame(Exception):
    """The child broke the protocol: `reason` says how."""


class Frames:
    """Cuts a byte stream into (kind, body)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Take bytes, give whole frames. Raises BadFrame for an unknown kind or an oversized body."""
        self._buffer += data
        while len(self._buffer) >= HEAD.size:
            kind, size = HEAD.unpack_from(self._buffer)
            if size > MOST_BYTES.get(kind, -1):
                raise BadFrame(f"frame {kind!r} of {size} bytes")
            end = HEAD.size + size
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[HEAD.size : end])
            del self._buffer[:end]
            yield kind, body


def frame(kind: bytes, body: bytes) -> bytes:
    """Build one frame."""
    return HEAD.pack(kind, len(body)) + body


def read_calls(body: bytes) -> list[Call]:
    """Read a frame of calls. Raises BadFrame unless it is exactly what the child's runtime sends."""
    try:
        value = loads(body)
    except BadJson as error:
        raise BadFrame(f"calls: {error}") from error
    if not isinstance(value, list) or not all(_is_call(item) for item in value):
        raise BadFrame("calls of another shape")
    return [Call(item["tool"], item["prompt"], item["arguments"]) for item in value]


def _is_call(item: object) -> bool:
    return (
        isinstance(item, dict)
        and item.keys() == {"tool", "prompt", "arguments"}
        and isinstance(item["tool"], str)
        and isinstance(item["prompt"], str)
        and isinstance(item["arguments"], dict)
    )


def write_answer(answer: Answer) -> dict[str, str]:
    """Give an answer as the child's runtime reads it."""
    return {"error": answer.error, "code": answer.code} if answer.error else {"text": answer.text}
