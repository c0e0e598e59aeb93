"""The demo's protected application, which accepts the issuer's tokens."""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn

from authkit_verify import AcceptConfig, AuthMiddleware, IssuerAccept, Verifier


async def hello(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - the shape of ASGI
    """Greet the user of the token."""
    claims = scope["state"]["authkit"]
    body = json.dumps({"hello": claims.username, "user_id": claims.user_id}).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
    )
    await send({"type": "http.response.body", "body": body})


def protect(issuer: str, audience: str) -> AuthMiddleware:
    """Wrap the application; issuer and audience are all it needs."""
    accepted = IssuerAccept(issuer=issuer, audiences=[audience], allow_http_loopback=True)
    return AuthMiddleware(hello, verifier=Verifier(AcceptConfig(issuers=[accepted])))


if __name__ == "__main__":
    uvicorn.run(protect(sys.argv[1], sys.argv[2]), port=int(sys.argv[3]), log_level="warning", lifespan="off")
