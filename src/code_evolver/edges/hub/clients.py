"""The client libraries, by name. A module is imported when its library is used; the first installed one is `auto`."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from code_evolver.core.errors import ConfigurationError
from code_evolver.core.strict_json import show
from code_evolver.edges.hub.connection import Connection

CLIENTS = {
    "signalrcore": "code_evolver.edges.hub.client_signalrcore",
    "pysignalr": "code_evolver.edges.hub.client_pysignalr",
}


def choose(client: str) -> tuple[str, type[Connection]]:
    """Give the name and the class for the setting `client`. Raises ConfigurationError where it is not there."""
    names = list(CLIENTS) if client == "auto" else [client]
    for name in names:
        if name in CLIENTS and find_spec(name) is not None:
            with _no_certificates_loaded():
                made: type[Connection] = import_module(CLIENTS[name]).CONNECTION
            return name, made
    if not set(names) <= set(CLIENTS):
        raise ConfigurationError(f"There is no client library {show(client)}.", f"Choose auto, {' or '.join(CLIENTS)}.")
    raise ConfigurationError(f"The SignalR client library is not installed: {', '.join(names)}.",
                             'Install it: python -m pip install "code-evolver[pysignalr]" brings both.')  # fmt: skip


@contextmanager
def _no_certificates_loaded() -> Iterator[None]:
    """Keep signalrcore from loading the system's certificates four times when imported (0.1 s, 3 MB), for nothing.

    It has TLS contexts as default arguments; ours come from trust.py. Whoever else asked meanwhile would get a context
    that trusts nobody.
    """
    whole = ssl.create_default_context
    ssl.create_default_context = _trusting_nobody
    try:
        yield
    finally:
        ssl.create_default_context = whole


def _trusting_nobody(*_: Any, **__: Any) -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
