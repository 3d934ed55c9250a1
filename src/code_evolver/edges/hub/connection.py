"""What the adapters of both client libraries share: a socket of frames.py, and the library's part as two methods."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from code_evolver.core.errors import HubUnreachable
from code_evolver.core.session import HubSettings
from code_evolver.edges.hub.frames import Socket, open_socket
from code_evolver.edges.hub.negotiate import Address


class Connection(ABC):
    """One connection attempt and its life (ports.HubConnection); `shake_hands` and `write` are the library's part."""

    def __init__(self, address: Address, settings: HubSettings) -> None:
        self.address = address
        self._settings = settings
        self._socket: Socket | None = None

    @abstractmethod
    async def shake_hands(self, socket: Socket) -> None:
        """Send the handshake and read its answer. Raises HubError."""

    @abstractmethod
    async def write(self, socket: Socket, record: Mapping[str, Any]) -> None:
        """Send one record. Raises HubUnreachable."""

    async def open(self) -> None:
        """Open the socket, shake hands. Raises HubError."""
        self._socket = await open_socket(self.address, self._settings)
        seconds = self._settings.handshake_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                await self.shake_hands(self._socket)
        except TimeoutError as error:
            raise HubUnreachable(f"The hub at {self.address.shown} did not answer the handshake within {seconds:g} s.",
                                 "It may be overloaded; its log says more.") from error  # fmt: skip

    def records(self) -> AsyncIterator[Sequence[bytes]]:
        """Give batches of records as they arrive; raises HubUnreachable when the socket ends."""
        return self._opened().batches()

    async def send(self, record: Mapping[str, Any]) -> None:
        """Send one record. Raises HubUnreachable."""
        await self.write(self._opened(), record)

    def last_byte(self) -> float:
        """time.monotonic() of the last byte received."""
        return self._opened().last_byte

    async def close(self) -> None:
        """Close hard, within 0.3 s, in any state; no thread and no task is left."""
        if self._socket is not None:
            await self._socket.end()

    def _opened(self) -> Socket:
        if self._socket is None:
            raise HubUnreachable("The connection is not open.", "Wait until it is.")
        return self._socket
