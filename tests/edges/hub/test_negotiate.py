import asyncio
import ssl
from pathlib import Path

import pytest

from code_evolver.core.errors import ConfigurationError, HubAuthentication, HubRefused, HubUnreachable
from code_evolver.core.session import HubSettings
from code_evolver.edges.hub.negotiate import Address, negotiate
from tests.certificates import certificate
from tests.fault_hub import NEGOTIATED, FaultHub, http

CLASSIC = {
    "Url": "/signalr",
    "ConnectionToken": "x",
    "ConnectionId": "y",
    "ProtocolVersion": "2.1",
    "TryWebSockets": True,
}


def ask(*answers, token=None, **settings) -> tuple[Address, FaultHub]:
    async def scene() -> tuple[Address, FaultHub]:
        hub = FaultHub()
        hub.negotiations = list(answers)
        async with hub.running():
            settings.setdefault("connect_timeout_seconds", 2.0)
            return await negotiate(HubSettings(hub.url, **settings), token), hub

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (http(401), HubAuthentication, "wants a token"),
        (http(403), HubAuthentication, "HTTP 403"),
        (http(404), HubRefused, "no SignalR hub at"),
        (http(405), HubRefused, "HTTP 405"),
        (http(302, Location="/login"), HubRefused, "sends us on to '/login'"),
        (http(500), HubUnreachable, "HTTP 500"),
        (http(200, b"<html>Hello"), HubRefused, "HTML page"),
        (http(200, [1]), HubRefused, "another document"),
        (http(200, {}), HubRefused, "names no connection"),
        (http(200, {"error": "not today"}), HubRefused, "'not today'"),
        (http(200, b"[" * 70_000), HubRefused, "another document"),
        (
            http(200, {**NEGOTIATED, "availableTransports": [{"transport": "LongPolling"}]}),
            HubRefused,
            "only 'LongPolling'",
        ),
        (http(200, CLASSIC), HubRefused, "classic ASP.NET SignalR"),
        (b"nonsense\r\n\r\n", HubUnreachable, "cannot be reached"),
    ],
)
def test_each_answer_has_its_error(answer, kind, words):
    with pytest.raises(kind, match=words) as caught:
        ask(answer)
    assert type(caught.value) is kind
    assert caught.value.hint


@pytest.mark.parametrize("first", [http(404), http(200, b"<html>")])
def test_a_classic_hub_that_answers_only_its_own_negotiation_is_named(first):
    with pytest.raises(HubRefused, match=r"classic ASP\.NET SignalR"):
        ask(first, http(200, CLASSIC))


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_passed_on(status):
    with pytest.raises(HubUnreachable) as caught:
        ask(http(status, Retry_After="7"))
    assert caught.value.retry_after == 7


def test_a_hub_that_hangs_is_left_after_the_timeout():
    with pytest.raises(HubUnreachable, match=r"within 0\.3 s"):
        ask(None, connect_timeout_seconds=0.3)


def test_nobody_there_and_no_such_host_are_unreachable():
    for url in ("http://127.0.0.1:1/hub", "http://no-such-host.invalid/hub"):
        with pytest.raises(HubUnreachable, match="cannot be reached"):
            asyncio.run(negotiate(HubSettings(url), None))


def test_a_redirect_on_the_same_origin_keeps_the_token_and_its_own_token_wins():
    def again(request):
        return http(200, {"url": f"http://{request.headers['host']}/other?a=1"})

    address, hub = ask(again, http(200, NEGOTIATED), token="MINE")
    assert [request.headers["authorization"] for request in hub.requests] == ["Bearer MINE"] * 2
    assert address.url.endswith("/other?a=1&id=t")
    assert address.headers["Authorization"] == "Bearer MINE"

    def elsewhere(request):
        return http(200, {"url": f"http://{request.headers['host']}/other", "accessToken": "THEIRS"})

    address, hub = ask(elsewhere, http(200, NEGOTIATED), token="MINE", headers={"X-Key": "k"})
    assert hub.requests[1].headers["authorization"] == "Bearer THEIRS"
    assert address.headers == {"X-Key": "k", "Authorization": "Bearer THEIRS"}


@pytest.mark.parametrize("name", ["User-Agent", "user-agent"])
def test_headers_of_the_settings_take_the_place_of_ours(name):
    _, hub = ask(http(200, NEGOTIATED), headers={name: "theirs"})
    assert [request.headers["user-agent"] for request in hub.requests] == ["theirs"]


def test_another_origin_sees_neither_our_token_nor_our_headers():
    async def scene() -> None:
        other = FaultHub()
        async with other.running():
            first = FaultHub()
            first.negotiations = [http(200, {"url": other.url})]
            async with first.running():
                settings = HubSettings(first.url, headers={"X-Key": "SECRET", "Cookie": "SECRET"})
                address = await negotiate(settings, "SECRET")
        assert first.requests[0].headers["x-key"] == "SECRET"
        assert "SECRET" not in str(other.requests)
        assert "SECRET" not in str(dict(address.headers))

    asyncio.run(scene())


def test_a_redirect_loop_ends_after_five():
    def again(request):
        return http(200, {"url": f"http://{request.headers['host']}/again"})

    with pytest.raises(HubRefused, match="in a circle"):
        ask(again)


def test_cookies_of_the_negotiation_go_to_the_socket_for_sticky_sessions():
    address, _ = ask(http(200, NEGOTIATED, Set_Cookie="ARRAffinity=s7; Path=/"))
    assert address.headers["Cookie"] == "ARRAffinity=s7"


def test_user_and_password_of_the_address_become_basic_authorization_unless_there_is_a_token():
    async def scene(token: str | None) -> str:
        hub = FaultHub()
        async with hub.running():
            await negotiate(HubSettings(hub.url.replace("//", "//me:pw@")), token)
        return hub.requests[0].headers["authorization"]

    assert asyncio.run(scene(None)) == "Basic bWU6cHc="
    assert asyncio.run(scene("T")) == "Bearer T"


def ask_with_tls(context: ssl.SSLContext, ca_file: Path | None) -> Address:
    async def scene() -> Address:
        server = await asyncio.start_server(FaultHub()._serve, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            settings = HubSettings(f"https://127.0.0.1:{port}/hub", ca_file=str(ca_file) if ca_file else None)
            return await negotiate(settings, None)

    return asyncio.run(scene())


def test_a_wrong_certificate_is_said_and_a_trusted_one_works(tmp_path):
    context, cert = certificate(tmp_path, "cert")
    with pytest.raises(HubRefused, match="certificate that is not trusted"):
        ask_with_tls(context, None)
    assert ask_with_tls(context, cert).url.startswith("wss://127.0.0.1:")
    with pytest.raises(ConfigurationError, match="ca_file"):
        ask_with_tls(context, tmp_path / "missing.pem")


def test_a_ca_file_that_changes_is_read_again_and_one_that_has_gone_may_come_back(tmp_path):
    before, old = certificate(tmp_path, "old")
    after, new = certificate(tmp_path, "new")
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(old.read_bytes())
    assert ask_with_tls(before, ca_file)
    ca_file.unlink()
    with pytest.raises(HubUnreachable, match=r"ca_file .* cannot be used: No such file"):
        ask_with_tls(after, ca_file)
    ca_file.write_text("not yet", encoding="utf-8")
    with pytest.raises(HubUnreachable, match="no certificate in PEM form"):
        ask_with_tls(after, ca_file)
    ca_file.write_bytes(new.read_bytes())
    assert ask_with_tls(after, ca_file)
    with pytest.raises(HubRefused, match="not trusted"):
        ask_with_tls(before, ca_file)


def test_tls_to_a_port_without_tls_is_said():
    async def scene() -> None:
        async with FaultHub().running() as hub:
            await negotiate(HubSettings(hub.url.replace("http:", "https:"), connect_timeout_seconds=2), None)

    with pytest.raises((HubRefused, HubUnreachable), match=r"TLS|reached|answer"):
        asyncio.run(scene())
