"""Through which proxy a hub is reached: one rule for the negotiation and the WebSocket, whose libraries have one each."""

from dataclasses import dataclass, field
from urllib.request import getproxies, proxy_bypass

from code_evolver.core import hub_address
from code_evolver.core.redact import clean_url
from code_evolver.core.strict_json import show

HINT = "Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY in the environment, or name the hub's host in NO_PROXY."


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to connect through."""

    url: str = field(repr=False)
    """With user and password where it wants them."""

    @property
    def shown(self) -> str:
        """Its address for messages, without secrets."""
        return show(clean_url(self.url), 200)

    @property
    def secure(self) -> bool:
        """Whether the way to the proxy itself is TLS."""
        return self.url.lower().startswith("https:")


def proxy_for(url: str) -> Proxy | None:
    """Give the proxy for a hub's address, None for the direct way.

    HTTP_PROXY counts for http and ws, HTTPS_PROXY for https and wss, ALL_PROXY where that one is not set, and none of
    them for the hosts of NO_PROXY. Where no variable is set, macOS and Windows say what their settings hold.
    """
    scheme, host, port = hub_address.origin(url)
    if proxy_bypass(f"{host}:{port}"):
        return None
    known = getproxies()
    found = known.get(scheme) or known.get("all")
    if not found:
        return None
    return Proxy(found if "://" in found else f"http://{found}")
