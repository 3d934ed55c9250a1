"""The negotiation and the WebSocket take the same way, through a real proxy or past it."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from code_evolver.core.errors import HubRefused, HubUnreachable
from code_evolver.core.session import HubSettings
from code_evolver.edges.hub.frames import open_socket
from code_evolver.edges.hub.negotiate import Address, negotiate
from code_evolver.edges.hub.proxies import Proxy, proxy_for
from tests.certificates import certificate
from tests.fault_hub import FaultHub, http
from tests.hub_listening import failure, listening

DEAD = "http://me:hush-hush@127.0.0.1:9"
HTTP, TUNNEL = "POST", "CONNECT"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


class ForwardProxy:
    """Passes on what comes for an http address, and tunnels for CONNECT; remembers the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        """(method, what stands behind it)"""
        self.heads: list[str] = []
        self.refusal: bytes | None = None
        self.address = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            line, _, rest = head.partition(b"\r\n")
            method, target, version = line.decode().split(" ")
            self.asked.append((method, target))
            self.heads.append(head.decode())
            if self.refusal:
                writer.write(self.refusal)
            else:
                parts = urlsplit(f"//{target}" if method == TUNNEL else target)
                behind, there = await asyncio.open_connection(parts.hostname, parts.port)
                if method == TUNNEL:
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    there.write(f"{method} {parts.path}?{parts.query} {version}\r\n".encode() + rest)
                try:
                    await asyncio.gather(_pass_on(reader, there), _pass_on(behind, writer))
                finally:
                    await _close(there)
        await _close(writer)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["ForwardProxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("variables", "methods"),
    [
        ({"HTTP_PROXY": "http://{proxy}"}, [HTTP, TUNNEL]),
        ({"HTTP_PROXY": "{proxy}", "HTTPS_PROXY": DEAD}, [HTTP, TUNNEL]),
        ({"ALL_PROXY": "http://{proxy}"}, [HTTP, TUNNEL]),
        ({"HTTPS_PROXY": DEAD}, []),
        ({"HTTP_PROXY": DEAD, "NO_PROXY": "example.org, 127.0.0.1"}, []),
        ({"ALL_PROXY": DEAD, "NO_PROXY": "*"}, []),
        ({}, []),
    ],
)
def test_a_hub_without_tls_is_reached_in_one_way(variables, methods, monkeypatch):
    async def scene() -> None:
        async with ForwardProxy().running() as proxy, FaultHub().running() as hub:
            for name, value in variables.items():
                monkeypatch.setenv(name, value.format(proxy=proxy.address))
            async with listening(hub.url, alone=False, max_reconnect_attempts=1) as heard:
                await heard.until(lambda heard: heard.hub.connected)
            assert proxy.methods == methods
            assert [request.method for request in hub.requests] == ["POST", "GET"]

    asyncio.run(scene())


def test_a_hub_with_tls_is_reached_through_tunnels_and_its_certificate_counts(tmp_path: Path, monkeypatch):
    context, cert = certificate(tmp_path, "cert")

    async def scene() -> None:
        async with ForwardProxy().running() as proxy:
            server = await asyncio.start_server(FaultHub()._serve, "127.0.0.1", 0, ssl=context)
            place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            monkeypatch.setenv("HTTP_PROXY", DEAD)
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:pw@{proxy.address}")
            settings = HubSettings(f"https://{place}/hub", ca_file=str(cert))
            socket = await open_socket(await negotiate(settings, None), settings)
            await socket.end()
            assert proxy.asked == [(TUNNEL, place)] * 2
            assert all("proxy-authorization: basic dxnlcjpwdw==" in head.lower() for head in proxy.heads)
            with pytest.raises(HubRefused, match="not trusted"):
                await negotiate(HubSettings(f"https://{place}/hub"), None)
            server.close()

    asyncio.run(scene())


def test_a_proxy_that_is_not_there_is_named_without_its_password(monkeypatch):
    async def scene() -> None:
        async with FaultHub().running() as hub:
            monkeypatch.setenv("ALL_PROXY", DEAD)
            error, heard = await failure(hub.url, max_reconnect_attempts=1)
            assert type(error) is HubUnreachable
            assert "(through the proxy 'http://127.0.0.1:9') cannot be reached" in str(error)
            assert "NO_PROXY" in error.hint
            assert "hush-hush" not in str(heard.events)
            address = Address(hub.url.replace("http:", "ws:"), {}, "there", Proxy(DEAD))
            with pytest.raises(HubUnreachable, match="there cannot be reached") as caught:
                await open_socket(address, HubSettings(hub.url))
            assert "NO_PROXY" in caught.value.hint
            assert not hub.requests

    asyncio.run(scene())


def test_a_proxy_that_refuses_is_named_where_it_forwards_and_where_it_tunnels(monkeypatch):
    async def scene() -> None:
        async with ForwardProxy().running() as proxy, FaultHub().running() as hub:
            monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
            settings = HubSettings(hub.url)
            address = await negotiate(settings, None)
            proxy.refusal = http(403)
            with pytest.raises(HubUnreachable, match=rf"through the proxy 'http://{proxy.address}'.*HTTP 403"):
                await open_socket(address, settings)
            proxy.refusal = http(502)
            with pytest.raises(HubUnreachable, match=rf"through the proxy 'http://{proxy.address}'.*HTTP 502"):
                await negotiate(settings, None)

    asyncio.run(scene())


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "ftp://127.0.0.1:9"])
def test_a_proxy_of_another_kind_is_refused(proxy, monkeypatch):
    async def scene() -> None:
        monkeypatch.setenv("ALL_PROXY", proxy)
        error, _ = await failure("http://127.0.0.1:9/hub")
        assert type(error) is HubRefused
        assert proxy in str(error)
        address = Address("ws://127.0.0.1:9/hub", {}, "there", Proxy(proxy))
        with pytest.raises(HubRefused, match="there cannot be opened"):
            await open_socket(address, HubSettings(""))

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://hub/x", "http://one:1"),
        ("ws://hub/x", "http://one:1"),
        ("https://hub/x", "http://two:2"),
        ("wss://hub:1/x", "http://two:2"),
        ("https://past.example.org/x", None),
        ("http://[::1]:5000/x", None),
        ("http://other:5001/x", None),
        ("http://other:5000/x", "http://one:1"),
    ],
)
def test_the_address_decides(url, found, monkeypatch):
    monkeypatch.setenv("http_proxy", "one:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://two:2")
    monkeypatch.setenv("no_proxy", "example.org,::1,other:5001")
    proxy = proxy_for(url)
    assert (proxy and proxy.url) == found
