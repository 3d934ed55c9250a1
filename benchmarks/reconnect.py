"""How soon the connector is back after its hub: `python benchmarks/reconnect.py [--outages 1,5,10] [--repeat 3]`.

The real hub is killed, stays away, and is started again on its port. For each client library: seconds from the hub's return
to the connection, beside the delay that was announced last, with the real backoff and its jitter. The bare signalrcore client
with its own automatic reconnect meets the same outages; it may never come back, and is waited for in bounds.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "src"))

from signalrcore.hub_connection_builder import HubConnectionBuilder

from tests.acceptance_kit import TASKHUB, environment, until
from tests.fault_walk import CLIENTS, walk

LIMIT = 1.0
"""Seconds after the announced delay."""
PATIENCE = 30.0
"""Seconds that the bare client gets after the hub is back; it tries each second."""
AUTOMATIC = {"type": "raw", "keep_alive_interval": 10, "reconnect_interval": 1, "max_attempts": 100}


def row(name: str, figure: str, limit: str, verdict: bool | None) -> None:
    word = {True: "ok", False: "OVER", None: "-"}[verdict]
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{name:<48} {figure:<52} {limit:<22} {word:<5} {load}", flush=True)


# ── the peer: signalrcore's own client and its own reconnection ──────────────────────────────────────────────────────
def bare_client(url: str) -> None:
    """Say when a connection opens (seconds since 1970), until killed."""

    def opened() -> None:
        print(time.time(), flush=True)

    connection = HubConnectionBuilder().with_url(url).with_automatic_reconnect(AUTOMATIC).build()
    connection.on_open(opened)
    connection.on_reconnect(opened)
    connection.start()
    threading.Event().wait()


@contextlib.contextmanager
def bare(url: str, told: Path) -> Iterator[None]:
    """Run the bare client; the times at which it was connected go to the file `told`."""
    with told.open("wb") as out:
        client = subprocess.Popen(
            [sys.executable, __file__, "--bare", url], stdout=out, stderr=subprocess.DEVNULL, env=environment()
        )
    try:
        until(lambda: times(told), "the bare client to connect")
        yield
    finally:
        client.kill()
        client.wait()


def times(told: Path) -> list[float]:
    return [float(line) for line in told.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def came_back(told: Path, back: float) -> float | None:
    """Seconds from the hub's return to the bare client's connection; None where it never came."""
    with contextlib.suppress(AssertionError):
        wait = max(0.1, back + PATIENCE - time.time())
        found = until(lambda: [one for one in times(told) if one > back], "the bare client", wait)
        return float(found[0] - back)
    return None


def measure(seconds: float, folder: Path) -> None:
    """One outage for both of ours and the peer."""
    told = folder / "bare"
    with walk(folder, "real") as there, bare(there.url, told):
        there.fault()
        there.stop_hub()
        time.sleep(seconds)
        there.start_hub()
        there.each(there.live, "connected")
        for client in CLIENTS:
            took, announced = there.took(client), there.announced(client)
            row(f"{client}, after an outage of {seconds:g} s", f"back in {took:.2f} s; the backoff was {announced:.2f} s",
                f"≤ backoff + {LIMIT:g} s", took <= announced + LIMIT)  # fmt: skip
        peer = came_back(told, there.back)
        never = f"not back after {PATIENCE:g} s"
        row("bare signalrcore, automatic reconnect each second", never if peer is None else f"back in {peer:.2f} s",
            "the peer", None)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outages", default="1,5,10", help="seconds, with commas between")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.bare:
        bare_client(options.bare)
    elif not TASKHUB.is_file():
        print(f"skipped: the real hub is not at {TASKHUB}")
    else:
        for seconds in [float(one) for one in options.outages.split(",")] * options.repeat:
            with tempfile.TemporaryDirectory() as folder:
                measure(seconds, Path(folder))


if __name__ == "__main__":
    main()
