"""Builds the authorization request that sends a browser to a provider (RFC 6749 section 4.1.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.login.external.flow_store import (
    Flow,
    FlowCookie,
    FlowStore,
    PendingLogin,
    digest,
)
from authkit_issuer.domains.login.external.redirect_urls import checked_return_to, redirect_urls
from authkit_issuer.federation import IdentityProvider, Request
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.codes import new_token
from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR, live
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedInUser:
    """The user of a live session who is about to link a login or to reauthenticate with one."""

    auth_epoch: int
    allowed: bool
    two_factor: bool
    linked: bool


SIGNED_IN_USER = Query(
    SignedInUser,
    f"""
    select u.auth_epoch, {ALLOWED} as allowed, {HAS_TWO_FACTOR} as two_factor,
           exists (
               select from profiles.user_providers l
               where l.user_id = u.id and l.issuer = $3 and l.frozen_at is null
           ) as linked
    from profiles.users u join profiles.refresh_sessions s on s.user_id = u.id
    where u.id = $1::uuid and s.id = $2::uuid and {live("s")}
    """,
)


_POPUP_NONCE = re.compile(r"[A-Za-z0-9_-]{0,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """The URL of the provider, and the cookie that the browser must send with the callback."""

    auth_url: str
    state: str = field(repr=False)
    cookie: FlowCookie


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginOptions:
    """What the app wants of a login, not validated yet."""

    flow: Flow
    user_id: str
    session_id: str
    popup: bool
    popup_nonce: str
    return_to: str
    origin: str


async def authorization_request(
    rt: Runtime, idp: IdentityProvider, options: LoginOptions, *, provider: str, method: str
) -> AuthorizationRequest:
    """Store a pending login under a fresh state and return its authorization request."""
    if not _POPUP_NONCE.fullmatch(options.popup_nonce):
        raise errors.Invalid("popup_nonce takes at most 128 URL-safe characters.", param="popup_nonce")
    return_to = checked_return_to(options.return_to)
    urls = redirect_urls(rt.config, provider, options.origin)
    epoch = await auth_epoch(
        rt, idp, options.flow, user_id=options.user_id, session_id=options.session_id, method=method
    )
    request = Request(
        state=new_token(rt.random_bytes),
        nonce=new_token(rt.random_bytes),
        verifier=new_token(rt.random_bytes),
        redirect_uri=urls.redirect_uri,
        fresh=options.flow == "step_up",
    )
    auth_url = await idp.authorization_url(request)
    flows = FlowStore(rt)
    cookie = flows.cookie(request.state, cross_site=idp.form_post)
    pending = PendingLogin(
        provider=provider,
        flow=options.flow,
        verifier=request.verifier,
        nonce=request.nonce,
        cookie=digest(cookie.value),
        redirect_uri=urls.redirect_uri,
        app_url=urls.app_url,
        begun=rt.clock(),
        popup=options.popup,
        popup_nonce=options.popup_nonce,
        return_to=return_to,
        user_id=options.user_id,
        session_id=options.session_id,
        auth_epoch=epoch,
    )
    await flows.put_pending(request.state, pending)
    return AuthorizationRequest(auth_url=auth_url, state=request.state, cookie=cookie)


async def auth_epoch(
    rt: Runtime, idp: IdentityProvider, flow: Flow, *, user_id: str, session_id: str, method: str
) -> int:
    """Return the epoch of the signed-in user, once the user may link or reauthenticate; 0 for a login."""
    if flow == "login":
        return 0
    known_user, known_session = identifiers.uuid_or_none(user_id), identifiers.uuid_or_none(session_id)
    if known_user is None or known_session is None:
        raise errors.SessionEnded
    user = await rt.maybe(SIGNED_IN_USER, known_user, known_session, idp.issuer)
    if user is None:
        raise errors.SessionEnded
    if not user.allowed:
        raise errors.UserDisabled
    if flow == "step_up":
        if not idp.steps_up:
            raise errors.NotConfigured("This provider cannot confirm a step-up; use another method.")
        if user.two_factor and method not in rt.config.two_factor_exempt_methods:
            raise errors.TwoFactorRequired
        if not user.linked:
            raise errors.ProviderNotLinked
    return user.auth_epoch
