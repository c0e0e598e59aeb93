"""A fake client with a DPoP key (RFC 9449)."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from authkit_verify._jose.thumbprint import thumbprint
from authkit_verify.testing._keys import FakeKey, compact, encode, seal


class FakeClient:
    """A client with a DPoP key: makes proofs for the tokens that are bound to it.

        client = FakeClient()
        token = issuer.mint("ann", cnf=client.cnf)
        TestClient(app).get("/orders", headers=client.headers(token, "GET", "http://testserver/orders"))

    Args:
        algorithm: The signature algorithm of its key. Default ``ES256``.
        clock: Returns Unix seconds. Default ``time.time``.
    """

    def __init__(self, *, algorithm: str = "ES256", clock: Callable[[], float] = time.time) -> None:
        self.key = FakeKey.generate("proof", algorithm)
        """The key that its proofs are made with."""
        self.clock = clock
        self.cnf = {"jkt": thumbprint(self.key.private_key.public_key())}
        """The ``cnf`` claim of tokens that are bound to it."""

    def proof(
        self,
        token: str,
        method: str,
        url: str,
        *,
        header: Mapping[str, Any] | None = None,
        without: Iterable[str] = (),
        **claims: Any,
    ) -> str:
        """Return a new proof for one request with this token.

        Args:
            token: The token that the request has.
            method: The method of the request.
            url: Its URL.
            header: Header members that replace the usual ones; None leaves a member out.
            without: Claims to leave out.
            claims: Claims that replace the usual ones, such as ``nonce``.
        """
        published = self.key.jwk()
        jwk = {name: published[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in published}
        members = {"typ": "dpop+jwt", "alg": self.key.alg, "jwk": jwk} | dict(header or {})
        payload = {
            "jti": secrets.token_urlsafe(16), "htm": method, "htu": url, "iat": int(self.clock()),
            "ath": encode(hashlib.sha256(token.encode()).digest()),
        } | claims  # fmt: skip
        for name in without:
            payload.pop(name, None)
        head = {name: value for name, value in members.items() if value is not None}
        return seal(self.key, compact(head), compact(payload))

    def headers(self, token: str, method: str, url: str, **terms: Any) -> dict[str, str]:
        """Return the two headers of a request with this token; ``terms`` are arguments of ``proof``."""
        return {"Authorization": f"DPoP {token}", "DPoP": self.proof(token, method, url, **terms)}
