"""Logins in the browser with an external provider (RFC 6749, OpenID Connect Core 1.0).

A login is begun, comes back from the provider, and is traded by the app: three requests of one browser, tied
together by a state and a cookie. What came back is kept as a proof, so that the second factor is asked and
the session opened only when the app trades it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from authkit_issuer import errors
from authkit_issuer.domains.base.codes import on_outage
from authkit_issuer.domains.login.external.authorization_request import Starting, Wish
from authkit_issuer.domains.login.external.callback import Returned, Returning, open_result
from authkit_issuer.domains.login.external.records import Cookies, Flow, FlowCookie, Flows
from authkit_issuer.domains.login.external.redirect_urls import addresses
from authkit_issuer.domains.login.external.result import Begun, Landing, Opened
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, STORES, raises
from authkit_issuer.federation import IdentityProvider
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

__all__ = ["Begun", "Flow", "FlowCookie", "Landing", "OidcLogin", "Opened", "Returned"]

_OAUTH = ("discord", "github")
_OF_THE_ORG = (errors.Invalid, errors.OrgNotFound, errors.NotOrgMember)


_OPENING = (
    errors.InvalidCredentials,
    errors.UserBanned,
    errors.UserDisabled,
    errors.SessionEnded,
    errors.TwoFactorRequired,
    errors.TwoFactorMethodUnavailable,
    errors.TooManyRequests,
    *EMAIL_SENDING,
    *SMS_SENDING,
    errors.MissingSigner,
    errors.EntitlementsUnavailable,
    *STORES,
)


@dataclass(frozen=True, slots=True)
class OidcLogin:
    """Sends browsers to providers and takes them back."""

    rt: Runtime

    @raises(
        errors.UnknownProvider,
        errors.NotConfigured,
        errors.ProviderUnavailable,
        errors.EphemeralStoreUnavailable,
    )
    async def begin(
        self,
        provider: str,
        *,
        flow: Flow = "login",
        user_id: str = "",
        session_id: str = "",
        ui: Literal["popup"] | None = None,
        popup_nonce: str | None = None,
        return_to: str | None = None,
        origin: str = "",
    ) -> Begun:
        """Return where to send the browser, which has ten minutes to come back.

        ``link`` and ``step_up`` are for the user of a live session. ``origin`` is the scheme and host that
        were asked; only development makes use of it. Raises ``UnknownProvider``, ``Invalid``,
        ``ProviderUnavailable``; ``SessionEnded``, ``UserDisabled``, and of a step-up ``ProviderNotLinked``
        and ``TwoFactorRequired``.
        """
        idp = self._provider(provider)
        wish = Wish(
            flow=flow,
            user_id=user_id,
            session_id=session_id,
            popup=ui == "popup",
            popup_nonce=popup_nonce or "",
            return_to=return_to or "",
            origin=origin,
        )
        return await Starting(rt=self.rt, slug=provider, idp=idp, method=method_of(provider)).run(wish)

    @raises(
        errors.UnknownProvider,
        errors.NotConfigured,
        errors.InvalidState,
        errors.ProviderDenied,
        errors.ProviderRefused,
        errors.ProviderUnavailable,
        errors.AccountExistsLinkRequired,
        errors.ProviderAlreadyLinked,
        errors.ProviderNotLinked,
        errors.UsernameInUse,
        errors.Conflict,
        *_OPENING,
    )
    async def finish(
        self,
        provider: str,
        returned: Returned,
        *,
        directly: bool = False,
        origin: str = "",
        client: Client | None = None,
    ) -> Landing:
        """Take a browser back: at most once for a state, and only with the cookie that went out with it.

        What is refused stands in the landing, so that the app hears of it where it hears of a success.
        ``directly`` opens the result at once in place of a code for it. Raises ``UnknownProvider``.
        """
        self.rt.refuse_joining("oidc_login.finish")
        idp = self._provider(provider)
        nobody = self.landing(provider, origin=origin)
        try:
            record = await Flows(self.rt).take_state(provider, returned.state, returned.cookies)
        except errors.AuthError as refusal:
            return nobody.refused(refusal)
        landing = Landing(
            provider=provider,
            app_url=record.app_url,
            flow=record.flow,
            popup=record.popup,
            popup_nonce=record.popup_nonce,
            return_to=record.return_to,
            cookie_name=Flows(self.rt).cookie_name(returned.state),
        )
        method = method_of(provider)
        try:
            returning = Returning(rt=self.rt, idp=idp, method=method, record=record, client=client)
            result = await returning.prove(returned)
            if directly or self.rt.config.oidc_fragment_tokens:
                opened = await open_result(self.rt, result, method, client)
                return dataclasses.replace(landing, opened=opened)
            return dataclasses.replace(landing, code=await Flows(self.rt).put_result(result))
        except errors.AuthError as refusal:
            await self._note(refusal, record.flow, client)
            return landing.refused(refusal)

    @raises(
        errors.InvalidOrExpiredCode,
        errors.OrgModeNotMulti,
        errors.InvalidOrgSlug,
        errors.OrgNotFound,
        errors.NotOrgMember,
        *_OPENING,
    )
    async def trade(
        self, code: str, cookies: Cookies, *, org: str | None = None, client: Client | None = None
    ) -> Opened:
        """Open what the code of a landing stands for, once, in the browser that got it, within a minute.

        Raises ``InvalidOrExpiredCode``, ``InvalidCredentials`` when the account or its link changed since,
        and as ``logins.finish`` and ``logins.step_up_vouched`` do. When storage fails, or the organization
        cannot be had, the code stays good. Only a login takes ``org``; for another flow it is ``Invalid``.
        """
        self.rt.refuse_joining("oidc_login.trade")
        flows = Flows(self.rt)
        result = await flows.take_result(code, cookies)
        try:
            async with on_outage(lambda: flows.put_back(code, result), *_OF_THE_ORG):
                return await open_result(self.rt, result, method_of(result.provider), client, org=org)
        except errors.AuthError as refusal:
            await self._note(refusal, result.flow, client)
            raise

    def landing(self, provider: str, *, origin: str = "", popup: bool = False, nonce: str = "") -> Landing:
        """Return where a browser lands that has no login under way; raises ``UnknownProvider``."""
        self._provider(provider)
        place = addresses(self.rt.config, provider, origin)
        return Landing(provider=provider, app_url=place.app_url, popup=popup, popup_nonce=nonce)

    def _provider(self, slug: str) -> IdentityProvider:
        found = self.rt.identity.get(slug)
        if found is None:
            raise errors.UnknownProvider
        return found

    async def _note(self, refusal: errors.AuthError, flow: Flow, client: Client | None) -> None:
        asked = isinstance(refusal, errors.TwoFactorRequired)
        if flow == "login" and isinstance(refusal, errors.Unauthenticated) and not asked:
            await Logins(self.rt).note_failure(refusal, client)


def method_of(provider: str) -> str:
    """Return what sessions and events call a login with this provider."""
    return f"oauth_login:{provider}" if provider in _OAUTH else "oidc_login"
