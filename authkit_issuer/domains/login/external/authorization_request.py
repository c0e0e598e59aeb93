"""Sending a browser to a provider."""

from __future__ import annotations

import re
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.login.external import queries as sql
from authkit_issuer.domains.login.external.records import Flow, Flows, State, digest, secret
from authkit_issuer.domains.login.external.redirect_urls import addresses, local_path
from authkit_issuer.domains.login.external.result import Begun
from authkit_issuer.federation import IdentityProvider, Request
from authkit_issuer.runtime import Runtime

_POPUP_NONCE = re.compile(r"[A-Za-z0-9_-]{0,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a caller wants of a login."""

    flow: Flow
    user_id: str
    session_id: str
    popup: bool
    popup_nonce: str
    return_to: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """One login on its way out."""

    rt: Runtime
    slug: str
    idp: IdentityProvider
    method: str

    async def run(self, wish: Wish) -> Begun:
        """Keep a record under a fresh state and return where the browser goes."""
        if not _POPUP_NONCE.fullmatch(wish.popup_nonce):
            raise errors.Invalid("This may have 128 URL-safe characters.", param="popup_nonce")
        return_to, place = local_path(wish.return_to), addresses(self.rt.config, self.slug, wish.origin)
        epoch = 0 if wish.flow == "login" else await self._epoch(wish)
        request = Request(
            state=secret(self.rt),
            nonce=secret(self.rt),
            verifier=secret(self.rt),
            redirect_uri=place.redirect_uri,
            fresh=wish.flow == "step_up",
        )
        url = await self.idp.authorization_url(request)
        flows = Flows(self.rt)
        cookie = flows.cookie(request.state, cross_site=self.idp.form_post)
        record = State(
            provider=self.slug,
            flow=wish.flow,
            verifier=request.verifier,
            nonce=request.nonce,
            cookie=digest(cookie.value),
            redirect_uri=place.redirect_uri,
            app_url=place.app_url,
            begun=self.rt.clock(),
            popup=wish.popup,
            popup_nonce=wish.popup_nonce,
            return_to=return_to,
            user_id=wish.user_id,
            session_id=wish.session_id,
            auth_epoch=epoch,
        )
        await flows.put_state(request.state, record)
        return Begun(auth_url=url, state=request.state, cookie=cookie)

    async def _epoch(self, wish: Wish) -> int:
        """Return the epoch of the account that asks, once it may."""
        user, session = identifiers.user_id(wish.user_id), identifiers.user_id(wish.session_id)
        actor = await self.rt.maybe(sql.ACTOR, user, session, self.idp.issuer) if user and session else None
        if actor is None:
            raise errors.SessionEnded
        if not actor.allowed:
            raise errors.UserDisabled
        if wish.flow == "step_up":
            if actor.two_factor and self.method not in self.rt.config.two_factor_exempt_methods:
                raise errors.TwoFactorRequired
            if not actor.linked:
                raise errors.ProviderNotLinked
        return actor.auth_epoch
