"""FastAPI: the caller is a dependency, and /docs shows the scopes that a route requires.

Run it: uvicorn examples.fastapi_app:app --port 9000
"""

from typing import Annotated

from fastapi import FastAPI, Security

from authkit_verify import AcceptConfig, IssuerAccept, Principal, Verifier, require_role
from authkit_verify.fastapi import Bearer

ISSUER = "http://127.0.0.1:8000"


def build(verifier: Verifier) -> FastAPI:
    app = FastAPI()
    bearer = Bearer(verifier)

    @app.get("/me")
    async def me(caller: Annotated[Principal, Security(bearer)]) -> dict[str, object]:
        return {"user_id": caller.identity, "roles": caller.roles}

    @app.get("/orders")
    async def orders(
        caller: Annotated[Principal, Security(bearer, scopes=["orders:read"])],
    ) -> dict[str, str]:
        return {"orders_of": caller.identity}

    @app.get("/reports", dependencies=[Security(bearer.where(require_role("staff")))])
    async def reports() -> dict[str, list[str]]:
        return {"reports": []}

    return app


app = build(
    Verifier(
        AcceptConfig(
            issuers=[IssuerAccept(issuer=ISSUER, audiences=["authkit"], allow_http_loopback=True)],
        )
    )
)
