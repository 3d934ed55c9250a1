"""Records of the SignalR JSON hub protocol, as bytes and as objects; used by the client adapters and the demo hub.

Source: https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/HubProtocol.md and the transcripts of a
real server. A record ends with 0x1e; a frame may hold many records, and a record may be split over frames.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

from code_evolver.core.errors import HubRefused, InputError
from code_evolver.core.strict_json import LARGE, in_turns, show

INVOCATION = 1
STREAM_ITEM = 2
COMPLETION = 3
STREAM_INVOCATION = 4
CANCEL_INVOCATION = 5
PING = 6
CLOSE = 7
ACK = 8
SEQUENCE = 9
SEPARATOR = b"\x1e"
_HEAD = 256
"""Bytes of a record over the limit that are kept: enough for who asks."""
_BLOCK = 64 * 1024
_ASKING = re.compile(rb'\{"type":1,"invocationId":"([!#-\[\]-~]{1,128})"')
_read = json.JSONDecoder().decode
_read_first = json.JSONDecoder().raw_decode


class BadRecord(InputError):
    """A record that cannot be read; it costs that record, never the connection."""

    code = "bad_record"


def encode(record: Mapping[str, Any]) -> bytes:
    """Write one record with its 0x1e. Non-ASCII is kept, halves of surrogate pairs are escaped.

    Raises BadRecord for what JSON cannot hold (NaN, bytes).
    """
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRecord(
            f"The record cannot be written as JSON: {str(error)[:200]}.", "Send JSON values only."
        ) from error
    return text.encode("utf-8", "backslashreplace") + SEPARATOR


def parse(record: bytes) -> dict[str, Any]:
    """Read one record (without its 0x1e). Unknown fields and repeated keys are accepted, as real clients do.

    Written for speed: whitespace around the object, which no server sends, costs a second look.

    Raises BadRecord with what is wrong.
    """
    try:
        text = record.decode()
        read = _read_first if len(text) < LARGE else in_turns.raw_decode
        found, end = read(text if text[:1] == "{" else text.lstrip())
        if end != len(text):
            found = _read(text)
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"bad JSON: {str(error)[:200]}", "The hub sent a broken record.") from error
    if type(found) is not dict:
        raise BadRecord("bad record: not a JSON object", "The hub sent a broken record.")
    return found


def read_plain_push(record: bytes, head: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Read a push whose beginning, up to its arguments, is `head` and whose only argument is an object.

    Gives the object and its text, None where the record is anything else: `parse` reads that.
    """
    if not (head and record.startswith(head) and record.endswith(b"}]}")):
        return None
    text = record[len(head) : -2]
    try:
        words = text.decode()
        found, end = _read_first(words)
    except (ValueError, RecursionError):
        return None
    return (found, text) if end == len(words) and type(found) is dict else None


def asked_as(record: bytes) -> str | None:
    """Give the id of the call that wants a result from how servers begin such a record, which may be broken further on."""
    asking = _ASKING.match(record)
    return asking[1].decode() if asking else None


def head_of_push(target: str) -> bytes:
    """Give how servers begin the record of a push to `target`."""
    return (
        b'{"type":1,"target":' + json.dumps(target, ensure_ascii=False).encode("utf-8", "replace") + b',"arguments":['
    )


def read_handshake(record: bytes) -> None:
    """Read the server's answer to the handshake. Raises HubRefused with the server's own error."""
    try:
        answer = parse(record)
    except BadRecord as error:
        raise HubRefused(f"The hub answered the handshake with {show(record.decode('utf-8', 'replace'))}.",
                         "Check that hub_url is the address of an ASP.NET Core SignalR hub.") from error  # fmt: skip
    if answer.get("error") is not None:
        raise HubRefused(f"The hub refused the handshake: {show(answer['error'], 300)}.",
                         "The hub must accept the JSON protocol, version 1.")  # fmt: skip


def invocation(target: str, arguments: Sequence[Any], invocation_id: str | None = None) -> dict[str, Any]:
    """Call a method; with an id the other side answers with a completion."""
    wanted = {} if invocation_id is None else {"invocationId": invocation_id}
    return {"type": INVOCATION, **wanted, "target": target, "arguments": list(arguments)}


def stream_invocation(target: str, arguments: Sequence[Any], invocation_id: str) -> dict[str, Any]:
    """Ask for a server stream; items and a completion follow under the id."""
    return {"type": STREAM_INVOCATION, "invocationId": invocation_id, "target": target, "arguments": list(arguments)}


def stream_item(invocation_id: str, item: Any) -> dict[str, Any]:
    """Give one item of a stream."""
    return {"type": STREAM_ITEM, "invocationId": invocation_id, "item": item}


def completion(invocation_id: str, result: Any) -> dict[str, Any]:
    """Answer a call with its result (null included)."""
    return {"type": COMPLETION, "invocationId": invocation_id, "result": result}


def completion_error(invocation_id: str, error: str) -> dict[str, Any]:
    """Answer a call with an error."""
    return {"type": COMPLETION, "invocationId": invocation_id, "error": error}


def completion_void(invocation_id: str) -> dict[str, Any]:
    """End a stream, or a call that has no result."""
    return {"type": COMPLETION, "invocationId": invocation_id}


def cancel_invocation(invocation_id: str) -> dict[str, Any]:
    """Tell the other side that its stream is no longer wanted."""
    return {"type": CANCEL_INVOCATION, "invocationId": invocation_id}


def ping() -> dict[str, Any]:
    """Say that we live."""
    return {"type": PING}


def close(error: str | None = None, allow_reconnect: bool = False) -> dict[str, Any]:
    """Announce the end of the connection; absent fields stay absent, as a real server does."""
    why = {} if error is None else {"error": error}
    return {"type": CLOSE, **why, **({"allowReconnect": True} if allow_reconnect else {})}


class Oversized(bytes):
    """Stands in the place of a record that was longer than allowed: empty, with the record's `length` in bytes.

    `length` is a lower bound where the connection ended, or was ended, before the record did. `asked_as` is the id of
    the call that wants a result, where the record was one as servers begin it: a hub may ask until it is answered.
    """

    length: int
    asked_as: str | None

    def __new__(cls, length: int, head: bytes = b"") -> Self:
        """Make the marker; `head` is how the record began."""
        marker = super().__new__(cls)
        marker.length = length
        marker.asked_as = asked_as(head)
        return marker


class Splitter:
    """Cuts a byte stream into records. Holds at most `max_bytes` of an unfinished one."""

    __slots__ = ("_dropped", "_head", "_held", "_max", "_size")

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._held: list[bytearray] = []  # blocks: one that grows by itself is copied, and so held twice, now and then
        self._size = 0
        self._dropped = 0
        self._head = b""  # of the record that is dropped

    def feed(self, data: bytes) -> list[bytes]:
        """Give the records that end in `data`, in order; an Oversized for each one over the limit."""
        records = data.split(SEPARATOR)
        rest = records.pop()
        if records and (self._held or self._dropped):
            records[0] = self._finish(records[0])
        if rest:
            self._keep(rest)
        if len(data) > self._max:
            return [self._checked(record) for record in records]
        return records

    def unfinished(self) -> int:
        """Give the number of bytes of the record that has begun and not ended."""
        return self._dropped or self._size

    def _keep(self, rest: bytes) -> None:
        if self._dropped:
            self._dropped += len(rest)
        elif self._size + len(rest) > self._max:
            self._dropped = self._size + len(rest)
            self._head = (b"".join(self._held[:1]) + rest)[:_HEAD]
            self._forget()
        else:
            self._size += len(rest)
            if self._held and len(self._held[-1]) < _BLOCK:
                self._held[-1] += rest
            else:
                self._held.append(bytearray(rest))

    def _finish(self, last: bytes) -> bytes:
        self._keep(last)
        dropped, whole = self._dropped, b"".join(self._held)
        self._dropped = 0
        self._forget()
        return Oversized(dropped, self._head) if dropped else whole

    def _forget(self) -> None:
        self._held = []
        self._size = 0

    def _checked(self, record: bytes) -> bytes:
        if len(record) <= self._max:
            return record
        return Oversized(len(record), record[:_HEAD])
