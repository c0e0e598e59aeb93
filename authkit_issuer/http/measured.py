"""Requests with a ``Telemetry``: each is counted, timed, and the span that all others of it are parts of."""

from __future__ import annotations

import time
from collections.abc import Awaitable

from starlette.types import Scope

from authkit_issuer.http.raw_response import RawResponse
from authkit_issuer.http.request_body import ClientGone
from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.telemetry.measurements import REQUESTS

LOG_FACTS = "authkit.log_facts"
"""The key of the scope under which a server leaves what its log says of the request."""


async def measured(
    telemetry: Telemetry, scope: Scope, route: str, answering: Awaitable[RawResponse], *, has_parent: bool
) -> RawResponse:
    """Return the answer of an operation at ``route``.

    With ``has_parent`` the request goes on with the trace of its headers: a client that is not trusted could
    make every trace a recorded one.
    """
    began, status, method = time.perf_counter(), "500", scope["method"]
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": route,
        "url.scheme": scope.get("scheme", "http"),
    }
    parent = tuple(scope["headers"]) if has_parent else ()
    with telemetry.span(f"{method} {route}", "server", attributes, parent=parent) as span:
        if span.trace_id and LOG_FACTS in scope:
            scope[LOG_FACTS]["trace_id"] = span.trace_id
        try:
            answer = await answering
            status = str(answer.status)
        except ClientGone:
            status = "none"
            raise
        else:
            return answer
        finally:
            if status != "none":
                span.set("http.response.status_code", int(status))
            spent = time.perf_counter() - began
            telemetry.observe(REQUESTS.name, spent, method=method, route=route, status=status)
