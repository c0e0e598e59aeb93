"""Discord: OAuth 2.0 with an endpoint that says who signed in."""

from __future__ import annotations

from authkit_issuer.config import ProviderConfig
from authkit_issuer.config.providers import issuer_of
from authkit_issuer.errors import ProviderRefused
from authkit_issuer.identity import oauth
from authkit_issuer.identity.http import ProviderHttp
from authkit_issuer.identity.profile import Exchange, Profile, Request

AUTHORIZE = "https://discord.com/api/oauth2/authorize"
TOKEN = "https://discord.com/api/oauth2/token"
ME = "https://discord.com/api/users/@me"
SCOPES = ("identify", "email")


class Discord:
    """Discord as a provider."""

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
        """Discord sends no ``iss``."""
        return False

    async def profile(self, exchange: Exchange) -> Profile:
        """Trade the code and ask who it is."""
        secret = oauth.secret_of(self._config)
        answer = await oauth.trade(self._http, TOKEN, self._config, exchange, secret=secret)
        me = await self._http.object("GET", ME, headers=oauth.bearer(answer))
        subject = oauth.text(me.get("id"))
        if not subject.isdecimal():
            raise ProviderRefused
        return Profile(
            issuer=self.issuer,
            subject=subject,
            email=oauth.text(me.get("email")) or None,
            email_verified=me.get("verified") is True,
            username=oauth.text(me.get("username")),
            display_name=oauth.text(me.get("global_name")),
        )

    async def aclose(self) -> None:
        """Nothing runs in the background."""
