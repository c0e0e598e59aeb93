"""The results of a login with a provider: what the callback yields, and what the app gets for it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from authkit_issuer import errors
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.login.deleted_accounts import refusal_of
from authkit_issuer.domains.login.external import queries as sql
from authkit_issuer.domains.login.external.flow_store import Flow, VerifiedLogin
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.domains.sessions.service import TokenPair
from authkit_issuer.domains.tokens.service import AccessToken
from authkit_issuer.errors import AuthError
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

AMR = ("fed",)
"""The user authenticated at another party."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResult:
    """A finished login: the tokens of a new session or of a reauthentication, and neither for a link."""

    provider: str
    flow: Flow
    return_to: str
    cookie_name: str
    """The cookie of the login, which is of no more use."""
    created: bool = False
    """True if this login created the account."""
    pair: TokenPair | None = field(default=None, repr=False)
    access: AccessToken | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackResult:
    """How a callback ended: with a code for the result, with the result itself, or with a refusal."""

    provider: str
    app_url: str
    flow: Flow = "login"
    popup: bool = False
    popup_nonce: str = ""
    return_to: str = ""
    cookie_name: str = ""
    """The cookie of the login, ``""`` if the browser has none."""
    code: str = field(default="", repr=False)
    opened: LoginResult | None = None
    refusal: AuthError | None = None

    def refused(self, refusal: AuthError) -> CallbackResult:
        """Return the same result with a refusal."""
        return dataclasses.replace(self, refusal=refusal)


async def open_verified_login(
    rt: Runtime, login: VerifiedLogin, method: str, client: Client | None, *, org: str | None = None
) -> LoginResult:
    """Open the session of a verified login, reauthenticate in one, or confirm a link.

    The statement reads the link again: one that the user removed meanwhile opens nothing.
    """
    if org is not None and login.flow != "login":
        raise errors.Invalid("org is only for a login; leave it out of this flow.", param="org")
    result = LoginResult(
        provider=login.provider,
        flow=login.flow,
        return_to=login.return_to,
        cookie_name=login.cookie_name,
        created=login.created,
    )
    if login.flow == "link":
        return result
    user = await rt.maybe(sql.LINKED_USER, login.issuer, login.subject)
    if user is None or user.user_id != login.user_id:
        raise errors.InvalidCredentials
    logins = Logins(rt)
    if login.flow == "step_up":
        access = await logins.step_up_vouched(
            login.user_id,
            login.session_id,
            auth_epoch=login.auth_epoch,
            method=method,
            amr=AMR,
            client=client,
        )
        return dataclasses.replace(result, access=access)
    if not user.allowed:
        if user.deleted_at is not None and (user.frozen or user.auth_epoch != login.auth_epoch):
            raise errors.InvalidCredentials
        raise refusal_of(rt, user)
    proof = FirstFactor(
        user_id=login.user_id,
        auth_epoch=login.auth_epoch,
        two_factor=user.two_factor,
        authenticated_at=login.authenticated_at,
    )
    extra = {"provider": login.provider}
    pair = await logins.finish(proof, method=method, amr=AMR, org=org, client=client, extra=extra)
    return dataclasses.replace(result, pair=pair)
