"""Ports of this machine for servers that have to know theirs before they start.

A port that was free a moment ago may be taken when its server comes: by another worker that asked at the same
moment, by an outgoing connection, or by a server of the same test that came back late. So each worker has
ports of its own, gives none twice until it has given all, and takes them from below those that systems give
to outgoing connections. A server of the test's own process needs none of this: it binds port 0.
"""

from __future__ import annotations

import itertools
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

BUS = 10_000
"""How far the bus of a Redis Cluster is above its port."""
_PORTS = range(20_000, 22_768)
"""Their buses are below 32 768, the first port of outgoing connections on Linux."""


def free_port() -> int:
    """Return a loopback port without a listener, nor one ``BUS`` above it, that no other caller gets."""
    for port in _own():
        with socket.socket() as probe, socket.socket() as bus, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + BUS))
            return port
    raise AssertionError("unreachable: the ports have no end")


@cache
def _own() -> Iterator[int]:
    """The ports of this worker, from anywhere among them on: other runs may be under way."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = _PORTS[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    start = secrets.randbelow(len(mine))
    return itertools.cycle([*mine[start:], *mine[:start]])
