"""Logins in the browser with an external provider (RFC 6749, OpenID Connect Core 1.0).

A login is three requests of one browser, tied together by a state and a cookie: it begins, the provider calls
back, and the app trades a code for the result. The callback stores only who was verified, so that the second
factor is required, and the session opened, when the app trades.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from authkit_issuer import errors
from authkit_issuer.config.providers import WITHOUT_ID_TOKENS
from authkit_issuer.domains.codes.one_time import on_outage
from authkit_issuer.domains.login.external.authorization_request import (
    AuthorizationRequest,
    LoginOptions,
    authorization_request,
)
from authkit_issuer.domains.login.external.callback import CallbackParameters, verify_callback
from authkit_issuer.domains.login.external.flow_store import (
    Cookies,
    Flow,
    FlowCookie,
    FlowStore,
    PendingLogin,
)
from authkit_issuer.domains.login.external.native import (
    NativeFlow,
    NativeLogin,
    PresentedIdToken,
    begin_native,
    open_native_login,
)
from authkit_issuer.domains.login.external.redirect_urls import redirect_urls
from authkit_issuer.domains.login.external.result import CallbackResult, LoginResult, open_verified_login
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, STORES, raises
from authkit_issuer.federation import IdentityProvider
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

__all__ = [
    "AuthorizationRequest",
    "CallbackParameters",
    "CallbackResult",
    "Flow",
    "FlowCookie",
    "LoginResult",
    "NativeLogin",
    "OidcLogin",
]

_ORG_REFUSALS = (
    errors.Invalid,
    errors.OrgNotFound,
    errors.NotOrgMember,
    errors.TwoFactorRequiredByOrg,
)
_OPENING = (
    errors.InvalidCredentials,
    errors.UserBanned,
    errors.UserDisabled,
    errors.SessionEnded,
    errors.TwoFactorRequired,
    errors.TwoFactorEnrollmentRequired,
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
    """Sends browsers to providers, verifies their callbacks, and trades the results."""

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
    ) -> AuthorizationRequest:
        """Begin a login and return the provider's URL for the browser, which has 600 seconds to come back.

        Args:
            provider: The name of a configured provider.
            flow: ``login``; ``link`` and ``step_up`` are for the user of a live session.
            user_id: The user of the session, unless ``flow`` is ``login``.
            session_id: The session, unless ``flow`` is ``login``.
            ui: ``popup`` posts the result from a popup to its opener.
            popup_nonce: A nonce for that message, at most 128 URL-safe characters.
            return_to: A path of the app, at most 1024 characters once percent-encoded.
            origin: The scheme and host of the request; only development uses it.

        Raises:
            UnknownProvider: No such provider is configured.
            NotConfigured: ``base_url`` is not set, or ``flow`` is ``step_up`` and the provider does not
                report when its user authenticated.
            Invalid: ``popup_nonce`` or ``return_to`` is malformed.
            ProviderUnavailable: The provider did not answer.
            SessionEnded, UserDisabled: The session is over, or the user may not act.
            ProviderNotLinked, TwoFactorRequired: The user cannot reauthenticate with this provider.
        """
        options = LoginOptions(
            flow=flow,
            user_id=user_id,
            session_id=session_id,
            popup=ui == "popup",
            popup_nonce=popup_nonce or "",
            return_to=return_to or "",
            origin=origin,
        )
        return await authorization_request(
            self.rt, self._provider(provider), options, provider=provider, method=method_of(provider)
        )

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
        parameters: CallbackParameters,
        *,
        directly: bool = False,
        origin: str = "",
        client: Client | None = None,
    ) -> CallbackResult:
        """Verify a callback, at most once for a state and only with the cookie of ``begin``.

        Args:
            provider: The name of the provider whose callback URL the browser requested.
            parameters: What the browser sent.
            directly: Open the result at once, in place of a code for it.
            origin: The scheme and host of the request; only development uses it.
            client: The client that signs in.

        Returns:
            The result. A refusal is in the result too, so that the app learns of it where it would learn of a
            success.

        Raises:
            UnknownProvider: No such provider is configured.
        """
        self.rt.refuse_joining("oidc_login.finish")
        idp, flows = self._provider(provider), FlowStore(self.rt)
        unbound = self.unbound_result(provider, origin=origin)
        try:
            pending = await flows.take_pending(provider, parameters.state, parameters.cookies)
        except errors.AuthError as refusal:
            return unbound.refused(refusal)
        result = _callback_result(pending, flows.cookie_name(parameters.state))
        method = method_of(provider)
        try:
            verified = await verify_callback(self.rt, idp, pending, parameters, method=method, client=client)
            if directly or self.rt.config.oidc_fragment_tokens:
                opened = await open_verified_login(self.rt, verified, method, client)
                return dataclasses.replace(result, opened=opened)
            return dataclasses.replace(result, code=await flows.put_verified(verified))
        except errors.AuthError as refusal:
            await self._note(refusal, pending.flow, client)
            return result.refused(refusal)

    @raises(
        errors.InvalidOrExpiredCode,
        errors.OrgModeNotMulti,
        errors.InvalidOrgSlug,
        errors.OrgNotFound,
        errors.NotOrgMember,
        errors.TwoFactorRequiredByOrg,
        *_OPENING,
    )
    async def trade(
        self, code: str, cookies: Cookies, *, org: str | None = None, client: Client | None = None
    ) -> LoginResult:
        """Trade the code of a callback for its result, once, in the same browser, within 60 seconds.

        Args:
            code: The code of the ``CallbackResult``.
            cookies: The cookies of the request as name and value, repeats included.
            org: The slug of the organization that the access token is to name; only for a login.
            client: The client that signs in.

        Raises:
            InvalidOrExpiredCode: The code is unknown, used or too old, or the browser is another one.
            InvalidCredentials: The account or its link changed since the callback.
            Invalid, OrgNotFound, NotOrgMember: ``org`` was refused. The code is still good.
            Unavailable: Storage failed. The code is still good.
            AuthError: Any other refusal of ``logins.finish`` or ``logins.step_up_vouched``.
        """
        self.rt.refuse_joining("oidc_login.trade")
        flows = FlowStore(self.rt)
        verified = await flows.take_verified(code, cookies)
        method = method_of(verified.provider)
        try:
            async with on_outage(lambda: flows.restore(code, verified), *_ORG_REFUSALS):
                return await open_verified_login(self.rt, verified, method, client, org=org)
        except errors.AuthError as refusal:
            await self._note(refusal, verified.flow, client)
            raise

    @raises(errors.UnknownProvider, errors.NotConfigured, *STORES)
    async def begin_native(
        self, provider: str, *, flow: NativeFlow = "login", user_id: str = "", session_id: str = ""
    ) -> NativeLogin:
        """Begin a login in a native app, which has 600 seconds to present an ID token.

        Args:
            provider: The name of a configured OpenID Connect provider.
            flow: ``login``; ``link`` is for the user of a live session.
            user_id: The user of the session, for a link.
            session_id: The session, for a link.

        Raises:
            UnknownProvider: No such provider is configured.
            NotConfigured: The provider has no ``native_client_ids``.
            SessionEnded, UserDisabled: The session is over, or the user may not act.
        """
        return await begin_native(
            self.rt,
            self._provider(provider),
            flow,
            provider=provider,
            method=method_of(provider),
            user_id=user_id,
            session_id=session_id,
        )

    @raises(
        errors.UnknownProvider,
        errors.NotConfigured,
        errors.InvalidState,
        errors.ProviderRefused,
        errors.ProviderUnavailable,
        errors.AccountExistsLinkRequired,
        errors.ProviderAlreadyLinked,
        errors.UsernameInUse,
        errors.Conflict,
        errors.OrgModeNotMulti,
        errors.InvalidOrgSlug,
        errors.OrgNotFound,
        errors.NotOrgMember,
        errors.TwoFactorRequiredByOrg,
        *_OPENING,
    )
    async def finish_native(
        self,
        provider: str,
        login_id: str,
        id_token: str,
        *,
        org: str | None = None,
        client: Client | None = None,
    ) -> LoginResult:
        """Sign in, or link, once, with an ID token that carries the nonce of ``begin_native``.

        Args:
            provider: The provider of ``begin_native``.
            login_id: The id that ``begin_native`` returned.
            id_token: The ID token from the provider's SDK.
            org: The slug of the organization that the access token is to name; only for a login.
            client: The client that signs in.

        Raises:
            InvalidState: No such login is pending: it is unknown, used or too old.
            ProviderRefused: The ID token fails a check; ``metadata.check`` names it.
            AccountExistsLinkRequired: An account has the email address; the user must sign in and link.
            Invalid, OrgNotFound, NotOrgMember: ``org`` was refused. The login is still pending.
            Unavailable: Storage or the provider failed. The login is still pending.
            AuthError: Any other refusal of ``logins.finish``.
        """
        self.rt.refuse_joining("oidc_login.finish_native")
        idp, flows = self._provider(provider), FlowStore(self.rt)
        pending = await flows.take_native(provider, login_id)
        presented = PresentedIdToken(login_id=login_id, id_token=id_token, org=org, client=client)
        method = method_of(provider)
        try:
            async with on_outage(lambda: flows.restore_native(login_id, pending), *_ORG_REFUSALS):
                return await open_native_login(self.rt, idp, pending, presented, method)
        except errors.AuthError as refusal:
            await self._note(refusal, pending.flow, client)
            raise

    def unbound_result(
        self, provider: str, *, origin: str = "", popup: bool = False, nonce: str = ""
    ) -> CallbackResult:
        """Return a result for a browser without a pending login; raises ``UnknownProvider``."""
        self._provider(provider)
        urls = redirect_urls(self.rt.config, provider, origin)
        return CallbackResult(provider=provider, app_url=urls.app_url, popup=popup, popup_nonce=nonce)

    def _provider(self, slug: str) -> IdentityProvider:
        provider = self.rt.identity.get(slug)
        if provider is None:
            raise errors.UnknownProvider
        return provider

    async def _note(self, refusal: errors.AuthError, flow: Flow, client: Client | None) -> None:
        """Record the refusal of a login, but not of a link or a reauthentication."""
        if flow == "login" and isinstance(refusal, errors.Unauthenticated):
            await Logins(self.rt).note_failure(refusal, client)


def method_of(provider: str) -> str:
    """Return the method of a login with this provider, in sessions and events."""
    return f"oauth_login:{provider}" if provider in WITHOUT_ID_TOKENS else "oidc_login"


def _callback_result(pending: PendingLogin, cookie_name: str) -> CallbackResult:
    return CallbackResult(
        provider=pending.provider,
        app_url=pending.app_url,
        flow=pending.flow,
        popup=pending.popup,
        popup_nonce=pending.popup_nonce,
        return_to=pending.return_to,
        cookie_name=cookie_name,
    )
