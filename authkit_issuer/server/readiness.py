"""``/readyz`` of the operators' port: which parts answer, and what the process runs on."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict

from authkit_issuer.errors.causes import cause
from authkit_issuer.server.stopping import Draining
from authkit_issuer.service import Service


class Readiness:
    """Examines one process."""

    def __init__(self, service: Service, draining: Draining) -> None:
        """Take the service, and what knows that the process is about to stop."""
        self._service = service
        self._draining = draining

    async def examine(self) -> tuple[int, bytes]:
        """Return the status, the same as on the port of clients, and the details as JSON."""
        parts, details = await asyncio.gather(self._service.readiness(), self._service.details())
        problems = {part: cause(problem) for part, problem in parts.items() if problem is not None}
        ready = not problems and not self._draining.begun
        state = {
            "status": "ok" if ready else "not_ready",
            "draining": self._draining.begun,
            "problems": problems,
            "process": os.getpid(),
            **asdict(details),
        }
        return 200 if ready else 503, json.dumps(state, indent=2).encode() + b"\n"
