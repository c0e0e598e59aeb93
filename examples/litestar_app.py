"""Litestar: the middleware around the application, guards as the middleware of a handler.

Run it: uvicorn examples.litestar_app:app --port 9000
"""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Request, get
from litestar.middleware import DefineMiddleware

from authkit_verify import AcceptConfig, AuthMiddleware, IssuerAccept, Verifier, require_role, require_scope

ISSUER = "http://127.0.0.1:8000"


@get("/me")
async def me(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"user_id": request.user.identity, "roles": request.user.roles}


@get("/orders", middleware=[require_scope("orders:read")])
async def orders(request: Request[Any, Any, Any]) -> dict[str, str]:
    return {"orders_of": request.user.identity}


@get("/reports", middleware=[require_role("staff")])
async def reports() -> dict[str, list[str]]:
    return {"reports": []}


def build(verifier: Verifier) -> Litestar:
    protection = DefineMiddleware(AuthMiddleware, verifier=verifier)  # type: ignore[arg-type]  # Litestar names the events one by one
    return Litestar([me, orders, reports], middleware=[protection], openapi_config=None)


app = build(
    Verifier(
        AcceptConfig(
            issuers=[IssuerAccept(issuer=ISSUER, audiences=["authkit"], allow_http_loopback=True)],
        )
    )
)
