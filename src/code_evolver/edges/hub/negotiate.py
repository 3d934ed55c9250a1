"""Our own negotiation with the hub: where to open the WebSocket, and with which headers.

Source: https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/TransportProtocols.md
A token and the configured headers go to the hub's own origin only; after a redirect (Azure SignalR Service) another
origin gets the token that the redirect gave, or none.
"""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from code_evolver.core import backoff, hub_address
from code_evolver.core.errors import HubAuthentication, HubError, HubRefused, HubUnreachable
from code_evolver.core.session import HubSettings
from code_evolver.core.strict_json import show
from code_evolver.edges.hub import proxies, trust
from code_evolver.edges.hub.proxies import Proxy

BODY_LIMIT = 64 * 1024
REDIRECTS = 5
USER_AGENT = "code-evolver"
CHECK_URL = "Check that hub_url is the full address of an ASP.NET Core SignalR hub, its path included."


@dataclass(frozen=True, slots=True)
class Address:
    """Where to open the WebSocket."""

    url: str = field(repr=False)
    """ws or wss, with the connection's token."""
    headers: Mapping[str, str] = field(repr=False)
    """Authorization and cookies among them."""
    shown: str = ""
    """The address without secrets, and the proxy, for messages."""
    proxy: Proxy | None = None
    """The way that the negotiation took."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A hub as one hop of the negotiation sees it."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def proxy(self) -> Proxy | None:
        return proxies.proxy_for(self.url)

    @property
    def shown(self) -> str:
        through = f" (through the proxy {self.proxy.shown})" if self.proxy else ""
        return show(hub_address.public_url(self.url), 200) + through


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes


async def negotiate(settings: HubSettings, token: str | None) -> Address:
    """Ask the hub where to connect.

    Raises HubUnreachable (refused, timed out, 5xx, 429), HubAuthentication (401, 403) or HubRefused (anything else).
    """
    place = _Place(settings.hub_url, _headers(settings, token))
    cookies = httpx.Cookies()
    for _ in range(REDIRECTS + 1):
        answer = await _request("POST", hub_address.negotiate_url(place.url), place, settings, cookies)
        found = await _read(answer, place, settings)
        if not found.get("url"):
            return _address(found, place, cookies)
        place = _redirected(found, place)
    raise HubRefused(f"The hub at {place.shown} redirects in a circle (more than {REDIRECTS} times).", CHECK_URL)


def _headers(settings: HubSettings, token: str | None) -> dict[str, str]:
    given = {key: value for key, value in settings.headers.items() if key.lower() != "authorization" or not token}
    account = hub_address.user(settings.hub_url)
    if token:
        given["Authorization"] = f"Bearer {token}"
    elif account and not any(key.lower() == "authorization" for key in given):
        given["Authorization"] = "Basic " + base64.b64encode(":".join(account).encode()).decode()
    return given


async def _request(method: str, url: str, place: _Place, settings: HubSettings, cookies: httpx.Cookies) -> _Answer:
    secure = url.startswith("https:")
    seconds = settings.connect_timeout_seconds
    try:
        async with (
            asyncio.timeout(seconds + 1),  # against dripping; later than httpx's own, after which it cleans up
            httpx.AsyncClient(
                verify=trust.tls_context(settings.ca_file) if secure else False,
                timeout=seconds, cookies=cookies, follow_redirects=False,
                proxy=_for_httpx(place.proxy, settings), trust_env=False, headers={"User-Agent": USER_AGENT},
            ) as client,
            client.stream(method, url, headers=dict(place.headers)) as response,
        ):  # fmt: skip
            body = await _limited(response)
            cookies.update(client.cookies)
            return _Answer(response.status_code, response.headers, body)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ImportError, ValueError) as error:
        raise _mapped(error, place, seconds) from error


def _for_httpx(proxy: Proxy | None, settings: HubSettings) -> httpx.Proxy | None:
    if proxy is None:
        return None
    return httpx.Proxy(proxy.url, ssl_context=trust.tls_context(settings.ca_file) if proxy.secure else None)


async def _limited(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > BODY_LIMIT:
            break
    return bytes(body[:BODY_LIMIT])


def _mapped(error: Exception, place: _Place, seconds: float) -> HubError:
    problem = trust.tls_problem(error)
    if problem is not None:
        what, hint = trust.refusal(problem)
        return HubRefused(f"The hub at {place.shown} {what}.", hint)
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return HubUnreachable(f"The hub at {place.shown} did not answer within {seconds:g} s.", "Is it running?")
    if isinstance(error, httpx.TransportError):
        hint = proxies.HINT if place.proxy else "Check that it is running, and hub_url's host and port."
        return HubUnreachable(f"The hub at {place.shown} cannot be reached: {error}.", hint)
    return HubRefused(f"The hub at {place.shown} cannot be asked: {error}.", proxies.HINT if place.proxy else CHECK_URL)


async def _read(answer: _Answer, place: _Place, settings: HubSettings) -> dict[str, Any]:
    """Give the negotiation's answer. Raises by class of what is wrong."""
    if answer.status != httpx.codes.OK:
        error = _by_status(answer, place)
        if isinstance(error, HubRefused) and await _classic_answers(place, settings):
            raise _classic(place)
        raise error
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        if await _classic_answers(place, settings):
            raise _classic(place)
        kind = "HTML page" if b"<" in answer.body[:200] else "document"
        raise HubRefused(f"{place.shown} is no SignalR hub: it answers with another {kind}.", CHECK_URL)
    if _is_classic(found):
        raise _classic(place)
    if found.get("error"):
        raise HubRefused(f"The hub at {place.shown} refused: {show(found['error'], 300)}.",
                         "The hub's own log says more.")  # fmt: skip
    return found


def _by_status(answer: _Answer, place: _Place) -> HubError:
    status = answer.status
    if status in (401, 403):
        what = "wants a token" if "Authorization" not in place.headers else "did not accept the token"
        return HubAuthentication(f"The hub at {place.shown} {what} (HTTP {status}).",
                                 "Set access_token_file or access_token_command to a token that is valid now.")  # fmt: skip
    if status in (408, 425, 429) or status >= 500:
        pause = backoff.retry_after(answer.headers.get("retry-after"), time.time())
        return HubUnreachable(f"The hub at {place.shown} answered HTTP {status}.",
                              "It may be starting or overloaded; its log says more.", retry_after=pause)  # fmt: skip
    if 300 <= status < 400:
        target = show(answer.headers.get("location", "nowhere"), 200)
        return HubRefused(f"The hub at {place.shown} sends us on to {target} (HTTP {status}).",
                          "Give the final address as hub_url; if it is a login page, the hub wants a token.")  # fmt: skip
    if status == 404:
        return HubRefused(f"There is no SignalR hub at {place.shown} (HTTP 404).", CHECK_URL)
    return HubRefused(f"{place.shown} is no SignalR hub: it answers HTTP {status}.", CHECK_URL)


def _is_classic(found: Mapping[str, Any]) -> bool:
    return {"ProtocolVersion", "ConnectionToken"} <= found.keys()


async def _classic_answers(place: _Place, settings: HubSettings) -> bool:
    """Find out whether a classic ASP.NET SignalR server answers here."""
    for url in hub_address.classic_urls(place.url):
        try:
            answer = await _request("GET", url, place, settings, httpx.Cookies())
            found = json.loads(answer.body)
        except (HubError, ValueError, RecursionError):
            continue
        if isinstance(found, dict) and _is_classic(found):
            return True
    return False


def _classic(place: _Place) -> HubRefused:
    return HubRefused(f"{place.shown} speaks classic ASP.NET SignalR, another protocol than ASP.NET Core SignalR.",
                      "Move the hub to ASP.NET Core SignalR; the classic protocol is not supported.")  # fmt: skip


def _address(found: Mapping[str, Any], place: _Place, cookies: httpx.Cookies) -> Address:
    connection = found.get("connectionToken") or found.get("connectionId")
    if not isinstance(connection, str):
        raise HubRefused(f"{place.shown} is no SignalR hub: its answer names no connection.", CHECK_URL)
    transports = found.get("availableTransports")
    names = (
        [str(one.get("transport")) for one in transports if isinstance(one, dict)]
        if isinstance(transports, list)
        else []
    )
    if "WebSockets" not in names:
        offered = show(", ".join(names) or "nothing")
        raise HubRefused(f"The hub at {place.shown} does not offer WebSockets, only {offered}.",
                         "Allow the WebSockets transport in MapHub, and in the proxy or web server before it.")  # fmt: skip
    request = httpx.Request("GET", hub_address.web_url(place.url), headers=dict(place.headers))
    if not any(key.lower() == "cookie" for key in place.headers):
        cookies.set_cookie_header(request)
    headers = dict(place.headers)
    if "cookie" in request.headers:
        headers = {key: value for key, value in headers.items() if key.lower() != "cookie"}
        headers["Cookie"] = request.headers["cookie"]
    return Address(hub_address.socket_url(place.url, connection), headers, place.shown, place.proxy)


def _redirected(found: Mapping[str, Any], place: _Place) -> _Place:
    url = str(found["url"])
    before, then = hub_address.origin(place.url), hub_address.origin(url)
    if before[0] == "https" and then[0] == "http":
        raise HubRefused(f"The hub at {place.shown} sends us on to an address without TLS.", CHECK_URL)
    headers = dict(place.headers) if before == then else {}
    token = found.get("accessToken")
    if isinstance(token, str) and token:
        headers = {key: value for key, value in headers.items() if key.lower() != "authorization"}
        headers["Authorization"] = f"Bearer {token}"
    return replace(place, url=url, headers=headers)
