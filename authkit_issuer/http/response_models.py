"""The bodies of answers that several operations give. ``middleware`` and ``dispatch`` add the headers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from authkit_issuer.domains.login.external.service import LoginResult
    from authkit_issuer.domains.sessions.service import TokenPair
    from authkit_issuer.domains.tokens.service import AccessToken
    from authkit_issuer.event_types import AuthSessionEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class OkResponse:
    """It is done."""

    ok: Literal[True] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessResponse:
    """It is done, in the word that some operations have for it."""

    success: Literal[True] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageResponse:
    """It is done, or on its way; ``message`` is a sentence for people."""

    ok: Literal[True] = True
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSent:
    """A message is on its way if the address or number can get one; the answer does not tell.

    ``request_id`` belongs to this browser: a code counts only together with it.
    """

    ok: Literal[True] = True
    message: str = "If an account goes with it, a message is on its way."
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """A login: the access token for ``expires_in`` seconds and the refresh token for one more exchange."""

    access_token: str = field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str = field(repr=False)
    ended_sessions: list[str] | None = None
    """The ids of the sessions that made room for this one; left out if there was room."""

    @classmethod
    def of(cls, pair: TokenPair) -> TokenResponse:
        """Return the response for a token pair."""
        return cls(
            access_token=pair.access_token,
            expires_in=pair.expires_in,
            refresh_token=pair.refresh_token,
            ended_sessions=[*pair.ended_sessions] or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenResponse:
    """An access token for ``expires_in`` seconds; the session and its refresh token stay as they are."""

    access_token: str = field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int

    @classmethod
    def of(cls, access: AccessToken) -> AccessTokenResponse:
        """Return the response for an access token."""
        return cls(access_token=access.token, expires_in=access.expires_in)


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcResult:
    """What an external login opened: a session, or an access token alone for a step-up.

    ``linked`` comes without tokens: the session that requested the link goes on as it is.
    """

    flow: Literal["login", "link", "step_up"]
    provider: str
    return_to: str | None = None
    created: bool | None = None
    linked: Literal[True] | None = None
    access_token: str | None = field(default=None, repr=False)
    token_type: Literal["Bearer"] | None = None
    expires_in: int | None = None
    refresh_token: str | None = field(default=None, repr=False)
    ended_sessions: list[str] | None = None

    @classmethod
    def of(cls, opened: LoginResult) -> OidcResult:
        """Return the response for a finished login."""
        told = cls(flow=opened.flow, provider=opened.provider, return_to=opened.return_to or None)
        if opened.pair is not None:
            pair = TokenResponse.of(opened.pair)
            return replace(
                told,
                created=opened.created,
                access_token=pair.access_token,
                token_type=pair.token_type,
                expires_in=pair.expires_in,
                refresh_token=pair.refresh_token,
                ended_sessions=pair.ended_sessions,
            )
        if opened.access is not None:
            access = AccessTokenResponse.of(opened.access)
            return replace(
                told,
                access_token=access.access_token,
                token_type=access.token_type,
                expires_in=access.expires_in,
            )
        return replace(told, linked=True)

    def without_refresh_token(self) -> OidcResult:
        """Return the same for those whose refresh token is in a cookie."""
        return replace(self, refresh_token=None)

    def as_query(self) -> dict[str, str]:
        """Return what there is, as texts; the ids of a list are separated by blanks."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: _as_text(value) for name, value in found.items() if value is not None}


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEvent:
    """An event of an account, as its user may see it (``AuthSessionEvent.for_subject``)."""

    id: int
    occurred_at: datetime
    event: str
    session_id: str | None
    method: str | None
    reason: str | None
    ip: str | None
    ua: str | None

    @classmethod
    def of(cls, event: AuthSessionEvent) -> AccountEvent:
        """Return the event as its user may see it."""
        event = event.for_subject()
        return cls(
            id=event.id,
            occurred_at=event.occurred_at,
            event=event.event,
            session_id=event.session_id or None,
            method=event.method,
            reason=event.reason,
            ip=event.ip_addr,
            ua=event.user_agent,
        )
