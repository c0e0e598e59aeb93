"""How a server process listens, keeps connections, and stops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from authkit_issuer.errors import StartupError

KEEP_ALIVE = 75.0
"""Longer than the 60 s of most load balancers: they could use a connection that this side has just closed."""
GRACEFUL = 5.0
MAX_WORKERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The options of ``authkit serve``. Durations are seconds.

    Raises:
        StartupError: Two options contradict each other, or a number is out of its range.
    """

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 8000
    """The port to listen on; 0 picks a free one."""
    uds: Path | None = None
    """A unix socket to listen on, in place of a port. The permissions of its folder say who may connect."""
    fd: int | None = None
    """A listening socket that the parent process has opened, as systemd does, in place of a port."""
    workers: int = 1
    """How many processes answer requests; a parent replaces those that end, and hands signals on."""
    metrics_port: int | None = None
    """A port for operators with ``/metrics`` and a ``/readyz`` with details; None measures nothing."""
    metrics_host: str = "127.0.0.1"
    """The address of that port."""
    traces: bool = False
    """Whether spans are sent by OTLP, as the ``OTEL_*`` variables say."""
    keep_alive: float = KEEP_ALIVE
    """How long an idle connection stays open. Longer than the load balancer keeps it."""
    drain_delay: float = 0.0
    """How long the process serves on after the first signal, while ``/readyz`` responds with 503."""
    graceful: float = GRACEFUL
    """How long running requests may take after that."""

    def __post_init__(self) -> None:
        """Check that the options fit together."""
        if self.uds is not None and self.fd is not None:
            raise StartupError("--uds and --fd are two places to listen: give one of them.")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise StartupError(f"--workers is {self.workers}: give a number from 1 to {MAX_WORKERS}.")
        for name in ("keep_alive", "drain_delay", "graceful"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise StartupError(f"--{name.replace('_', '-')} is {value}: give seconds, 0 or more.")

    @property
    def has_port(self) -> bool:
        """True if the server listens on a port."""
        return self.uds is None and self.fd is None
