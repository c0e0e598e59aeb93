"""Discord: OAuth 2.0 with an endpoint that says who signed in."""

from __future__ import annotations

from authkit_issuer.federation import oauth
from authkit_issuer.federation.profile import Exchange, Profile, trusts_email
from authkit_issuer.federation.refusals import refused, subject_of

ME = "https://discord.com/api/users/@me"


class Discord(oauth.CodeGrant):
    """Discord as a provider."""

    authorize = "https://discord.com/api/oauth2/authorize"
    token = "https://discord.com/api/oauth2/token"
    scopes = ("identify", "email")

    async def profile(self, exchange: Exchange) -> Profile:
        """Trade the code and ask who it is."""
        headers = await self._traded(exchange)
        me = await self._http.object("GET", ME, provider=self.slug, headers=headers)
        subject = subject_of(self.slug, me.get("id"))
        if not (subject.isascii() and subject.isdecimal()):
            raise refused(self.slug, "subject", expected="an id of digits", found="another text")
        email = oauth.text(me.get("email")) or None
        return Profile(
            issuer=self.issuer,
            subject=subject,
            email=email,
            email_verified=me.get("verified") is True,
            email_trusted=trusts_email(self._config, self.issuer, email),
            username=oauth.text(me.get("username")),
            display_name=oauth.text(me.get("global_name")),
        )
