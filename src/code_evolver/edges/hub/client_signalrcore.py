"""The hub connection with signalrcore: its connection, transport and protocol classes, its frame layer replaced.

signalrcore's own sockets answer no PING, notice no dead peer and may hang in stop (measured), so `create_client` hands
its transport a WebSocket of frames.py. Records of the hub are not parsed by it: a bad one must not end the connection.
Private names are used, so the version is pinned exactly.
"""

import logging
from collections.abc import Mapping
from typing import Any

from signalrcore.hub.base_hub_connection import BaseHubConnection
from signalrcore.protocol.json_hub_protocol import JsonHubProtocol
from signalrcore.transport.base_client import BaseClient
from signalrcore.transport.websockets.websocket_transport import WebsocketTransport

from code_evolver.core import signalr
from code_evolver.edges.hub.connection import Connection
from code_evolver.edges.hub.frames import Socket

logging.getLogger("SignalRCoreClient").addHandler(logging.NullHandler())


class _Client(BaseClient):  # type: ignore[misc]
    """The socket as signalrcore's transport wants it: already open."""

    def __init__(self, socket: Socket, transport: WebsocketTransport) -> None:
        self._socket = socket
        self._transport = transport

    def connect(self) -> None:
        self._transport.on_socket_open()

    def send(self, message: bytes) -> None:
        self._socket.put(message)


class _Protocol(JsonHubProtocol):  # type: ignore[misc]
    """JSON records. signalrcore's own encoder writes `result` beside `error`, which servers refuse, so ours does."""

    def encode(self, message: Any) -> bytes:
        if isinstance(message, Mapping):
            return signalr.encode(message)
        text: str = self.encoder.encode(message) + self.record_separator
        return text.encode()


class _Transport(WebsocketTransport):  # type: ignore[misc]
    """signalrcore's transport over a socket that is open already."""

    def __init__(self, socket: Socket, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._socket = socket

    def create_client(self) -> _Client:
        return _Client(self._socket, self)

    def send(self, message: Any) -> None:
        self._client.send(self.protocol.encode(message))


class _Hub(BaseHubConnection):  # type: ignore[misc]
    """signalrcore's hub connection; negotiation, reconnection and threads, which are its weak side, are left out."""

    def __init__(self, url: str, socket: Socket) -> None:
        super().__init__(url=url, skip_negotiation=True, protocol=_Protocol(), ssl_context=None)
        self._socket = socket

    def start(self) -> bool:
        self.protocol = self._selected_protocol
        self.transport = _Transport(
            self._socket, url=self.url, protocol=self.protocol, skip_negotiation=True, on_message=self.on_message,
            on_open=self._callbacks.on_open, on_close=self._callbacks.on_close, ssl_context=None,
        )  # fmt: skip
        return bool(self.transport.start())


class SignalrcoreConnection(Connection):
    """One connection attempt and its life with signalrcore (ports.HubConnection)."""

    async def shake_hands(self, socket: Socket) -> None:
        """Let signalrcore send its handshake and judge the answer. Raises HubError."""
        self._hub = _Hub(self.address.url, socket)
        self._hub.start()
        answer = await socket.first()
        signalr.read_handshake(answer)
        self._hub.transport.on_message(None, answer.decode() + self._hub.protocol.record_separator)

    async def write(self, socket: Socket, record: Mapping[str, Any]) -> None:
        """Send one record through signalrcore's transport. Raises HubUnreachable."""
        self._hub.transport.send(record)
        await socket.flush()


CONNECTION = SignalrcoreConnection
