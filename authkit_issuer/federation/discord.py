"""Discord: OAuth 2.0 with an endpoint that says who signed in."""

from __future__ import annotations

from authkit_issuer.errors import ProviderRefused
from authkit_issuer.federation import oauth
from authkit_issuer.federation.profile import Exchange, Profile

ME = "https://discord.com/api/users/@me"


class Discord(oauth.CodeGrant):
    """Discord as a provider."""

    authorize = "https://discord.com/api/oauth2/authorize"
    token = "https://discord.com/api/oauth2/token"
    scopes = ("identify", "email")

    async def profile(self, exchange: Exchange) -> Profile:
        """Trade the code and ask who it is."""
        me = await self._http.object("GET", ME, headers=await self._traded(exchange))
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
