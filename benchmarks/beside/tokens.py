"""The tokens that are verified: 15 claims, 1083 characters with RS256."""

from __future__ import annotations

from typing import Any

from authkit_verify.testing import FakeIssuer, FakeKey

ISSUER = "https://login.example.test/realms/main"
AUDIENCE = "api"
CLAIMS: dict[str, Any] = {
    "aud": [AUDIENCE, "https://api.example.test"], "nbf": 1_700_000_000,
    "jti": "0d9b0f6a-6c1f-4a57-9a1c-6f1f4f4a2b11", "sid": "4b1f6f2e-7b1c-4f5e-9a53-0f0d6f9a2c11",
    "email": "somebody.somewhere@example.test", "email_verified": True, "username": "somebody.somebody",
    "discord_username": "somebody#1234", "org": "acme", "roles": ["owner", "admin", "member"],
    "entitlements": ["alpha", "beta", "gold", "silver", "bronze"],
}  # fmt: skip


def mint(issuer: FakeIssuer, count: int, key: FakeKey | None = None) -> list[str]:
    """Return tokens of different users, all of one length, that hold for a day."""
    return [
        issuer.mint(f"00000000-0000-4000-8000-{n:012}", key=key, lifetime=86_400, **CLAIMS)
        for n in range(count)
    ]


def fresh(tokens: list[str]) -> list[str]:
    """Return equal tokens in new objects: a reused one keeps its hash and would flatter a look-up."""
    return [token[:1] + token[1:] for token in tokens]
