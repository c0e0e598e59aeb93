"""An application of somebody else's that accepts an issuer's tokens; run as a program of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from authkit_verify import (
    AcceptConfig,
    AuthMiddleware,
    IssuerAccept,
    Verifier,
    require_org_role,
    require_role,
)

DEADLINE = 60.0


async def who(scope: Any, receive: Any, send: Any) -> None:
    claims = scope["state"]["authkit"]
    said = {"user": claims.user_id, "org": claims.org, "org_roles": claims.org_roles, "roles": claims.roles}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(said, default=list).encode()})


GUARDED = {"/owners": require_org_role("owner", org="acme")(who), "/admins": require_role("admin")(who)}


async def routed(scope: Any, receive: Any, send: Any) -> None:
    await GUARDED.get(scope["path"], who)(scope, receive, send)


def main(issuer: str, jwks_url: str, audience: str, port: str) -> None:
    accepted = IssuerAccept(issuer=issuer, jwks_url=jwks_url, audiences=[audience], allow_http_loopback=True)
    app = AuthMiddleware(
        routed, verifier=Verifier(AcceptConfig(issuers=[accepted], algorithms=["RS256", "ES256"]))
    )
    uvicorn.run(app, port=int(port), log_level="warning", lifespan="off")


class Application:
    """The running application."""

    def __init__(self, url: str, client: httpx.Client) -> None:
        self._url, self._client = url, client

    def ask(self, path: str, token: str) -> tuple[int, Any]:
        """Return the status and the body."""
        answer = self._client.get(self._url + path, headers={"authorization": f"Bearer {token}"})
        return answer.status_code, answer.json()


@contextmanager
def protected(issuer: str, jwks_url: str, audience: str, port: int) -> Iterator[Application]:
    """Run the application while the block runs."""
    arguments = [sys.executable, __file__, issuer, jwks_url, audience, str(port)]
    deadline = time.monotonic() + DEADLINE
    with subprocess.Popen(arguments) as process, httpx.Client(timeout=60, trust_env=False) as client:
        try:
            while True:
                try:
                    client.get(f"http://127.0.0.1:{port}/")
                    break
                except httpx.ConnectError:
                    assert process.poll() is None, "the application did not start"
                    assert time.monotonic() < deadline, "the application does not answer"
                    time.sleep(0.05)
            yield Application(f"http://127.0.0.1:{port}", client)
        finally:
            process.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
