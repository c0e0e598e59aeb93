"""The time between the signal to stop and the end: the process serves on, and asks for no more requests.

``stopping`` takes the steps, ``options`` has how long each lasts.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

_BODY = b'{"error":"not_ready","error_description":"This process is about to stop."}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"content-length", b"%d" % len(_BODY)),
]


class Draining:
    """Answers ``/readyz`` with 503 once ``begun``, so that load balancers send requests elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app
        self.begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self.begun and scope["type"] == "http" and scope["path"] == "/readyz":
            await send({"type": "http.response.start", "status": 503, "headers": list(_HEADERS)})
            body = b"" if scope["method"] == "HEAD" else _BODY
            await send({"type": "http.response.body", "body": body})
            return
        await self.app(scope, receive, send)
