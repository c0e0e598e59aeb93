"""GitHub: OAuth 2.0; the address is the one GitHub has verified, never the one of the public profile."""

from __future__ import annotations

from typing import Any, cast

from authkit_issuer.config import ProviderConfig
from authkit_issuer.config.providers import issuer_of
from authkit_issuer.errors import ProviderRefused
from authkit_issuer.identity import oauth
from authkit_issuer.identity.http import ProviderHttp
from authkit_issuer.identity.profile import Exchange, Profile, Request

AUTHORIZE = "https://github.com/login/oauth/authorize"
TOKEN = "https://github.com/login/oauth/access_token"
USER = "https://api.github.com/user"
EMAILS = "https://api.github.com/user/emails"
SCOPES = ("read:user", "user:email")
_ACCEPT = {"accept": "application/vnd.github+json"}


class GitHub:
    """GitHub as a provider."""

    form_post = False

    def __init__(self, slug: str, config: ProviderConfig, *, http: ProviderHttp) -> None:
        """Take the configuration."""
        self.issuer = issuer_of(slug, config)
        self._config = config
        self._http = http

    async def authorization_url(self, request: Request) -> str:
        """Return the authorization request; there is no ID token that could carry the nonce."""
        return oauth.authorization_url(AUTHORIZE, self._config, (*SCOPES, *self._config.scopes), request)

    async def promises_issuer(self) -> bool:
        """GitHub has no metadata that could promise anything."""
        return False

    async def profile(self, exchange: Exchange) -> Profile:
        """Trade the code and ask who it is, and which address is primary and verified."""
        secret = oauth.secret_of(self._config)
        answer = await oauth.trade(self._http, TOKEN, self._config, exchange, secret=secret)
        headers = oauth.bearer(answer) | _ACCEPT
        user = await self._http.object("GET", USER, headers=headers)
        number = user.get("id")
        if type(number) is not int:
            raise ProviderRefused
        email = _primary(await self._http.json("GET", EMAILS, headers=headers))
        return Profile(
            issuer=self.issuer,
            subject=str(number),
            email=email,
            email_verified=email is not None,
            username=oauth.text(user.get("login")),
            display_name=oauth.text(user.get("name")),
        )

    async def aclose(self) -> None:
        """Nothing runs in the background."""


def _primary(found: object) -> str | None:
    for entry in found if isinstance(found, list) else []:
        if isinstance(entry, dict):
            address = cast("dict[str, Any]", entry)
            if address.get("primary") is True and address.get("verified") is True:
                return oauth.text(address.get("email")) or None
    return None
