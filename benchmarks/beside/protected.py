"""A FastAPI application that the verifier protects, as a resource server beside the issuer.

python -m beside.protected PORT ISSUER AUDIENCE JWKS_URL
"""

# No "from __future__ import annotations": FastAPI could not read annotations that name local dependencies.

import sys
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI

from authkit_verify import AcceptConfig, IssuerAccept, Principal, Verifier
from authkit_verify.fastapi import Bearer


def application(issuer: str, audience: str, jwks_url: str) -> FastAPI:
    accept = IssuerAccept(issuer=issuer, audiences=(audience,), jwks_url=jwks_url, allow_http_loopback=True)
    app, bearer = FastAPI(), Bearer(Verifier(AcceptConfig(issuers=[accept])))

    @app.get("/hello")
    async def hello() -> dict[str, str]:
        return {"ok": "yes"}

    @app.get("/protected")
    async def who(caller: Annotated[Principal, Depends(bearer)]) -> dict[str, str]:
        return {"id": caller.claims.user_id}

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(*sys.argv[2:]), port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="error"
    )
