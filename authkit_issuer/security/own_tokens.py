"""Verifies this service's own access tokens with the published keys, through the verifier package.

The verifier is rebuilt when the key set is another one: a key that left the set stops verifying at once.
"""

from __future__ import annotations

from authkit_issuer.config import Config
from authkit_issuer.keys import KeySet, KeySource, algorithm
from authkit_issuer.ports import Clock
from authkit_verify import AcceptConfig, Claims, IssuerAccept, Verifier


class OwnTokens:
    """Accepts exactly what this service mints: its issuer, its audiences, ``at+jwt``, its keys."""

    def __init__(self, config: Config, keys: KeySource, clock: Clock) -> None:
        """Keep the parts; the verifier is built at the first token."""
        self._config = config
        self._keys = keys
        self._clock = clock
        self._built: tuple[KeySet, Verifier] | None = None

    async def verify(self, token: str) -> Claims:
        """Return the claims of a genuine, unexpired access token, or raise ``TokenError``."""
        keys = self._keys.current()
        if self._built is None or self._built[0] is not keys:
            self._built = (keys, self._build(keys))
        return await self._built[1].verify(token)

    def _build(self, keys: KeySet) -> Verifier:
        algorithms = tuple(dict.fromkeys(algorithm(key) for key in keys.public.values()))
        accepted = IssuerAccept(
            issuer=self._config.issuer,
            audiences=self._config.expected_audiences,
            pinned_pems=keys.pinned,
            pinned_only=True,
            algorithms=algorithms,
            token_types=("at+jwt",),
        )
        return Verifier(AcceptConfig(issuers=[accepted], algorithms=algorithms, skew=1.0), clock=self._clock)
