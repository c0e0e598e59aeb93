"""What waits in the ephemeral store: logins that are at a provider, and results that wait for their app.

Both are kept under the digest of a random text of 256 bits that only the browser has, and both are bound to a
cookie of that browser: its name holds a digest of the state, so that logins in two tabs do not clash.
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
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.codes import new_token

Flow = Literal["login", "link", "step_up"]
Cookies = Iterable[tuple[str, str]]
"""The cookies of a request as name and value, repeats included."""

STATE_LIFE = 600.0
"""Seconds a person may take at the provider."""
RESULT_LIFE = 60.0
"""Seconds an app may take to trade a result."""
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCookie:
    """The cookie that a login is bound to; ``cross_site`` lets it come with a form from the provider."""

    name: str
    value: str = field(repr=False)
    cross_site: bool
    max_age: int = int(STATE_LIFE + RESULT_LIFE)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A login that is at the provider. ``cookie`` is a digest."""

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


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Who was proved, for the app to trade. No tokens: those are made when it is traded."""

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


def secret(rt: Runtime) -> str:
    """Return a fresh text of 256 bits."""
    return new_token(rt.random_bytes)


def digest(text: str) -> str:
    """Return the form in which a secret is kept."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Flows:
    """Stores and hands out records; each one once."""

    rt: Runtime

    async def put_state(self, state: str, record: State) -> None:
        """Keep a login until the browser comes back."""
        await self.rt.ephemeral.set(_state_key(state), msgspec.json.encode(record), STATE_LIFE)

    async def take_state(self, provider: str, state: str, cookies: Cookies) -> State:
        """Return a login to the one caller who has its state; raises ``InvalidState``.

        Used up before anything is judged: whoever has the state without the cookie is no browser of ours.
        """
        raw = await self.rt.ephemeral.take(_state_key(state)) if _SECRET.fullmatch(state) else None
        if raw is None:
            raise errors.InvalidState
        record = msgspec.json.decode(raw, type=State)
        bound = _is_bound(record.cookie, self.cookie_name(state), cookies)
        if record.provider != provider or not bound:
            raise errors.InvalidState
        return record

    async def put_result(self, record: Result) -> str:
        """Keep a result and return the code it is traded for."""
        code = secret(self.rt)
        await self.rt.ephemeral.set(_result_key(code), msgspec.json.encode(record), RESULT_LIFE)
        return code

    async def take_result(self, code: str, cookies: Cookies) -> Result:
        """Return a result to the one caller who has its code; raises ``InvalidOrExpiredCode``."""
        raw = await self.rt.ephemeral.take(_result_key(code)) if _SECRET.fullmatch(code) else None
        record = None if raw is None else msgspec.json.decode(raw, type=Result)
        if record is None or not _is_bound(record.cookie, record.cookie_name, cookies):
            raise errors.InvalidOrExpiredCode
        return record

    async def put_back(self, code: str, record: Result) -> None:
        """Let a result be traded after all: storage failed on the way."""
        left = record.expires - self.rt.clock()
        if left > 0:
            raw = msgspec.json.encode(record)
            await self.rt.ephemeral.set(_result_key(code), raw, left, only_if_absent=True)

    def cookie(self, state: str, *, cross_site: bool) -> FlowCookie:
        """Return a fresh cookie for a login."""
        return FlowCookie(name=self.cookie_name(state), value=secret(self.rt), cross_site=cross_site)

    def cookie_name(self, state: str) -> str:
        """Return the name of a login's cookie.

        ``__Host-`` keeps sites of the same domain from planting one; on http, in development, browsers would
        refuse the name.
        """
        prefix = "" if self.rt.config.dev else "__Host-"
        return f"{prefix}authkit_flow_{digest(f'cookie {state}')[:24]}"


def _is_bound(expected: str, name: str, cookies: Cookies) -> bool:
    """Tell whether exactly one cookie has the name, and the value whose digest is expected."""
    values = [value for given, value in cookies if given == name]
    return len(values) == 1 and hmac.compare_digest(digest(values[0]), expected)


def _state_key(state: str) -> str:
    return f"oidc:state:{digest(state)}"


def _result_key(code: str) -> str:
    return f"oidc:result:{digest(code)}"
