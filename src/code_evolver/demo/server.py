"""The connections of the demo hub: negotiate, WebSocket upgrade, clients; one port for all of it."""

import asyncio
import secrets
import ssl
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from code_evolver.core import signalr
from code_evolver.demo.faults import Faults, negotiate_fault
from code_evolver.demo.http import BadRequest, Request, Response, json_response, read_request, text_response
from code_evolver.demo.member import Member
from code_evolver.demo.socket import Socket

PATHS = frozenset({"/taskhub", "/taskhub-ws", "/secure/taskhub", "/hub/mock"})
_HELLO = "Use SubscribeToContext(contextName) to receive data."


class HubServer:
    """Listens, and keeps the clients that are connected. Used through DemoHub."""

    def __init__(
        self, port: int = 0, *, host: str = "127.0.0.1", token: str = "", keep_alive: float = 15.0,
        client_timeout: float = 30.0, max_message: int = 32768, tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self.host = host
        self.port = port
        self.token = token
        self.tls = tls
        self.keep_alive = keep_alive
        self.client_timeout = client_timeout
        self.max_message = max_message
        self.faults = Faults()
        self.received: list[dict[str, Any]] = []
        """What clients called: {"method", "arguments", "at"}, oldest first."""
        self.pending: list[Any] = []
        """What the hub method PendingTasks gives."""
        self.members: list[Member] = []
        """Clients, oldest connection first; those in the middle of a handshake among them."""
        self.tokens: list[str] = []
        """Tokens that clients of /secure/taskhub showed, oldest first."""
        self.reached: Counter[str] = Counter()
        """How often clients came to each stage of connecting: negotiate, upgrade, handshake."""
        self._tickets: set[str] = set()
        self._server: asyncio.Server | None = None
        self._jobs: set[asyncio.Task[Any]] = set()
        self.over = asyncio.Event()
        self._changed = asyncio.Condition()

    @property
    def base(self) -> str:
        """The address of the control paths."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The hub's address."""
        return f"{self.base}/taskhub"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        if self._server:
            self._server.close()
        for member in self.members:
            member.socket.drop()
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self._server:
            with suppress(TimeoutError):  # from 3.12 on it waits for clients as well, also for one that reads nothing
                async with asyncio.timeout(1):
                    await self._server.wait_closed()

    def ready(self, group: str = "") -> list[Member]:
        """Give the clients that are connected (and in `group`), oldest first."""
        return [member for member in self.members if member.ready.is_set() and (not group or group in member.groups)]

    async def wait_for_clients(self, count: int = 1, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - a bound, not a race
        """Wait until `count` clients are connected. Raises TimeoutError."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: len(self.ready()) >= count)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside the hub, at most until it ends."""
        job: asyncio.Task[None] = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        job = asyncio.current_task()
        if job:
            self._jobs.add(job)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or the hub closes: nobody is left to be told
        finally:
            writer.close()
            if job:
                self._jobs.discard(job)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await read_request(reader)
            if request is None:
                return
            if request.headers.get("upgrade", "").lower() == "websocket":
                response = await self._upgrade(request, reader, writer)
            else:
                response = await self._respond(request)
        except BadRequest as error:
            response = text_response(error.status, str(error))
        if response is not None:
            writer.write(response.write())
            await writer.drain()

    async def control(self, _: Request) -> Response | None:
        """Answer a request under /control/."""
        return Response(404)

    async def _respond(self, request: Request) -> Response | None:
        path = request.path.rstrip("/")
        if path.startswith("/control/"):
            return await self.control(request)
        if path.endswith("/negotiate") and path.removesuffix("/negotiate") in {*PATHS, "/redirect"}:
            return await self._negotiate(request, path.removesuffix("/negotiate"))
        return text_response(400, "Connection ID required") if path in PATHS else Response(404)

    async def _negotiate(self, request: Request, path: str) -> Response | None:
        self.reached["negotiate"] += 1
        wrong, kind = negotiate_fault(self.faults, self.base + path), self.faults.negotiate
        self.faults.count_attempt()
        if wrong is not None:
            return wrong
        if kind in {"hang", "cut"}:
            await (self.over.wait() if kind == "hang" else asyncio.sleep(0))
            return None
        if request.method != "POST":
            return Response(405, headers={"Allow": "POST"})
        if path == "/redirect":
            return json_response({"url": f"{self.base}/secure/taskhub", "accessToken": self.token})
        if not self._allowed(path, request):
            return Response(401)
        version = 0 if request.query.get("negotiateVersion", "0") == "0" else 1
        ticket, name = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        self._tickets.add(ticket)
        offer = [{"transport": "WebSockets", "transferFormats": ["Text"]}]
        ids = {"connectionId": name, "connectionToken": ticket} if version else {"connectionId": ticket}
        return json_response({"negotiateVersion": version, **ids, "availableTransports": offer})

    def _allowed(self, path: str, request: Request) -> bool:
        if not path.startswith("/secure/"):
            return True
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        shown = bearer or request.query.get("access_token", "")
        self.tokens.append(shown)
        return bool(self.token) and secrets.compare_digest(shown.encode(), self.token.encode())

    async def _upgrade(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Response | None:
        self.reached["upgrade"] += 1
        if self.faults.upgrade_status:
            return Response(self.faults.upgrade_status, headers=dict(self.faults.headers))
        if self.faults.upgrade_hang:
            await self.over.wait()
            return None
        if request.path not in PATHS:
            return Response(404)
        if not self._allowed(request.path, request):
            return Response(401)
        ticket = request.query.get("id")
        if ticket is not None and ticket not in self._tickets:
            return text_response(404, "No Connection with that ID")
        self._tickets.discard(ticket or "")
        socket = Socket(reader, writer)
        if await socket.accept(request.head):
            await self._live(
                request, Member(self, socket, secrets.token_urlsafe(16), request.headers.get("user-agent", ""))
            )
        return None

    async def _live(self, request: Request, member: Member) -> None:
        greeting = signalr.invocation("Connected", [{"connectionId": member.id, "message": _HELLO}])
        self.members.append(member)
        telling = self.start(self._tell(member))
        try:
            await member.live([greeting] if request.path == "/hub/mock" else [])
        finally:
            telling.cancel()
            self.members.remove(member)

    async def _tell(self, member: Member) -> None:
        await member.ready.wait()
        async with self._changed:
            self._changed.notify_all()
