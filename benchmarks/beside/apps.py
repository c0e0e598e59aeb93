"""The measured applications: each returns the caller's id, with or without authentication."""

# No "from __future__ import annotations": FastAPI could not read annotations that name local dependencies.

import base64
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Annotated, Any

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse as FastAPIText
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from authkit_verify import AcceptConfig, AuthMiddleware, Principal, Verifier
from authkit_verify.fastapi import Bearer
from authkit_verify.testing import FakeIssuer, FakeKey
from beside import decoders, pyjwts
from beside.tokens import ISSUER

App = Any
BARE, OURS = "bare ASGI", "bare ASGI + authkit"
NEW = "bare ASGI + authkit, every token new"
STARLETTE, STARLETTE_OURS = "Starlette", "Starlette + authkit"
FASTAPI, FASTAPI_OURS = "FastAPI", "FastAPI + authkit dependency"
FASTAPI_WRAPPED = "FastAPI + authkit middleware"


def issuer_of(secret: str | None = None) -> FakeIssuer:
    """Return the issuer; the same one in every process that was given its secret."""
    made = FakeIssuer(ISSUER, algorithm="RS256")
    if secret is not None:
        private: Any = load_der_private_key(base64.b64decode(secret), None)
        made.keys = [FakeKey(made.key.kid, "RS256", private)]
    return made


def secret_of(issuer: FakeIssuer) -> str:
    der = issuer.key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(der).decode()


def verifier(issuer: FakeIssuer, *, cache: int = 10_000) -> Verifier:
    return Verifier(AcceptConfig(issuers=[issuer.accept()]), http_client=issuer.client, cache_entries=cache)


async def bare(scope: Any, _receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    claims = scope.get("state", {}).get("authkit")
    body = claims.user_id.encode() if claims is not None else b"-" * 36
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def starlette(*middleware: Middleware) -> App:
    async def who(request: Any) -> PlainTextResponse:
        user = request.scope.get("user")
        return PlainTextResponse(user.display_name if user is not None else "-" * 36)

    return Starlette(routes=[Route("/", who)], middleware=middleware)


class PyJWTBackend(AuthenticationBackend):
    def __init__(self, decode: decoders.Decode) -> None:
        self._decode: Callable[[str], Any] = decode

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
        scheme, _, token = conn.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationError("no token")
        try:
            claims = self._decode(token)
        except Exception as error:
            raise AuthenticationError("a bad token") from error
        return AuthCredentials(["authenticated"]), SimpleUser(claims["sub"])


def fastapi_bare() -> App:
    app = FastAPI()

    @app.get("/", response_class=FastAPIText)
    async def who() -> str:
        return "-" * 36

    return app


def fastapi_pyjwt(decode: decoders.Decode) -> App:
    app, scheme = FastAPI(), HTTPBearer()

    async def caller(found: Annotated[HTTPAuthorizationCredentials, Depends(scheme)]) -> Any:
        try:
            return decode(found.credentials)
        except Exception as error:
            raise HTTPException(401) from error

    @app.get("/", response_class=FastAPIText)
    async def who(claims: Annotated[Any, Depends(caller)]) -> str:
        return str(claims["sub"])

    return app


def fastapi_ours(judge: Verifier) -> App:
    app, bearer = FastAPI(), Bearer(judge)

    @app.get("/", response_class=FastAPIText)
    async def who(caller: Annotated[Principal, Depends(bearer)]) -> str:
        return caller.claims.user_id

    return app


def fastapi_wrapped(judge: Verifier) -> App:
    app = FastAPI()

    @app.get("/", response_class=FastAPIText)
    async def who(request: Request) -> str:
        return str(request.scope["state"]["authkit"].user_id)

    app.add_middleware(AuthMiddleware, verifier=judge)
    return app


def made_with(module: ModuleType, name: str, issuer: FakeIssuer) -> dict[str, Callable[[], App]]:
    decode = decoders.pyjwt(module, issuer)
    backend = Middleware(AuthenticationMiddleware, backend=PyJWTBackend(decode))
    return {
        f"Starlette + its middleware, {name}": lambda: starlette(backend),
        f"FastAPI + {name} dependency": lambda: fastapi_pyjwt(decode),
    }


def applications(issuer: FakeIssuer, *, install: bool = True) -> dict[str, Callable[[], App]]:
    """Return the factory of each application, by name."""
    found: dict[str, Callable[[], App]] = {
        BARE: lambda: bare,
        OURS: lambda: AuthMiddleware(bare, verifier(issuer)),
        NEW: lambda: AuthMiddleware(bare, verifier(issuer, cache=0)),
        STARLETTE: starlette,
        STARLETTE_OURS: lambda: starlette(Middleware(AuthMiddleware, verifier=verifier(issuer))),
        FASTAPI: fastapi_bare,
        FASTAPI_OURS: lambda: fastapi_ours(verifier(issuer)),
        FASTAPI_WRAPPED: lambda: fastapi_wrapped(verifier(issuer)),
    }
    for name, module in pyjwts.versions(install=install).items():
        found |= made_with(module, name, issuer)
    return found


if __name__ == "__main__":
    import socket

    import uvicorn

    from beside.load import keep_apart

    keep_apart(serving=True)
    name, descriptor = sys.argv[1:]
    app = applications(issuer_of(sys.stdin.readline()), install=False)[name]()
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", lifespan="off", log_level="error", access_log=False
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])
