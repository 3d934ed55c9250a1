"""As much HTTP/1.1 as a hub needs beside its WebSocket: one request a connection, bodies with a length."""

import asyncio
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGEST_BODY = 64 * 1024 * 1024


class BadRequest(Exception):
    """What came is not a request that we read; `status` is the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names in lower case; of a repeated query key the last value."""

    head: bytes
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    def json(self) -> Any:
        """Read the body as JSON, an empty one as null. Raises BadRequest."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError as error:
            raise BadRequest(400, f"The body is not JSON: {error}") from error

    def number(self, key: str, default: float) -> float:
        """Read a number of the query. Raises BadRequest."""
        try:
            return float(self.query.get(key, default))
        except ValueError as error:
            raise BadRequest(400, f"{key} is not a number.") from error


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered; the connection closes after it."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def write(self) -> bytes:
        """Give the bytes of the answer."""
        kind = {"Content-Type": self.content_type} if self.content_type else {}
        fields = {**kind, "Content-Length": str(len(self.body)), "Connection": "close", **self.headers}
        phrase = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else "Odd"
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def json_response(value: Any, status: int = 200) -> Response:
    """Answer with a JSON document."""
    return Response(status, json.dumps(value).encode(), "application/json")


def text_response(status: int, text: str) -> Response:
    """Answer with plain text."""
    return Response(status, text.encode(), "text/plain")


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request; None where the connection ended before one. Raises BadRequest."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequest(431, "The head is too long.") from error
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3:
        raise BadRequest(400, "The first line is no request.")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    target = urlsplit(parts[1])
    query = {key: values[-1] for key, values in parse_qs(target.query, keep_blank_values=True).items()}
    body = await _body(reader, headers)
    return Request(head, parts[0].upper(), unquote(target.path), query, headers, body)


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        raise BadRequest(411, "Send a Content-Length.")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > LARGEST_BODY:
        raise BadRequest(413, "The length is not one that is read here.")
    try:
        return await reader.readexactly(int(length)) if int(length) else b""
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise BadRequest(400, "The body ended early.") from error
