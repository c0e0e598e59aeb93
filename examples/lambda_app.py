"""AWS Lambda: the middleware around an ASGI application, which Mangum calls for each event.

The handler of the function: lambda_app.handler
"""

from __future__ import annotations

from mangum import Mangum
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authkit_verify import AcceptConfig, AuthMiddleware, IssuerAccept, Verifier, require_scope

ISSUER = "https://auth.example.com"


async def me(request: Request) -> JSONResponse:
    return JSONResponse({"user_id": request.user.identity, "roles": request.user.roles})


async def orders(request: Request) -> JSONResponse:
    return JSONResponse({"orders_of": request.user.identity})


def build(verifier: Verifier) -> Mangum:
    app = Starlette(
        routes=[
            Route("/me", me),
            Route("/orders", orders, middleware=[Middleware(require_scope("orders:read"))]),
        ]
    )
    return Mangum(AuthMiddleware(app, verifier), lifespan="off")


# Made once, and kept between the events with its keys: Lambda freezes the process, and a fetch of keys in the
# background with it. A request waits for a fetch that was cut off.
handler = build(
    Verifier(AcceptConfig(issuers=[IssuerAccept(issuer=ISSUER, audiences=["api"])])),
)
