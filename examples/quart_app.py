"""Quart: the middleware around the application, guards inside a handler.

Run it: uvicorn examples.quart_app:app --port 9000
"""

from __future__ import annotations

from typing import Any

from quart import Quart, Response, request

from authkit_verify import (
    AcceptConfig,
    AccessDenied,
    AuthMiddleware,
    IssuerAccept,
    Verifier,
    refusal_for,
    require_role,
    require_scope,
)

ISSUER = "http://127.0.0.1:8000"


async def me() -> dict[str, Any]:
    claims = request.scope["state"]["authkit"]
    return {"user_id": claims.user_id, "roles": claims.roles}


async def orders() -> dict[str, str]:
    caller = await require_scope("orders:read").check(request.scope)
    return {"orders_of": caller.identity}


async def reports() -> dict[str, list[str]]:
    await require_role("staff").check(request.scope)
    return {"reports": []}


async def refused(error: AccessDenied) -> Response:
    """Return the refusal of a guard, as the middleware would."""
    refusal = refusal_for(request.scope, error)
    headers = {name.decode(): value.decode() for name, value in refusal.headers}
    return Response(refusal.body, refusal.status, headers)


def build(verifier: Verifier) -> Quart:
    app = Quart(__name__)
    for view in (me, orders, reports):
        app.add_url_rule(f"/{view.__name__}", view_func=view)
    app.register_error_handler(AccessDenied, refused)
    app.asgi_app = AuthMiddleware(app.asgi_app, verifier=verifier)  # type: ignore[assignment,arg-type,method-assign]
    return app


app = build(
    Verifier(
        AcceptConfig(
            issuers=[IssuerAccept(issuer=ISSUER, audiences=["authkit"], allow_http_loopback=True)],
        )
    )
)
