"""Calls of other systems, measured."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.telemetry.measurements import OUTGOING

_DONE = "done"


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
    attributes: dict[str, str | int] = {"http.request.method": method, "server.address": _host(url)}
    with _timed(telemetry, to, f"{method} {to}", attributes, outcome):
        yield outcome


@contextmanager
def asking(telemetry: Telemetry | None, to: str, method: str) -> Generator[None]:
    """Measure the block, which calls a method of a port, such as a sender; it has failed if it raises."""
    if telemetry is None:
        yield
        return
    with _timed(telemetry, to, f"{to} {method}", {}, None):
        yield


@contextmanager
def _timed(
    telemetry: Telemetry, to: str, name: str, attributes: dict[str, str | int], outcome: Outcome | None
) -> Generator[None]:
    began, result = time.perf_counter(), "failed"
    with telemetry.span(name, "client", attributes) as span:
        try:
            yield
            if outcome is None:
                result = _DONE
            elif outcome.status is not None:
                result = f"{outcome.status // 100}xx"
        except BaseException as error:
            result = type(error).__name__
            raise
        finally:
            if outcome is not None and outcome.status is not None:
                span.set("http.response.status_code", outcome.status)
            telemetry.observe(OUTGOING.name, time.perf_counter() - began, to=to, outcome=result)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
