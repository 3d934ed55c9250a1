"""The server's side of one WebSocket: the frames are those of `websockets`, the bytes go through asyncio streams."""

import asyncio
import socket as sockets
import struct
import sys
from collections.abc import AsyncIterator

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol


class Socket:
    """One WebSocket. `send` and `close` after its end do nothing, as a hub does not mind clients that went away."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = ServerProtocol(max_size=None)
        self._parts: list[bytes] = []
        self.reading = asyncio.Event()
        """Cleared: nothing more is read, as by a process that is stopped."""
        self.reading.set()

    @property
    def open(self) -> bool:
        """Whether frames can be sent."""
        return self._protocol.state is State.OPEN and not self._writer.is_closing()

    async def accept(self, head: bytes) -> bool:
        """Answer the upgrade request `head`; False where it was none and has been refused."""
        self._protocol.receive_data(head)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
        await self._flush()
        return self.open

    async def messages(self) -> AsyncIterator[bytes]:
        """Give whole messages until the other side closes or the socket breaks. Pings are answered on the way."""
        while self.open:
            try:
                data = await self._reader.read(65536)
            except ConnectionError:
                return
            await self.reading.wait()
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            for message in self._whole():
                yield message
            await self._flush()

    def _whole(self) -> list[bytes]:
        found: list[bytes] = []
        for frame in self._protocol.events_received():
            if not isinstance(frame, Frame) or frame.opcode not in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                continue
            self._parts.append(bytes(frame.data))
            if frame.fin:
                found.append(b"".join(self._parts))
                self._parts = []
        return found

    async def send(self, data: bytes, *, fin: bool = True, first: bool = True) -> None:
        """Send one text frame; `fin` False, then `first` False, for a message in fragments."""
        if self.open:
            if first:
                self._protocol.send_text(data, fin)
            else:
                self._protocol.send_continuation(data, fin)
            await self._flush()

    async def ping(self, payload: bytes = b"") -> None:
        """Send a PING frame."""
        if self.open:
            self._protocol.send_ping(payload)
            await self._flush()

    async def close(self, code: int = 1000) -> None:
        """Send a close frame and end the sending side."""
        if self.open:
            self._protocol.send_close(code)
            await self._flush()
        self._writer.close()

    def reset(self) -> None:
        """Break the connection with RST."""
        raw = self._writer.get_extra_info("socket")
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, linger)
        self._writer.transport.abort()

    def drop(self) -> None:
        """End the connection at once, without a close frame, as a server that is stopped does."""
        self._writer.transport.abort()

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data and not self._writer.is_closing():
                self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError:
            self._writer.close()
