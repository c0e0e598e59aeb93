"""Sign-in in a native app, which gets an ID token from the provider's own dialog on the device.

The app begins a login, passes its nonce to the provider's SDK, and presents the ID token with the id of the
login. The nonce is a digest of that id: an ID token alone, read from a log or a crash report, opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from authkit_issuer import errors
from authkit_issuer.domains.login.external import accounts
from authkit_issuer.domains.login.external.accounts import ProviderLogin
from authkit_issuer.domains.login.external.authorization_request import auth_epoch
from authkit_issuer.domains.login.external.flow_store import (
    STATE_LIFE,
    FlowStore,
    PendingNative,
    VerifiedLogin,
    digest,
)
from authkit_issuer.domains.login.external.result import LoginResult, open_verified_login
from authkit_issuer.federation import IdentityProvider
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.codes import new_token

NativeFlow = Literal["login", "link"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeLogin:
    """A login that a native app began. Only ``nonce`` goes to the provider; ``login_id`` stays in the app."""

    login_id: str = field(repr=False)
    nonce: str
    expires_in: int = int(STATE_LIFE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedIdToken:
    """What a native app presents, not verified yet."""

    login_id: str = field(repr=False)
    id_token: str = field(repr=False)
    org: str | None
    client: Client | None


async def begin_native(
    rt: Runtime,
    idp: IdentityProvider,
    flow: NativeFlow,
    *,
    provider: str,
    method: str,
    user_id: str,
    session_id: str,
) -> NativeLogin:
    """Store a pending login and return its id and nonce."""
    if not idp.takes_id_tokens:
        raise errors.NotConfigured("Native sign-in is off: set native_client_ids of this provider.")
    epoch = await auth_epoch(rt, idp, flow, user_id=user_id, session_id=session_id, method=method)
    pending = PendingNative(
        provider=provider,
        flow=flow,
        expires=rt.clock() + STATE_LIFE,
        user_id=user_id,
        session_id=session_id,
        auth_epoch=epoch,
    )
    login_id = new_token(rt.random_bytes)
    await FlowStore(rt).put_native(login_id, pending, STATE_LIFE)
    return NativeLogin(login_id=login_id, nonce=nonce_of(login_id))


async def open_native_login(
    rt: Runtime, idp: IdentityProvider, pending: PendingNative, presented: PresentedIdToken, method: str
) -> LoginResult:
    """Verify the ID token of a login that was taken out, and open its result."""
    if presented.org is not None and pending.flow != "login":
        # Before anything is linked: a refused request changes nothing.
        raise errors.Invalid("org is only for a login; leave it out of this flow.", param="org")
    profile = await idp.verify_id_token(presented.id_token, nonce_of(presented.login_id))
    login = ProviderLogin(provider=pending.provider, method=method, profile=profile, client=presented.client)
    user_id, epoch, created = await accounts.account_of(rt, pending, login)
    verified = VerifiedLogin(
        provider=pending.provider,
        flow=pending.flow,
        cookie="",
        cookie_name="",
        expires=pending.expires,
        issuer=profile.issuer,
        subject=profile.subject,
        user_id=user_id,
        auth_epoch=epoch,
        session_id=pending.session_id,
        created=created,
        authenticated_at=profile.authenticated_at,
    )
    return await open_verified_login(rt, verified, method, presented.client, org=presented.org)


def nonce_of(login_id: str) -> str:
    """Return the nonce that the ID token of a login must carry: 64 hexadecimal digits."""
    return digest(f"native {login_id}")
