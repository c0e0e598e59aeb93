"""Verifies this service's own tokens with the published keys, through the verifier package.

The verifier is rebuilt when the key set is another one: a key that left the set stops verifying at once.
"""

from __future__ import annotations

from authkit_issuer.config import Config
from authkit_issuer.keys import KeySet, KeySource, algorithm
from authkit_issuer.ports import Clock
from authkit_verify import AcceptConfig, Claims, IssuerAccept, Verifier

ENROLLMENT = "enrollment+jwt"
"""The type of tokens that add a second factor. Their audience is the issuer, and no resource server."""


class OwnTokens:
    """Accepts exactly what this service mints: its issuer, its audiences, the type, its keys."""

    def __init__(self, config: Config, keys: KeySource, clock: Clock) -> None:
        """Keep the parts; the verifier is built at the first token."""
        self._config = config
        self._keys = keys
        self._clock = clock
        self._built: dict[str, tuple[KeySet, Verifier]] = {}

    async def verify(self, token: str) -> Claims:
        """Return the claims of a genuine, unexpired access token, or raise ``TokenError``."""
        return await self._verifier("at+jwt", self._config.expected_audiences).verify(token)

    async def verify_enrollment(self, token: str) -> Claims:
        """Return the claims of a genuine, unexpired enrollment token, or raise ``TokenError``."""
        return await self._verifier(ENROLLMENT, (enrollment_audience(self._config),)).verify(token)

    def _verifier(self, token_type: str, audiences: tuple[str, ...]) -> Verifier:
        keys, built = self._keys.current(), self._built.get(token_type)
        if built is None or built[0] is not keys:
            built = self._built[token_type] = (keys, self._build(keys, token_type, audiences))
        return built[1]

    def _build(self, keys: KeySet, token_type: str, audiences: tuple[str, ...]) -> Verifier:
        algorithms = tuple(dict.fromkeys(algorithm(key) for key in keys.public.values()))
        accepted = IssuerAccept(
            issuer=self._config.issuer,
            audiences=audiences,
            pinned_pems=keys.pinned,
            pinned_only=True,
            algorithms=algorithms,
            token_types=(token_type,),
        )
        return Verifier(AcceptConfig(issuers=[accepted], algorithms=algorithms, skew=1.0), clock=self._clock)


def enrollment_audience(config: Config) -> str:
    """The issuer itself; where access tokens are for that audience as well, one of its own."""
    taken = {*config.issued_audiences, *config.expected_audiences}
    return f"{config.issuer}#enrollment" if config.issuer in taken else config.issuer
