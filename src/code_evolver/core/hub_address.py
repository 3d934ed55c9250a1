"""Addresses of a hub: where to negotiate, where to open the socket, and what of them may be shown. All pure text."""

from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from code_evolver.core.errors import HubRefused
from code_evolver.core.strict_json import show

_WEB = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PORTS = {"http": 80, "https": 443}
_SECRET_WORDS = ("token", "secret", "password", "key", "sig", "code", "credential")


def split(url: str) -> SplitResult:
    """Take an address apart. Raises HubRefused where it is no http, https, ws or wss address with a host."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme.lower() in _WEB and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise HubRefused(f"{show(url)} is no address of a hub.", "Give one such as https://host:5001/taskhub.")
    return parts


def web_url(url: str) -> str:
    """Give the http or https address of a hub, without user and fragment; path and query are kept."""
    parts = split(url)
    return parts._replace(scheme=_WEB[parts.scheme.lower()], netloc=_host(parts), fragment="").geturl()


def negotiate_url(url: str) -> str:
    """Give the address to POST the negotiation to."""
    parts = split(web_url(url))
    kept = [piece for piece in parts.query.split("&") if piece and not piece.startswith("negotiateVersion=")]
    query = "&".join([*kept, "negotiateVersion=1"])
    return parts._replace(path=parts.path.rstrip("/") + "/negotiate", query=query).geturl()


def socket_url(url: str, connection: str) -> str:
    """Give the address of the WebSocket for a negotiated connection token (or id)."""
    parts = split(web_url(url))
    query = "&".join(filter(None, [parts.query, "id=" + quote(connection, safe="")]))
    scheme = "wss" if parts.scheme == "https" else "ws"
    return parts._replace(scheme=scheme, path=parts.path or "/", query=query).geturl()


def classic_urls(url: str) -> tuple[str, ...]:
    """Give the addresses at which a classic ASP.NET SignalR server would answer a negotiation."""
    parts = split(web_url(url))
    path = parts.path.rstrip("/")
    bases = dict.fromkeys((path, path.removesuffix("/hubs")))
    return tuple(parts._replace(path=base + "/negotiate", query="clientProtocol=2.1").geturl() for base in bases)


def origin(url: str) -> tuple[str, str, int]:
    """Give scheme (http or https), host and port: what decides who may see a token."""
    parts = split(web_url(url))
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme]


def user(url: str) -> tuple[str, str] | None:
    """Give user and password of an address, None where it has none."""
    parts = split(url)
    if parts.username is None:
        return None
    return unquote(parts.username), unquote(parts.password or "")


def public_url(url: str) -> str:
    """Give the address as it may be shown: no user, no password, no value of a query key that sounds secret."""
    parts = split(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    shown = [(key, value) for key, value in pairs if not any(word in key.lower() for word in _SECRET_WORDS)]
    query = parts.query if len(shown) == len(pairs) else urlencode(shown)
    return parts._replace(netloc=_host(parts), query=query, fragment="").geturl()


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]
