"""The hub connection with pysignalr (an extra): its protocol, and its transport's handshake, over a socket of frames.py.

pysignalr's run loop is not used: it reconnects by itself with an old connection id, and ends at the first record with
a field that it does not know (measured).
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from pysignalr.messages import HandshakeResponseMessage, Message
from pysignalr.protocol.json import JSONProtocol
from pysignalr.transport.websocket import WebsocketTransport
from websockets.exceptions import WebSocketException

from code_evolver.core import signalr
from code_evolver.core.session import HubSettings
from code_evolver.edges.hub.connection import Connection
from code_evolver.edges.hub.frames import Socket
from code_evolver.edges.hub.negotiate import Address

logging.getLogger("pysignalr").addHandler(logging.NullHandler())


class _Protocol(JSONProtocol):
    """JSON records; ours are written by core.signalr, the handshake by the library, whose reading of the answer fails on some."""

    def encode(self, message: Any) -> str:
        if isinstance(message, Mapping):
            return signalr.encode(message).decode()
        return str(super().encode(message))

    def decode_handshake(self, raw_message: str | bytes) -> tuple[HandshakeResponseMessage, Iterable[Message]]:
        signalr.read_handshake(raw_message if isinstance(raw_message, bytes) else raw_message.encode())
        return HandshakeResponseMessage(error=None), ()


async def _ignore(_: Any) -> None:
    """Records never come this way."""


class PysignalrConnection(Connection):
    """One connection attempt and its life with pysignalr (ports.HubConnection)."""

    def __init__(self, address: Address, settings: HubSettings) -> None:
        super().__init__(address, settings)
        self._protocol = _Protocol()
        self._transport: Any = WebsocketTransport(
            url=address.url, protocol=self._protocol, callback=_ignore, skip_negotiation=True
        )

    async def shake_hands(self, socket: Socket) -> None:
        """Let pysignalr send its handshake and wait for the answer. Raises HubError."""
        try:
            await self._transport._handshake(socket)  # noqa: SLF001 - its run loop, the public way, reconnects by itself
        except WebSocketException as error:
            raise socket.ended() from error

    async def write(self, socket: Socket, record: Mapping[str, Any]) -> None:
        """Send one record, written by the protocol object. Raises HubUnreachable.

        Not through the transport's `send`: its wait_for may swallow a cancellation (Python 3.11).
        """
        try:
            await socket.send(self._protocol.encode(record))
        except WebSocketException as error:
            raise socket.ended() from error


CONNECTION = PysignalrConnection
