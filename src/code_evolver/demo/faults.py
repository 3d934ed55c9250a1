"""What a demo hub can do wrong on demand, so that a client can be tried on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from code_evolver.core.signalr import encode, invocation
from code_evolver.demo.http import Response, json_response

Negotiate = Literal["", "hang", "html", "redirect_loop", "classic", "error", "cut"]

CLASSIC_ANSWER = {
    "Url": "/signalr",
    "ConnectionToken": "AQAAANCMnd8BFdERjHoAwE/Cl+sBAAAA",
    "ConnectionId": "6bf3b0ad-8b2f-44a4-a9f0-0a9d56f0b1a2",
    "KeepAliveTimeout": 20.0,
    "DisconnectTimeout": 30.0,
    "ConnectionTimeout": 110.0,
    "TryWebSockets": True,
    "ProtocolVersion": "2.1",
    "TransportConnectTimeout": 5.0,
    "LongPollDelay": 0.0,
}
"""What a server of classic ASP.NET SignalR says: another protocol under a like name."""


@dataclass(slots=True)
class Faults:
    """What goes wrong at the start of a connection, until it is set otherwise."""

    negotiate: Negotiate = ""
    negotiate_status: int = 0
    """Answer negotiate with this status (0: do not)."""
    headers: dict[str, str] = field(default_factory=dict)
    """Added to a failing answer, e.g. {"Retry-After": "3"}."""
    upgrade_status: int = 0
    upgrade_hang: bool = False
    handshake_error: str = ""
    handshake_hang: bool = False
    handshake_drop: bool = False
    """Close the socket in the place of a handshake answer."""
    silent: bool = False
    """Read nothing and send nothing, connections kept: a stopped process."""
    first: int = 0
    """How many connection attempts the faults at the start hold for (0: all); counted at negotiate."""

    def set(self, values: Mapping[str, Any]) -> None:
        """Set faults by name, the others to none. Raises KeyError with the name of an unknown one."""
        names = {item.name for item in fields(self)}
        for name in values:
            if name not in names:
                raise KeyError(name)
        fresh = type(self)(**values)
        for name in names:
            setattr(self, name, getattr(fresh, name))

    def count_attempt(self) -> None:
        """Count a negotiation; after the last that the faults hold for, they end."""
        if self.first == 1:
            self.set({"silent": self.silent})
        elif self.first > 1:
            self.first -= 1


def negotiate_fault(faults: Faults, url: str) -> Response | None:
    """Give the wrong answer to a negotiation; None where there is none ("hang" and "cut" are the server's to do)."""
    if faults.negotiate_status:
        return Response(faults.negotiate_status, b"", "", dict(faults.headers))
    if faults.negotiate == "html":
        return Response(200, b"<!DOCTYPE html><html><body>It works!</body></html>", "text/html")
    if faults.negotiate == "redirect_loop":
        return json_response({"url": url, "accessToken": "loop"})
    if faults.negotiate == "classic":
        return json_response(CLASSIC_ANSWER)
    if faults.negotiate == "error":
        return json_response({"error": "Connections are refused today."})
    return None


def odd_records(task: Mapping[str, Any], method: str = "TaskHub") -> dict[str, bytes]:
    """Give records that a client must survive, by what is odd about them; each ends with 0x1e.

    Those with "task" in their name carry `task` for a listener of `method`.
    """
    call = invocation(method, [task])
    return {
        "truncated JSON": b'{"type":1,"target":"' + method.encode() + b'","arguments":[{"id"\x1e',
        "no JSON": b"hello\x1e",
        "a list": b"[1,2]\x1e",
        "broken UTF-8": b'{"type":1,"target":"\xff"}\x1e',
        "unknown type": encode({"type": 42}),
        "no type": encode({"target": method}),
        "text as type": encode({"type": "1"}),
        "ack": encode({"type": 8, "sequenceId": 1}),
        "no arguments": encode({"type": 1, "target": method}),
        "unknown target": encode(invocation("NobodyListens", [])),
        "empty record": b"\x1e",
        "extra fields and a task": encode({**call, "headers": {"a": "b"}, "novelty": {"x": [1]}}),
        "keys in another order and a task": encode(dict(reversed(call.items()))),
    }
