"""Ports for servers that come late, go away, or are never there."""

import os
import random
import socket
from itertools import cycle, islice

_RANGE = range(20_000, 32_000)
"""Below what systems give to those who ask for any port (Linux from 32768, others from 49152): free stays free."""
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_OURS = _RANGE[_WORKER :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
_ROUND = islice(cycle(_OURS), random.randrange(len(_OURS)), None)


def free_port() -> int:
    """A port of this machine that nobody has, and that nobody else in this test run is given."""
    for port in islice(_ROUND, len(_OURS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port in {_RANGE}")
