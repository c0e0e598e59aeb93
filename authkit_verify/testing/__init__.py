"""A fake issuer for tests: mints tokens, serves its key set in process, and fails on demand.

    issuer = FakeIssuer()
    app = AuthMiddleware(my_app, verifier=issuer.verifier())
    TestClient(app).get("/", headers=issuer.bearer("ann", scope="orders:read"))

Your own verifier takes ``http_client=issuer.client``, or ``FakeIssuer.client_for(a, b)`` for several issuers.
No socket is opened, and minting needs no event loop. Pass ``clock`` to move time; only ``slow`` makes it
sleep.
"""

from __future__ import annotations

from authkit_verify.testing._client import FakeClient
from authkit_verify.testing._issuer import FakeIssuer
from authkit_verify.testing._keys import FakeKey, encode, seal

__all__ = ["FakeClient", "FakeIssuer", "FakeKey", "encode", "seal"]
