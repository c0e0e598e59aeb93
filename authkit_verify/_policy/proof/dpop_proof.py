"""The check of a request's DPoP proof (RFC 9449 section 4.3).

Runs after every check of the token, so that a request without a genuine token costs no more because of it.
``binding`` refuses a request without the proof or the client certificate that its token is bound to, ``dpop``
has the settings and the nonces, and ``replay_cache`` the used proofs.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from authkit_verify._jose import compact
from authkit_verify._jose.algorithms import ALGORITHMS
from authkit_verify._jose.compact import Header
from authkit_verify._jose.jwk import is_private, read_jwk
from authkit_verify._jose.key_strength import UnusableKey
from authkit_verify._jose.keys import Key
from authkit_verify._jose.thumbprint import thumbprint
from authkit_verify._policy.proof.binding import Binding, Proof, ShownDPoP, check_shown
from authkit_verify._policy.proof.dpop import DPoP, Nonces
from authkit_verify._policy.proof.target_uri import target_uri
from authkit_verify.errors import TokenError

logger = logging.getLogger("authkit_verify")

MAX_PROOF = 8 * 1024
"""Characters. A longer proof is refused before any of it is read."""
MAX_JTI = 128
REPLAY_TIMEOUT = 2.0
"""Seconds to wait for the replay cache."""
_MAX_KEYS = 1024
_MAX_KEY_HEADER = 2048
_MAX_TIME = 2**53


class ProofKey(msgspec.Struct, frozen=True):
    """The key in the header of a proof, and its thumbprint."""

    header: Header
    key: Key
    jkt: str


class SingleUse(msgspec.Struct, frozen=True):
    """The name of a proof in the replay cache, and the seconds for which it must be remembered."""

    key: str
    ttl: float


class ProofChecker:
    """Checks the proofs of one verifier. ``clock`` returns Unix seconds."""

    __slots__ = ("_algorithms", "_clock", "_keys", "nonces", "settings")

    def __init__(self, settings: DPoP, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.nonces = Nonces(settings.nonce_secrets)
        self._algorithms = frozenset(settings.algorithms)
        self._clock = clock
        self._keys: dict[bytes, ProofKey] = {}

    async def check(self, token: str, binding: Binding | None, proof: Proof | None) -> None:
        """Refuse a token that the request may not use; a DPoP proof is then used up. Raises TokenError."""
        single_use = self.inspect(token, binding, proof)
        if single_use is None:
            return
        try:
            async with asyncio.timeout(REPLAY_TIMEOUT):
                first = await self.settings.replay_cache.first_use(single_use.key, single_use.ttl)
        except Exception as error:
            logger.warning("the replay cache of DPoP proofs failed: %s: %s", type(error).__name__, error)
            raise TokenError(
                "replay_check_unavailable", "the replay cache of DPoP proofs is unavailable; try again"
            ) from error
        if first is not True:
            raise _invalid("the DPoP proof was used before: make a new one for each request")

    def inspect(self, token: str, binding: Binding | None, proof: Proof | None) -> SingleUse | None:
        """Check everything but replay. Returns what to look up in the replay cache, or None."""
        shown = check_shown(binding, proof)
        return self._inspect_dpop(token, shown) if shown is not None else None

    def _inspect_dpop(self, token: str, shown: ShownDPoP) -> SingleUse:
        text = shown.text
        if not text:
            raise _invalid("the DPoP header with the proof is missing")
        if len(text) > MAX_PROOF:
            raise _invalid(f"the DPoP proof is longer than {MAX_PROOF} characters")
        try:
            parts = compact.split(text)
            known = self._keys.get(parts.header_segment)
            made_with = known or self._read_key(parts.header_segment)
            claims = compact.read_object(parts.payload)
        except TokenError as error:
            raise _invalid(error.description.replace("the token", "the DPoP proof")) from None
        if made_with.jkt != shown.jkt:
            raise _invalid("the DPoP proof is made with another key than the token is bound to")
        if not ALGORITHMS[made_with.header.alg](made_with.key.public_key, parts.signed, parts.signature):
            raise _invalid("the DPoP proof's signature is not valid")
        if known is None and len(parts.header_segment) <= _MAX_KEY_HEADER:
            if len(self._keys) >= _MAX_KEYS:
                self._keys.clear()
            self._keys[parts.header_segment] = made_with
        self._check_request(claims, token, shown.proof)
        return self._single_use(shown.jkt, claims)

    def _read_key(self, segment: bytes) -> ProofKey:
        header = compact.read_header(segment)
        if header.typ != "dpop+jwt":
            raise _invalid("the DPoP proof's typ is not dpop+jwt")
        if header.alg not in self._algorithms:
            raise _invalid("the DPoP proof's algorithm is not accepted")
        jwk = compact.read_object(compact.decode_segment(segment)).get("jwk")
        if is_private(jwk):
            raise _invalid("the DPoP proof's jwk holds a private or symmetric key")
        try:
            key = read_jwk(jwk)
        except UnusableKey as error:
            raise _invalid(f"the DPoP proof's jwk cannot be used: {error}") from None
        if header.alg not in key.algorithms:
            raise _invalid("the DPoP proof's algorithm does not fit its jwk")
        return ProofKey(header, key, thumbprint(key.public_key))

    def _check_request(self, claims: Mapping[str, Any], token: str, proof: Proof) -> None:
        if claims.get("htm") != proof.method or not proof.method:
            raise _invalid("the DPoP proof's htm is not the method of the request")
        htu, url = claims.get("htu"), target_uri(proof.url)
        named = target_uri(htu) if type(htu) is str else None
        if named is None or url is None or named.path != url.path:
            raise _invalid("the DPoP proof's htu is not the URL of the request")
        if named.origin not in (self.settings.public_origins or {url.origin}):
            raise _invalid(
                "the DPoP proof's htu has another scheme or host than this service (DPoP.public_origins)"
            )
        if claims.get("ath") != _digest(token):
            raise _invalid("the DPoP proof's ath is not the hash of the token")

    def _single_use(self, jkt: str, claims: Mapping[str, Any]) -> SingleUse:
        """Check ``jti`` and the time, and return the name under which the proof is used up."""
        jti, iat, nonce, now = claims.get("jti"), claims.get("iat"), claims.get("nonce"), self._clock()
        if type(jti) is not str or not 1 <= len(jti) <= MAX_JTI:
            raise _invalid(f"the DPoP proof's jti is not a string of 1 to {MAX_JTI} characters")
        if isinstance(iat, bool) or not isinstance(iat, int | float) or not -_MAX_TIME <= iat <= _MAX_TIME:
            raise _invalid("the DPoP proof's iat is not a time")
        made: float | None = float(iat)
        if self.settings.require_nonce:
            made = self.nonces.made_at(nonce) if isinstance(nonce, str) else None
        age = None if made is None else now - made
        if age is None or not -self.settings.skew <= age <= self.settings.max_age:
            raise self._untimely(now)
        # Until the proof is too old everywhere, also where the clock is behind.
        ttl = self.settings.max_age - age + self.settings.skew
        return SingleUse(_digest(f"{jkt}.{jti}"), ttl)

    def _untimely(self, now: float) -> TokenError:
        if not self.settings.require_nonce:
            return _invalid(
                f"the DPoP proof's iat is more than {self.settings.max_age:g} s ago or "
                f"{self.settings.skew:g} s in the future: check the client's clock"
            )
        return TokenError(
            "use_dpop_nonce",
            "the DPoP proof needs the nonce of the DPoP-Nonce header",
            dpop_nonce=self.nonces.make(now),
        )


def _invalid(description: str) -> TokenError:
    return TokenError("invalid_dpop_proof", description)


def _digest(text: str) -> str:
    """Return the unpadded base64url SHA-256 of a text."""
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
