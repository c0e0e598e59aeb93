"""Accept tokens of an issuer in any ASGI application.

Run it: uvicorn examples.verify_only:app --port 9000
"""

from __future__ import annotations

import json
from typing import Any

from authkit_verify import AcceptConfig, AuthMiddleware, IssuerAccept, Verifier

ISSUER = "http://127.0.0.1:8000"


async def whoami(scope: Any, receive: Any, send: Any) -> None:
    """Answer what the token says; no request comes this far without a good one."""
    claims = scope["state"]["authkit"]
    body = json.dumps({"user_id": claims.user_id, "roles": list(claims.roles)}).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


verifier = Verifier(
    AcceptConfig(
        issuers=[IssuerAccept(issuer=ISSUER, audiences=["authkit"], allow_http_loopback=True)],
    )
)
app = AuthMiddleware(whoami, verifier=verifier, exclude=("/healthz",))
