"""The time a connection may stay open: until its token expires, unless the client renews it.

``connection_lifetime`` closes the connection.
"""

from __future__ import annotations

import asyncio

from authkit_verify._asgi.enrichment import Enricher
from authkit_verify._policy.proof.binding import Proof
from authkit_verify._policy.verified_claims import Claims
from authkit_verify._verify.verifier import Verifier
from authkit_verify.errors import TokenError


class Lease:
    """The time a connection may stay open. ``renew`` extends it without a reconnect.

    ``enricher`` is asked about the user again before a renewal; None asks no records.
    """

    __slots__ = ("_changed", "_claims", "_verifier", "enricher")

    def __init__(self, verifier: Verifier, claims: Claims, enricher: Enricher | None = None) -> None:
        self.enricher = enricher
        self._verifier = verifier
        self._claims = claims
        self._changed: asyncio.Event | None = None  # made by the first waiter: most requests have none

    @property
    def remaining(self) -> float:
        """Seconds until the connection ends."""
        return self._verifier.remaining(self._claims)

    async def renew(self, token: str, *, proof: Proof | None = None) -> Claims:
        """Extend the lease with a new token of the same issuer and user, and return its claims.

        The host's records are asked about the user again. The guards are not: they ran when the connection
        began, so check the returned claims for what a guard would ask.

        Args:
            token: The new token.
            proof: What shows that a sender-constrained token may be used: ``request_proof`` of the scope of
                the connection, with the DPoP proof that the client sent along. Default None.

        Raises:
            TokenError: The token is not valid, or is about another user. The old end of the lease stays.
            AccessDenied: The host's records cannot be read. The old end of the lease stays.

        """
        claims = await self._verifier.verify(token, proof=proof)
        if (claims.issuer, claims.user_id) != (self._claims.issuer, self._claims.user_id):
            raise TokenError("invalid_token", "the token is about another user")
        if self.enricher is not None:
            await self.enricher.of(claims)
        self._claims = claims
        if self._changed is not None:
            self._changed.set()
        return claims

    async def ended(self) -> None:
        """Return when the lease has ended, however often it was extended."""
        changed = self._changed = asyncio.Event()
        while (left := self.remaining) > 0:
            changed.clear()
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                continue  # the clock that counts is the verifier's: look again
