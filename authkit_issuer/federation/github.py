"""GitHub: OAuth 2.0; the address is the one GitHub has verified, never the one of the public profile."""

from __future__ import annotations

from typing import Any, cast

from authkit_issuer.federation import oauth
from authkit_issuer.federation.profile import Exchange, Profile, trusts_email
from authkit_issuer.federation.refusals import refused, subject_of

USER = "https://api.github.com/user"
EMAILS = "https://api.github.com/user/emails"
_ACCEPT = {"accept": "application/vnd.github+json"}


class GitHub(oauth.CodeGrant):
    """GitHub as a provider."""

    authorize = "https://github.com/login/oauth/authorize"
    token = "https://github.com/login/oauth/access_token"
    scopes = ("read:user", "user:email")

    async def profile(self, exchange: Exchange) -> Profile:
        """Trade the code and ask who it is, and which address is primary and verified."""
        headers = await self._traded(exchange) | _ACCEPT
        user = await self._http.object("GET", USER, provider=self.slug, headers=headers)
        number = user.get("id")
        if type(number) is not int:
            raise refused(self.slug, "subject", expected="a number", found=f"a {type(number).__name__}")
        found = await self._http.json("GET", EMAILS, provider=self.slug, headers=headers)
        email = _primary(found)
        return Profile(
            issuer=self.issuer,
            subject=subject_of(self.slug, str(number)),
            email=email,
            email_verified=email is not None,
            email_trusted=trusts_email(self._config, self.issuer, email),
            username=oauth.text(user.get("login")),
            display_name=oauth.text(user.get("name")),
        )


def _primary(found: object) -> str | None:
    for entry in found if isinstance(found, list) else []:
        if isinstance(entry, dict):
            address = cast("dict[str, Any]", entry)
            if address.get("primary") is True and address.get("verified") is True:
                return oauth.text(address.get("email")) or None
    return None
