"""The ephemeral records of a login: pending at the provider, then verified and waiting for the app.

The key of a record is the digest of a random 256-bit secret that only the browser has. A cookie binds each
record to that browser; its name holds a digest of the state, so that logins in two tabs do not clash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from authkit_issuer import errors
from authkit_issuer.domains.base import stored_values
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.codes import new_token

Flow = Literal["login", "link", "step_up"]
Cookies = Iterable[tuple[str, str]]
"""The cookies of a request as name and value, repeats included."""

STATE_LIFE = 600.0
"""Seconds a login may stay pending at the provider."""
RESULT_LIFE = 60.0
"""Seconds within which the app must trade a result."""
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCookie:
    """The cookie that binds a login to its browser; ``cross_site`` lets a form of the provider send it."""

    name: str
    value: str = field(repr=False)
    cross_site: bool
    max_age: int = int(STATE_LIFE + RESULT_LIFE)


class PendingLogin(msgspec.Struct, frozen=True, kw_only=True):
    """A login that is at the provider. ``cookie`` is a digest; ``begun`` is Unix time."""

    provider: str
    flow: Flow
    verifier: str
    nonce: str
    cookie: str
    redirect_uri: str
    app_url: str
    begun: float
    popup: bool = False
    popup_nonce: str = ""
    return_to: str = ""
    user_id: str = ""
    session_id: str = ""
    auth_epoch: int = 0


class PendingNative(msgspec.Struct, frozen=True, kw_only=True):
    """A login that a native app began. ``expires`` is Unix time."""

    provider: str
    flow: Literal["login", "link"]
    expires: float
    user_id: str = ""
    session_id: str = ""
    auth_epoch: int = 0


class VerifiedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """A user that the provider authenticated. It holds no tokens: the app trades it for them."""

    provider: str
    flow: Flow
    cookie: str
    cookie_name: str
    expires: float
    issuer: str
    subject: str
    user_id: str
    auth_epoch: int
    session_id: str = ""
    return_to: str = ""
    created: bool = False
    authenticated_at: float | None = None


def digest(text: str) -> str:
    """Return the SHA-256 under which a secret is stored."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class FlowStore:
    """Stores records and takes each one out once."""

    rt: Runtime

    async def put_pending(self, state: str, record: PendingLogin) -> None:
        """Store a login until the browser comes back."""
        await self.rt.ephemeral.set(_state_key(state), msgspec.json.encode(record), STATE_LIFE)

    async def take_pending(self, provider: str, state: str, cookies: Cookies) -> PendingLogin:
        """Take out a login by its state; of concurrent requests one gets it. Raises ``InvalidState``.

        The state is used up before any check: a request with the state but without the cookie is not from the
        browser that began the login.
        """
        raw = await self.rt.ephemeral.take(_state_key(state)) if _SECRET.fullmatch(state) else None
        if raw is None:
            raise errors.InvalidState
        record = stored_values.record(raw, PendingLogin)
        bound = _is_bound(record.cookie, self.cookie_name(state), cookies)
        if record.provider != provider or not bound:
            raise errors.InvalidState
        return record

    async def put_verified(self, record: VerifiedLogin) -> str:
        """Store a verified login and return the code that the app trades for it."""
        code = new_token(self.rt.random_bytes)
        await self.rt.ephemeral.set(_result_key(code), msgspec.json.encode(record), RESULT_LIFE)
        return code

    async def take_verified(self, code: str, cookies: Cookies) -> VerifiedLogin:
        """Take out a verified login by its code, once; raises ``InvalidOrExpiredCode``."""
        raw = await self.rt.ephemeral.take(_result_key(code)) if _SECRET.fullmatch(code) else None
        record = None if raw is None else stored_values.record(raw, VerifiedLogin)
        if record is None or not _is_bound(record.cookie, record.cookie_name, cookies):
            raise errors.InvalidOrExpiredCode
        return record

    async def restore(self, code: str, record: VerifiedLogin) -> None:
        """Store a verified login again, for the rest of its life; never over a newer one."""
        left = record.expires - self.rt.clock()
        if left > 0:
            raw = msgspec.json.encode(record)
            await self.rt.ephemeral.set(_result_key(code), raw, left, only_if_absent=True)

    async def put_native(self, login_id: str, record: PendingNative, life: float) -> None:
        """Store the login of a native app."""
        raw = msgspec.json.encode(record)
        await self.rt.ephemeral.set(_native_key(login_id), raw, life, only_if_absent=True)

    async def take_native(self, provider: str, login_id: str) -> PendingNative:
        """Take out the login of a native app, once; raises ``InvalidState``."""
        raw = await self.rt.ephemeral.take(_native_key(login_id)) if _SECRET.fullmatch(login_id) else None
        record = None if raw is None else stored_values.record(raw, PendingNative)
        if record is None or record.provider != provider:
            raise errors.InvalidState
        return record

    async def restore_native(self, login_id: str, record: PendingNative) -> None:
        """Store the login of a native app again, for the rest of its life."""
        left = record.expires - self.rt.clock()
        if left > 0:
            await self.put_native(login_id, record, left)

    def cookie(self, state: str, *, cross_site: bool) -> FlowCookie:
        """Return a fresh cookie that binds a login."""
        return FlowCookie(
            name=self.cookie_name(state), value=new_token(self.rt.random_bytes), cross_site=cross_site
        )

    def cookie_name(self, state: str) -> str:
        """Return the name of a login's cookie.

        ``__Host-`` keeps sites of the same domain from setting the cookie. Browsers refuse the prefix over
        http, in development.
        """
        prefix = "" if self.rt.config.dev else "__Host-"
        return f"{prefix}authkit_flow_{digest(f'cookie {state}')[:24]}"


def _is_bound(expected: str, name: str, cookies: Cookies) -> bool:
    """True if exactly one cookie has the name, and its value has the expected digest."""
    values = [value for given, value in cookies if given == name]
    return len(values) == 1 and hmac.compare_digest(digest(values[0]), expected)


def _state_key(state: str) -> str:
    return f"oidc:state:{digest(state)}"


def _result_key(code: str) -> str:
    return f"oidc:result:{digest(code)}"


def _native_key(login_id: str) -> str:
    return f"oidc:native:{digest(login_id)}"
