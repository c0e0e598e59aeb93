"""A verifier for a host that contains the service: it takes the keys from memory, not from the network."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from authkit_issuer.config import Config
from authkit_issuer.keys import KeySource
from authkit_issuer.ports import Clock
from authkit_verify import IssuerAccept, Verifier

_URL = "https://keys.invalid/jwks.json"
"""The verifier wants a URL; RFC 6761 section 6.4 reserves this name, and nothing connects to it."""


@dataclass(frozen=True, slots=True)
class _Document:
    """The key set as the response of a fetch."""

    body: bytes
    status_code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        yield self.body


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """The ``HttpClient`` of such a verifier."""

    keys: KeySource

    @asynccontextmanager
    async def stream(self, method: str, url: str, **options: object) -> AsyncGenerator[_Document, None]:  # noqa: ARG002 - the protocol
        """Yield the keys in force."""
        yield _Document(self.keys.current().jwks_body)


def own_verifier(
    config: Config, keys: KeySource, clock: Clock, audiences: Sequence[str] | None = None
) -> Verifier:
    """Return a verifier that accepts what this service mints for one of the audiences."""
    accepted = IssuerAccept(
        issuer=config.issuer,
        audiences=config.expected_audiences if audiences is None else audiences,
        jwks_url=_URL,
        token_types=("at+jwt",),
        # As often as the service itself looks: a key that it has dropped is refused as soon after.
        cache_ttl=config.key_reload_interval,
        max_stale=0,
        http_client=OwnKeys(keys),
    )
    return Verifier(accepted, clock=None if clock is time.time else clock)
