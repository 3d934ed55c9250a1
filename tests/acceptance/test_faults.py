"""The fault suite: the connector as a process, once for each client library, on the real hub and the demo hub's faults.

Nearly all of it is waiting (outages of 45 s, a hub frozen for 75 s, connections that must last 5 s to count as stable), so
all walks go on at the same time, each a thread with a hub and two connectors of its own. Backoff and jitter are the real
ones; every delay that was announced is held against the contract.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from code_evolver.core.signalr import completion, encode, invocation
from code_evolver.demo.faults import odd_records
from tests.acceptance_kit import begun, connector, hub, needs_taskhub
from tests.dying_kit import no_orphans
from tests.fault_walk import CLIENTS, Walk, walk, work

pytest.importorskip("pysignalr")
pytestmark = [pytest.mark.hub, pytest.mark.slow, needs_taskhub, pytest.mark.timeout(300)]

Table = list[tuple[dict[str, Any], str]]

NEGOTIATIONS: Table = [
    ({"negotiate": "hang"}, "did not answer within 10 s"),
    ({"negotiate_status": 500}, "HTTP 500"),
    ({"negotiate_status": 503, "headers": {"Retry-After": "3"}}, "HTTP 503"),
    ({"negotiate": "html"}, "is no SignalR hub"),
    ({"negotiate": "redirect_loop"}, "redirects in a circle"),
    ({"negotiate_status": 404}, "HTTP 404"),
    ({"negotiate": "cut"}, "cannot be reached"),
    ({"negotiate": "error"}, "Connections are refused today."),
]
SOCKETS: Table = [
    ({"upgrade_hang": True}, "did not open the WebSocket within 10 s"),
    ({"upgrade_status": 500}, "HTTP 500"),
    ({"upgrade_status": 503, "headers": {"Retry-After": "3"}}, "HTTP 503"),
    ({"handshake_error": "Not now."}, "Not now."),
    ({"handshake_hang": True}, "did not answer the handshake within 15 s"),
    ({"handshake_drop": True}, "The connection was closed"),
]
REFUSALS = [
    ({"negotiate": "html"}, 5, "hub_refused"),
    ({"negotiate": "redirect_loop"}, 5, "hub_refused"),
    ({"negotiate": "classic"}, 5, "hub_refused"),
    ({"negotiate_status": 404}, 5, "hub_refused"),
    ({"negotiate_status": 403}, 4, "hub_authentication"),
    ({"negotiate_status": 500}, 5, "hub_unreachable"),
    ({"upgrade_status": 401}, 4, "hub_authentication"),
    ({"upgrade_status": 500}, 5, "hub_unreachable"),
    ({"handshake_error": "Not now."}, 5, "hub_refused"),
]
CLOSES = [
    {"how": "record", "allowReconnect": "true"},
    {"how": "record", "allowReconnect": "true", "error": "boom"},
    {"how": "drop"},
    {"how": "reset"},
]
"""Ways to end a connection; the last two are FIN and RST."""


def frozen_for_75_seconds(folder: Path) -> None:
    with walk(folder, "real") as there:
        there.fault()
        began = time.monotonic()
        os.kill(there.hub.process.pid, signal.SIGSTOP)
        there.saw("disconnected", "silent for 30 s")
        time.sleep(75 - (time.monotonic() - began))  # the rest of the freeze
        os.kill(there.hub.process.pid, signal.SIGCONT)
        there.back = time.time()
        there.recovered(stable=False)
        there.finish()


def closed_thirteen_times(folder: Path) -> None:
    """More often than there are attempts in a row; each connection was stable, so that none is given up."""
    with walk(folder, "demo") as there:
        for number in range(13):
            there.fault()
            there.hub.post("close", **CLOSES[number % len(CLOSES)])
            there.saw("disconnected", "boom" if number % 4 == 1 else "")
            there.recovered(stable=number < 12)
        for client in CLIENTS:
            assert [one["attempt"] for one in there.doors[client].named("reconnecting")] == [1] * 13
        there.finish()


def outage(folder: Path, seconds: float) -> None:
    """With default settings: ten attempts."""
    with walk(folder, "real") as there:
        there.fault()
        there.stop_hub()
        time.sleep(seconds)  # the outage itself
        there.start_hub()
        there.recovered(stable=False)
        there.finish()


def outage_of_45_seconds(folder: Path) -> None:
    outage(folder, 45.0)


def outage_of_10_seconds(folder: Path) -> None:
    outage(folder, 10.0)


def each(there: Walk, table: Table) -> None:
    for fault, words in table:
        there.fault()
        there.hub.post("fault", fault)
        there.hub.post("close", **CLOSES[0])
        there.saw("connection_failed", words)
        there.hub.post("fault", {})
        there.recovered()


def wrong_negotiations(folder: Path) -> None:
    with walk(folder, "demo") as there:
        each(there, NEGOTIATIONS)
        there.finish()


def wrong_sockets_and_a_token_that_rotates(folder: Path) -> None:
    """The command gives the old token once more after the hub has changed it: one refusal, then the new one."""
    for client in CLIENTS:
        (folder / client).mkdir(parents=True)
        (folder / client / "token").write_text("OLD", encoding="utf-8")
    command = ["sh", "-c", "cat token; if [ -e next ]; then mv next token; fi"]
    with walk(folder, "demo", "--token", "OLD", path="/secure/taskhub", access_token_command=command) as there:
        there.fault()
        for client in CLIENTS:
            (folder / client / "next").write_text("NEW", encoding="utf-8")
        there.hub.post("rotate-token", value="NEW")
        there.hub.post("close", **CLOSES[0])
        there.saw("connection_failed", "did not accept the token")
        there.recovered()
        each(there, SOCKETS)
        there.finish()


def ways_of_a_hub_to_go(folder: Path) -> None:
    """Late, killed and back with another token, asked to end, frozen, aborting; and a wrong token beside it."""
    folder.mkdir()
    token = folder / "token"
    token.write_text("FIRST", encoding="utf-8")
    secret = {"path": "/secure/taskhub", "access_token_file": str(token), "server_timeout_seconds": 3}
    with walk(folder, "real", "--keepalive", "1", "--token", "FIRST", down=True, **secret) as there:
        doors = {client: wrong(there.url, folder, client, access_token="SECRET-wrong") for client in CLIENTS}
        for door in doors.values():
            check(door, 4, "hub_authentication")
            assert "SECRET" not in "".join(door.lines)
        there.fault()
        there.stop_hub()
        token.write_text("SECOND", encoding="utf-8")
        time.sleep(1)  # the outage itself
        there.start_hub("--token", "SECOND")
        there.recovered()
        there.fault()
        there.hub.stop(signal.SIGTERM)
        there.saw("disconnected", "")
        there.start_hub("--token", "SECOND")
        there.recovered()
        there.fault()
        os.kill(there.hub.process.pid, signal.SIGSTOP)
        there.saw("disconnected", "silent for 3 s")
        os.kill(there.hub.process.pid, signal.SIGCONT)
        there.recovered()
        there.fault()
        there.hub.post("rotate-token", value="THIRD")
        token.write_text("THIRD", encoding="utf-8")
        there.hub.post("abort")
        there.saw("disconnected", "does not ask us to come back")
        there.recovered(stable=False)
        there.finish()


def odd_records_and_a_silent_hub(folder: Path) -> None:
    """What is odd costs itself, never the connection; a hub that says nothing does."""
    with walk(folder, "demo", "--keepalive", "1", server_timeout_seconds=3) as there:
        there.fault()
        odd = odd_records(work("odd"))
        raw(there, *odd.values(), encode(completion("s99", None)))
        pieces = encode(invocation("TaskHub", [work("in pieces ä")]))
        raw(there, pieces[:40], pieces[40:-4], pieces[-4:], ping="between", fragments="true")
        pieces = encode(invocation("TaskHub", [work("in frames ä")]))
        raw(there, pieces[:40], pieces[40:-4], pieces[-4:], ping="between")
        raw(there, b"".join(encode(invocation("TaskHub", [work(f"fifty-{number}")])) for number in range(50)))
        there.hub.post("push", count=1, padding=2_000_000, type="summarize")
        there.hub.post("push", count=1, padding=20_000_000, type="summarize", start=1)
        there.send()
        for client in CLIENTS:
            assert not [one for one in there.since(client) if one["event"] == "disconnected"], client
        there.fault()
        there.hub.post("fault", {"silent": True})
        there.saw("disconnected", "silent for 3 s")
        there.hub.post("fault", {})
        there.recovered(stable=False)
        there.finish(tasks=54, nodes=2, rejected=10)


def raw(there: Walk, *parts: bytes, **query: str) -> None:
    there.hub.post("raw", [part.decode("latin-1") for part in parts], **query)


def refused_for_good(folder: Path) -> None:
    """What is no hub at the first attempt ends the run, with its own code."""
    with hub("demo") as server:
        for number, (fault, code, error) in enumerate(REFUSALS):
            server.post("fault", fault)
            doors = [wrong(server.url, folder / str(number), client, max_reconnect_attempts=1) for client in CLIENTS]
            for door in doors:
                check(door, code, error)


def wrong(url: str, folder: Path, client: str, **settings: object):
    return connector({"hub_url": url, "client": client, "workspace": str(folder / f"wrong {client}"), **settings})


def check(door, code: int, error: str) -> None:
    try:
        ended, printed = door.end()
    finally:
        door.kill()
    assert (ended, printed["success"], printed["error"]["code"]) == (code, False, error), printed
    assert door.named("connection_failed_permanently")
    assert json.dumps(printed["error"]["hint"])


WALKS: list[Callable[[Path], None]] = [
    frozen_for_75_seconds,
    closed_thirteen_times,
    outage_of_45_seconds,
    wrong_negotiations,
    wrong_sockets_and_a_token_that_rotates,
    ways_of_a_hub_to_go,
    outage_of_10_seconds,
    odd_records_and_a_silent_hub,
    refused_for_good,
]
"""The longest first."""


def test_every_fault_ends_in_a_connection_that_delivers_or_in_a_clear_end(tmp_path):
    with no_orphans(), ThreadPoolExecutor(len(WALKS)) as pool:
        going: dict[str, Future[None]] = {
            each.__name__: begun(pool.submit, partial(each, tmp_path / each.__name__)) for each in WALKS
        }
    errors = []
    for name, future in going.items():
        if isinstance(error := future.exception(), Exception):
            error.add_note(f"in the walk {name}")
            errors.append(error)
    if errors:
        raise ExceptionGroup("faults that were not survived", errors)
