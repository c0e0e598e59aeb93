"""Starlette: the middleware around the application, guards around routes, and ``@requires``.

Run it: uvicorn examples.starlette_app:app --port 9000
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authkit_verify import AcceptConfig, AuthMiddleware, IssuerAccept, Verifier, require_role

ISSUER = "http://127.0.0.1:8000"


async def me(request: Request) -> JSONResponse:
    return JSONResponse({"user_id": request.user.identity, "roles": list(request.user.roles)})


@requires("orders:read")
async def orders(request: Request) -> JSONResponse:
    return JSONResponse({"orders_of": request.user.identity})


async def reports(request: Request) -> JSONResponse:
    return JSONResponse({"reports": []})


def build(verifier: Verifier) -> Starlette:
    staff = Middleware(require_role("staff"))
    return Starlette(
        routes=[
            Route("/me", me),
            Route("/orders", orders),
            Route("/reports", reports, middleware=[staff]),
        ],
        middleware=[Middleware(AuthMiddleware, verifier=verifier)],
    )


app = build(
    Verifier(
        AcceptConfig(
            issuers=[IssuerAccept(issuer=ISSUER, audiences=["authkit"], allow_http_loopback=True)],
        )
    )
)
