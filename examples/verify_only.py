"""Accept tokens of an issuer in any ASGI application, without a framework.

Run it: uvicorn examples.verify_only:app --port 9000
"""

from __future__ import annotations

import json
from typing import Any

from authkit_verify import AcceptConfig, AuthMiddleware, IssuerAccept, Verifier, require_login, require_scope

ISSUER = "http://127.0.0.1:8000"


async def answer(send: Any, value: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


@require_login()
async def me(scope: Any, receive: Any, send: Any) -> None:
    """Return the user of the token; the guard refuses the CORS preflights that the middleware lets pass."""
    claims = scope["state"]["authkit"]
    await answer(send, {"user_id": claims.user_id, "roles": list(claims.roles)})


@require_scope("orders:read")
async def orders(scope: Any, receive: Any, send: Any) -> None:
    """A guard wraps any ASGI application, here one function."""
    await answer(send, {"orders_of": scope["user"].identity})


async def route(scope: Any, receive: Any, send: Any) -> None:
    """Route as the application would."""
    await (orders if scope["path"] == "/orders" else me)(scope, receive, send)


def build(verifier: Verifier) -> AuthMiddleware:
    return AuthMiddleware(route, verifier=verifier)


app = build(
    Verifier(
        AcceptConfig(
            issuers=[IssuerAccept(issuer=ISSUER, audiences=["authkit"], allow_http_loopback=True)],
        )
    )
)
