"""The supervisor of the hub connection: does the steps of core.session, one fresh connection object an attempt."""

import asyncio
import contextlib
import random as randomness
import time
from collections.abc import Callable, Sequence
from typing import Any

from code_evolver.core.backoff import mirrored
from code_evolver.core.errors import HubError, HubUnreachable
from code_evolver.core.hub_address import public_url
from code_evolver.core.session import Attempt, End, HubSettings, Sleep, life
from code_evolver.edges.hub import clients, negotiate, token
from code_evolver.edges.hub.connection import Connection
from code_evolver.edges.hub.conversation import Conversation
from code_evolver.edges.hub.inbox import Inbox
from code_evolver.edges.hub.intake import Intake, Receive
from code_evolver.edges.hub.tasks import end
from code_evolver.ports import Emit

STOP_SECONDS = 0.4
"""How long the connection may take to close, and what was read already to be stored, at a stop."""


class HubListener:
    """Listens to a hub until it is stopped, through every loss of the connection.

    `receive(batch)` returns when everything in it is durably stored, with one result a Received; a result goes back to
    the hub where it asked for one. Errors that it raises: DiskFull is waited out, StoreError ends the run.
    """

    def __init__(
        self,
        settings: HubSettings,
        *,
        receive: Receive,
        emit: Emit,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] | None = None,
        learn: Callable[[str], None] = lambda _secret: None,
    ) -> None:
        """`random` gives draws of 0…1 for the backoff (None: the usual). `learn` is told every token before it is used, so that it can be kept out of what others say."""
        self._settings = settings
        self._learn = learn
        self._emit = emit
        self._clock = clock
        self._random = random or mirrored(randomness.random)
        self.last_error: HubError | None = None
        """Why the latest attempt, or connection, ended."""
        self._client, self._make = clients.choose(settings.client)
        self._url = public_url(settings.hub_url)
        self._inbox: Inbox[Conversation] = Inbox()
        self._intake = Intake(settings, self._inbox, receive, emit)
        self._conversation: Conversation | None = None
        self._number = 0
        self._refusing = False
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopped.set()

    @property
    def connected(self) -> bool:
        """Whether a connection is open now, its handshake done."""
        return self._conversation is not None

    async def run(self) -> None:
        """Listen until `stop`. Raises HubError when the hub is given up, StoreError when nothing can be stored."""
        self._stopped.clear()
        parts = (self._live(), self._intake.run(), self._stopping.wait())
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(each) for each in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not tasks[1].done():
                await self._wind_up(tasks[0])
        finally:
            problems = await end(tasks)
            self._stopped.set()
        if problems:
            raise problems[0]

    async def stop(self) -> None:
        """End `run` within a second, in any state."""
        self._stopping.set()
        await self._stopped.wait()

    def refuse_results(self) -> None:
        """From now on take nothing in: calls that want a result get an error; the connection stays for our calls."""
        self._refusing = True
        if self._conversation is not None:
            self._conversation.refusing = True

    async def invoke(self, method: str, arguments: Sequence[Any]) -> Any:
        """Call a hub method and give its result, however late it comes; the connection's own end ends the wait.

        Raises HubUnreachable (not connected, or lost before the answer) or HubRefused (the hub answered an error).
        """
        if self._conversation is None:
            raise HubUnreachable("There is no connection to the hub.", "It is opened again by itself.")
        return await self._conversation.invoke(method, arguments)

    async def _wind_up(self, living: "asyncio.Task[Any]") -> None:
        """Close the connection, then let what was read be stored, as far as there is time for both."""
        until = asyncio.get_running_loop().time() + STOP_SECONDS
        await end([living])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._inbox.idle()

    async def _live(self) -> None:
        steps = life(self._settings, self._random)
        step = next(steps)
        while True:
            try:
                step = steps.send(await self._do(step))
            except StopIteration as given_up:
                error: HubError = given_up.value
                self._emit(
                    "connection_failed_permanently", error=error.message, code=error.actual_code, hint=error.hint
                )
                raise error from None

    async def _do(self, step: Attempt | Sleep) -> End | None:
        if isinstance(step, Attempt):
            return await self._attempt(step.number)
        self.last_error = step.error
        self._emit("reconnecting", seconds=round(step.seconds, 3), attempt=step.attempt, error=step.error.message)
        await asyncio.sleep(step.seconds)
        return None

    async def _attempt(self, number: int) -> End:
        """Connect and stay connected until it ends."""
        started = self._clock()
        self._emit("connecting", hub_url=self._url, attempt=number)
        try:
            secret = await token.fetch(self._settings)
            self._learn(secret or "")
            address = await negotiate.negotiate(self._settings, secret)
            for value in address.headers.values():
                self._learn(value)
            connection = self._make(address, self._settings)
        except HubError as error:
            return self._failed(error, started)
        try:
            await connection.open()
            return await self._converse(connection, number, started)
        except HubError as error:
            return self._failed(error, started)
        finally:
            await connection.close()

    def _failed(self, error: HubError, started: float) -> End:
        self._emit("connection_failed", error=error.message, code=error.actual_code, hint=error.hint)
        return End(error, self._clock() - started)

    async def _converse(self, connection: Connection, attempt: int, started: float) -> End:
        opened = self._clock()
        self._number += 1
        conversation = Conversation(self._number, connection, self._settings, self._inbox, self._emit, self._clock)
        conversation.refusing = self._refusing
        self._conversation = conversation
        self._emit("connected", hub_url=self._url, hub_name=self._settings.hub_name, transport="WebSockets",
                   client=self._client, attempt=attempt)  # fmt: skip
        reason = "stopped"
        try:
            await conversation.live()
            raise AssertionError("a conversation ends with its reason")
        except HubError as error:
            reason = error.message
            now = self._clock()
            return End(error, now - started, max(now - opened, 0.001), conversation.kicked)
        finally:
            self._conversation = None
            self._emit("disconnected", reason=reason)
