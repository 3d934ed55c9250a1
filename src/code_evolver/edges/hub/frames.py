"""The WebSocket under every client: frames, PING and PONG by the `websockets` library, records cut out as bytes arrive.

Its connection class is extended where a frame is handed over (`process_event`), so that a record costs no future, no
task and no copy: 100,000 small frames a second are possible on one core. Neither fragments nor large frames are ever
assembled: the stream of bytes is cut at 0x1e, whatever the frames are, so memory is bounded by `max_message_bytes`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Generator
from functools import partial
from typing import Any, cast

import websockets.asyncio.client as ws_client
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import CLOSED, CLOSING, OPEN, Event

from code_evolver.core import backoff
from code_evolver.core.errors import HubAuthentication, HubError, HubRefused, HubUnreachable
from code_evolver.core.session import HubSettings
from code_evolver.core.signalr import Splitter
from code_evolver.edges.hub import proxies, trust
from code_evolver.edges.hub.negotiate import USER_AGENT, Address

HELD_RECORDS = 5_000
HELD_BYTES = 4 * 1024 * 1024
"""Reading from the socket pauses while so much waits to be taken."""
CLOSE_SECONDS = 0.15
_PIECE = 64 * 1024
"""Bytes of a frame that may be assembled; a larger one is taken as it comes."""

_LOG = logging.getLogger("code_evolver.websockets")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False  # stderr carries events only; what matters of this reaches them as errors


class Socket(ws_client.ClientConnection):
    """One WebSocket that gives records. Made by `open_socket` only."""

    def __init__(self, max_bytes: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.splitter = Splitter(max_bytes)
        self.last_byte = time.monotonic()
        self._payloads: list[bytes | bytearray | memoryview] = []
        self._records: list[bytes] = []
        self._bytes = 0
        self._paused = False
        self._wake: asyncio.Future[None] | None = None
        self._over = False
        self._cause: Exception | None = None
        self._open = True
        reader = self.protocol.reader
        self._read_whole = reader.read_exact
        reader.read_exact = self._read_exact  # type: ignore[method-assign, assignment]

    def data_received(self, data: bytes) -> None:
        """Let the library take the bytes apart, and cut what the frames among them carry (a callback of asyncio)."""
        self.last_byte = time.monotonic()
        super().data_received(data)
        if self._payloads:
            self._cut(b"".join(self._payloads))
            self._payloads.clear()
        if self._wake is not None and self._records and not self._wake.done():
            self._wake.set_result(None)
        if self._open and self.protocol.state in (CLOSING, CLOSED):
            self._open = False
            # Nothing arrives any more, and a hub that does not part, but goes on sending, would never count as silent.
            self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def process_event(self, event: Event) -> None:
        """Take data frames for ourselves; the rest is the library's (its callback for every frame)."""
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._payloads.append(event.data)
        else:
            super().process_event(event)

    def _read_exact(self, size: int) -> Generator[None, None, bytearray]:
        """Read as the library's reader does, for its parser of frames; a large one comes in pieces, its end as its payload."""
        return self._read_whole(size) if size <= _PIECE else self._read_large(size)

    def _read_large(self, size: int) -> Generator[None, None, bytearray]:
        reader = self.protocol.reader
        while size > _PIECE and not reader.eof:
            if reader.buffer:
                piece = reader.buffer[:size]
                del reader.buffer[:size]
                self.protocol.events.append(Frame(Opcode.CONT, piece, fin=False))  # behind the frames that came before
                size -= len(piece)
            else:
                yield
        return (yield from self._read_whole(size))

    def _cut(self, payload: bytes) -> None:
        self._bytes += len(payload)  # of fragments too: servers cut a large record into frames of 4 KiB
        self._records += self.splitter.feed(payload)
        full = len(self._records) > HELD_RECORDS or self._bytes > HELD_BYTES
        # Without a record there is nothing to take, and so nobody who would go on reading.
        if full and self._records and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the reader (a callback of asyncio)."""
        super().connection_lost(exc)
        self._cause = exc or self.protocol.parser_exc
        self._over = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """Give records as they come; raises HubUnreachable when the socket has ended and all are taken."""
        while True:
            if self._records:
                yield self._take()
            elif self._over:
                raise self.ended()
            else:
                await self._more()

    async def first(self) -> bytes:
        """Give the first record (the handshake's answer), leaving the rest. Raises HubUnreachable."""
        while not self._records:
            if self._over:
                raise self.ended()
            await self._more()
        return self._records.pop(0)

    async def recv(self, decode: bool | None = None) -> bytes:  # type: ignore[override]  # noqa: ARG002
        """Give the first record: what a client library's handshake asks for."""
        return await self.first()

    def put(self, record: bytes) -> None:
        """Write one record (with its 0x1e) as a text frame, without waiting. Raises HubUnreachable."""
        if self.protocol.state is not OPEN:
            raise self.ended()
        self.protocol.send_text(record)
        self.send_data()

    async def flush(self) -> None:
        """Wait until the operating system has taken what was put. Raises HubUnreachable."""
        try:
            await self.drain()
        except OSError as error:
            raise self.ended() from error

    def ended(self) -> HubUnreachable:
        """Say how the socket ended."""
        code = self.close_code
        why = f"code {code}" + (f", {self.close_reason}" if self.close_reason else "")
        cause = f": {self._cause}" if self._cause else ""
        return HubUnreachable(f"The connection was closed ({why}){cause}.", "The hub's log may say why.")

    async def end(self) -> None:
        """Close politely where the hub takes part, hard where not; within 0.3 s."""
        try:
            with contextlib.suppress(WebSocketException, OSError):
                if self.protocol.state is OPEN:
                    self.protocol.send_close(1000)
                    self.send_data()
            if self._paused and not self._over:
                self._resume()
            await asyncio.wait([self.connection_lost_waiter], timeout=CLOSE_SECONDS)
        finally:  # a stop cancels until all has ended, so it may do so here
            self.transport.abort()
        await asyncio.wait([self.connection_lost_waiter], timeout=CLOSE_SECONDS)

    def _take(self) -> list[bytes]:
        batch, self._records, self._bytes = self._records, [], 0
        if self._paused:
            self._resume()
        return batch

    def _resume(self) -> None:
        self._paused = False
        self.last_byte = time.monotonic()
        if not self._over and not self.transport.is_closing():
            self.transport.resume_reading()

    async def _more(self) -> None:
        self._wake = self.loop.create_future()
        try:
            await self._wake
        finally:
            self._wake = None


async def open_socket(address: Address, settings: HubSettings) -> Socket:
    """Open the WebSocket. Raises HubUnreachable, HubAuthentication or HubRefused."""
    seconds = settings.connect_timeout_seconds
    make: Any = partial(Socket, settings.max_message_bytes)
    secure: dict[str, Any] = {"ssl": trust.tls_context(settings.ca_file)} if address.url.startswith("wss:") else {}
    if address.proxy and address.proxy.secure:
        secure["proxy_ssl"] = trust.tls_context(settings.ca_file)
    try:
        socket = await _Connect(
            address.url, create_connection=make, compression=None, additional_headers=dict(address.headers),
            user_agent_header=USER_AGENT, open_timeout=seconds, ping_interval=None, close_timeout=CLOSE_SECONDS,
            max_size=None, logger=_LOG, proxy=address.proxy.url if address.proxy else None, **secure,
        )  # fmt: skip
    except (OSError, EOFError, ImportError, WebSocketException, ValueError) as error:
        raise _mapped(error, address, seconds) from error
    return cast("Socket", socket)


class _Connect(ws_client.connect):
    """Opens without following redirects: a socket address comes from the negotiation, and carries secrets."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _mapped(error: Exception, address: Address, seconds: float) -> HubError:
    problem = trust.tls_problem(error)
    if problem is not None:
        what, hint = trust.refusal(problem)
        return HubRefused(f"The hub at {address.shown} {what}.", hint)
    if isinstance(error, InvalidStatus):
        return _by_status(error.response, address)
    if isinstance(error, TimeoutError):
        return HubUnreachable(f"The hub at {address.shown} did not open the WebSocket within {seconds:g} s.",
                              "Check that proxies before the hub let WebSockets through.")  # fmt: skip
    if isinstance(error, InvalidProxy):
        return HubRefused(f"The WebSocket at {address.shown} cannot be opened: {error.msg}.", proxies.HINT)
    if isinstance(error, InvalidURI | ImportError):
        return HubRefused(f"The WebSocket at {address.shown} cannot be opened: {error}.", "Check hub_url and proxies.")
    what = (
        "broke off the opening of the WebSocket"
        if isinstance(error, InvalidHandshake | EOFError)
        else "cannot be reached"
    )
    hint = proxies.HINT if address.proxy else "Check that it is running."
    return HubUnreachable(f"The hub at {address.shown} {what}: {error}.", hint)


def _by_status(response: Response, address: Address) -> HubError:
    status = response.status_code
    text = f"The hub at {address.shown} answered the opening of the WebSocket with HTTP {status}."
    if status in (401, 403):
        return HubAuthentication(text, "It wants another token for the WebSocket than for the negotiation.")
    if status == 404:
        return HubUnreachable(text, "Several servers behind a load balancer need sticky sessions.")
    if status in (408, 425, 429) or status >= 500:
        pause = backoff.retry_after(response.headers.get("Retry-After"), time.time())
        return HubUnreachable(text, "It may be starting or overloaded; its log says more.", retry_after=pause)
    return HubRefused(text, "Let proxies and the web server before the hub pass WebSockets through.")
