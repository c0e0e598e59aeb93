"""Sign in with Apple: OpenID Connect with a signed client secret and an answer by form."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jwt

from authkit_issuer.config import ProviderConfig
from authkit_issuer.errors import ConfigError
from authkit_issuer.federation.http import ProviderHttp
from authkit_issuer.federation.openid import OpenID
from authkit_issuer.federation.profile import Exchange, Profile
from authkit_issuer.ports import Clock
from authkit_verify import Claims

SECRET_LIFE = 300
"""Seconds; a fresh secret is signed for every use."""
MAX_USER = 4096


class Apple(OpenID):
    """Apple as a provider."""

    form_post = True
    scopes = ("openid", "email", "name")

    def __init__(self, slug: str, config: ProviderConfig, *, http: ProviderHttp, clock: Clock) -> None:
        """Try the key once: one that cannot sign is a ``ConfigError`` now and no failed login later."""
        super().__init__(slug, config, http=http, clock=clock)
        try:
            self.secret()
        except (ValueError, TypeError, jwt.PyJWTError):
            # Not chained: the text may quote the key.
            raise ConfigError("providers: apple's private_key_pem is not an EC P-256 key.") from None

    def extra_parameters(self) -> dict[str, str]:
        """Ask for the form that Apple demands when a name or an address is wanted."""
        return {"response_mode": "form_post"}

    def read(self, claims: Claims, exchange: Exchange) -> Profile:
        """Return the token's word, with the name of the form where it has none: that one is a mere hint."""
        profile = super().read(claims, exchange)
        if profile.display_name:
            return profile
        return dataclasses.replace(profile, display_name=_name(exchange.user))

    def secret(self) -> str:
        """Return a client secret signed with ES256, good for five minutes."""
        now = int(self._clock())
        claims = {
            "iss": self.config.team_id,
            "sub": self.config.client_id,
            "aud": "https://appleid.apple.com",
            "iat": now,
            "exp": now + SECRET_LIFE,
        }
        return jwt.encode(
            claims, self.config.private_key_pem, algorithm="ES256", headers={"kid": self.config.key_id}
        )


def _name(user: str) -> str:
    """Return the name in the ``user`` member of Apple's form, ``""`` without a readable one."""
    try:
        found: Any = json.loads(user) if len(user) <= MAX_USER else None
    except (ValueError, RecursionError):
        return ""
    names: Any = found.get("name") if isinstance(found, dict) else None
    if not isinstance(names, dict):
        return ""
    parts = (names.get("firstName"), names.get("lastName"))
    return " ".join(part for part in parts if isinstance(part, str) and part)
