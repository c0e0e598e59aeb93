"""Calls of other systems over HTTP, measured."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.telemetry.measurements import OUTGOING


@dataclass(slots=True)
class Outcome:
    """What became of a call: the status of the answer, once there is one."""

    status: int | None = None


@contextmanager
def calling(telemetry: Telemetry | None, to: str, method: str, url: str) -> Generator[Outcome]:
    """Measure the block, which calls ``url``; it leaves the status in what it gets.

    The span has the host alone: a path or a query may hold what is secret.
    """
    outcome = Outcome()
    if telemetry is None:
        yield outcome
        return
    began, result = time.perf_counter(), "failed"
    attributes: dict[str, str | int] = {"http.request.method": method, "server.address": _host(url)}
    with telemetry.span(f"{method} {to}", "client", attributes) as span:
        try:
            yield outcome
            result = f"{outcome.status // 100}xx" if outcome.status is not None else "failed"
        except BaseException as error:
            result = type(error).__name__
            raise
        finally:
            if outcome.status is not None:
                span.set("http.response.status_code", outcome.status)
            telemetry.observe(OUTGOING.name, time.perf_counter() - began, to=to, outcome=result)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
