"""Why somebody cannot sign in, or was signed out: read from the account, its counters and the events."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from authkit_issuer import errors
from authkit_issuer.domains.accounts.service import User
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.credentials.login_attempts import LOGIN, USER, LoginAttempts
from authkit_issuer.domains.credentials.queries import By, Identifier
from authkit_issuer.domains.login.solana.service import SOLANA_PROVIDER_SLUG
from authkit_issuer.event_types import AuthSessionEvent, SessionEventType, SessionRevokeReason
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query

RECENT = 50
"""How many events are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One answer: a stable ``code``, a sentence, the rule behind it, and the events it was read from."""

    code: str
    sentence: str
    rule: str
    at: datetime | None = None
    events: tuple[AuthSessionEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserExplanation:
    """What stands in a user's way now, and what ended their sessions and refused their logins lately.

    ``can_sign_in`` is False when an obstacle refuses every login whatever is presented. A wait after failed
    logins is none of that kind: it ends by itself, and devices that the account knows are let in.
    """

    user_id: str
    can_sign_in: bool
    obstacles: tuple[Finding, ...]
    endings: tuple[Finding, ...]
    refusals: tuple[Finding, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    has_password: bool
    must_change: bool
    """There is a password, which has to be replaced first."""
    logins: int
    """Those of providers that this service offers."""
    second_factor: bool
    sessions: int
    banned: bool


STATE = Query(
    _State,
    """
    select exists (select from profiles.user_passwords p
                   where p.user_id = u.id and p.hash_algo <> 'legacy-reset-required') as has_password,
           exists (select from profiles.user_passwords p
                   where p.user_id = u.id
                     and (p.must_change or p.hash_algo = 'legacy-reset-required')) as must_change,
           (select count(*)::int from profiles.user_providers l
            where l.user_id = u.id and l.provider_slug = any($2::text[])) as logins,
           exists (select from profiles.two_factor_settings t
                   where t.user_id = u.id and t.enabled) as second_factor,
           (select count(*)::int from profiles.refresh_sessions s
            where s.user_id = u.id and s.revoked_at is null
              and (s.expires_at is null or s.expires_at > now())) as sessions,
           u.banned_at is not null and not coalesce(u.banned_until <= now(), false) as banned
    from profiles.users u where u.id = $1::uuid
    """,
)

_ALWAYS = {"deleted_for_good", "soft_deleted", "banned", "no_way_to_sign_in"}
_FOR_PASSWORDS = {"password_reset_required", "not_verified"}
"""Obstacles that leave other ways to sign in."""

_ENDINGS: dict[str, tuple[str, str]] = {
    SessionRevokeReason.LOGOUT: ("The user signed out.", "logout"),
    SessionRevokeReason.USER_REVOKE: ("The user ended this session.", "sessions.revoke_for_user"),
    SessionRevokeReason.USER_REVOKE_ALL: ("The user signed out everywhere.", "sessions.revoke_all"),
    SessionRevokeReason.ADMIN_REVOKE: ("An operator ended this session.", "sessions.revoke"),
    SessionRevokeReason.ADMIN_REVOKE_ALL: ("An operator ended every session.", "admin.revoke_sessions"),
    SessionRevokeReason.PASSWORD_CHANGE: (
        "The password was changed, which ends the other sessions.", "passwords.change",
    ),
    SessionRevokeReason.ADMIN_SET_PASSWORD: (
        "An operator set the password, which ends every session.", "passwords.admin_set",
    ),
    SessionRevokeReason.USER_DISABLED: ("The account was disabled.", "users.is_allowed"),
    SessionRevokeReason.BANNED: ("The account was banned.", "lifecycle.ban"),
    SessionRevokeReason.SOFT_DELETED: ("The account was deleted.", "lifecycle.soft_delete"),
    SessionRevokeReason.CONTACT_CHANGE: (
        "The email address or phone number was changed.", "contact_changes",
    ),
    SessionRevokeReason.EVICTED: (
        "A newer sign-in needed room: the least recently used session ended.", "session_max_per_user",
    ),
    SessionRevokeReason.REFRESH_REUSE_DETECTED: (
        "An old refresh token came back, which means that two parties hold the session.",
        "refresh_rotation_grace",
    ),
}  # fmt: skip


_WAITING: dict[By, str] = {
    "email": "Passwords are not checked for another {} s with this email address; known devices are let in.",
    "phone": "Passwords are not checked for another {} s with this phone number; known devices are let in.",
    "username": "Passwords are not checked for another {} s with this user name; known devices are let in.",
    "user_id": "For {} s at most even the right password is refused; known devices are let in.",
}
"""What is said of each identifier, and of the account behind them, after too many wrong passwords."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explaining:
    """One question about one user."""

    rt: Runtime
    user_id: str
    user: User | None

    async def run(self) -> UserExplanation:
        """Return the answer; raises ``UserNotFound`` when nothing at all is known."""
        events = await Events(self.rt).list_session_events(self.user_id, limit=RECENT)
        if self.user is None and not events:
            raise errors.UserNotFound
        usable = sorted({*self.rt.config.provider_issuers, SOLANA_PROVIDER_SLUG})
        state = await self.rt.maybe(STATE, self.user_id, usable)
        obstacles = (*self._obstacles(state, events), *await self._waits())
        codes = {finding.code for finding in obstacles}
        return UserExplanation(
            user_id=self.user_id,
            can_sign_in=not codes & _ALWAYS and not (codes & _FOR_PASSWORDS and not (state and state.logins)),
            obstacles=obstacles,
            endings=tuple(_endings(events)),
            refusals=tuple(_refusals(events)),
        )

    def _obstacles(self, state: _State | None, events: list[AuthSessionEvent]) -> Iterable[Finding]:
        user = self.user
        if user is None or state is None:
            found = _of(events, SessionEventType.USER_DELETED)
            return [Finding(code="deleted_for_good", sentence="The account was deleted for good.",
                            rule="lifecycle.hard_delete", events=found)]  # fmt: skip
        return [*_standing(user, state, events), *self._means(user, state)]

    def _means(self, user: User, state: _State) -> Iterable[Finding]:
        if not (state.has_password or state.must_change or state.logins):
            yield Finding(
                code="no_way_to_sign_in",
                sentence="The account has neither a password nor a login of a provider that is offered.",
                rule="passwords.has, providers.count",
            )
        if state.must_change:
            yield Finding(
                code="password_reset_required",
                sentence="The password must be replaced before it opens anything.",
                rule="passwords.admin_set(must_change=True) or an imported account",
            )
        if self._must_verify(user):
            yield Finding(
                code="not_verified",
                sentence="No contact of the account is proved, and until then its password opens nothing.",
                rule="verification_required",
            )
        if state.second_factor:
            yield Finding(
                code="second_factor",
                sentence="A second factor is asked for at each sign-in.",
                rule="two_factor.enable",
            )

    async def _waits(self) -> list[Finding]:
        """Return what failed logins refuse for now, or that the counters cannot be read."""
        user, rule = self.user, "login_failure_limit, login_failure_window"
        if user is None:
            return []
        known: tuple[tuple[By, str | None], ...] = (
            ("email", user.email), ("phone", user.phone_number), ("username", user.username)
        )  # fmt: skip
        identifiers = [Identifier.typed(by, text) for by, text in known if text]
        subjects: list[tuple[By, LoginAttempts]] = [
            (one.by, LoginAttempts(self.rt, LOGIN, f"{one.by}|{one.text}")) for one in identifiers
        ]
        subjects.append(("user_id", LoginAttempts(self.rt, USER, user.id)))
        try:
            waits: list[tuple[By, int]] = [
                (by, math.ceil(await failures.left())) for by, failures in subjects
            ]
        except errors.EphemeralStoreUnavailable:
            sentence = "Whether failed logins make the account wait is not known: the store does not answer."
            return [Finding(code="failed_logins_unknown", sentence=sentence, rule=rule)]
        return [
            Finding(code="failed_logins", sentence=_WAITING[by].format(seconds), rule=rule)
            for by, seconds in waits
            if seconds
        ]

    def _must_verify(self, user: User) -> bool:
        """Tell whether passwords are refused until a contact is proved; who has none cannot prove one."""
        config, since = self.rt.config, self.rt.config.verification_enforced_since
        exempt = since is not None and user.created_at < since
        proved = user.email_verified or user.phone_verified or not (user.email or user.phone_number)
        return config.verification_required and not exempt and not proved


def _standing(user: User, state: _State, events: list[AuthSessionEvent]) -> Iterable[Finding]:
    if user.deleted_at is not None:
        yield Finding(
            code="soft_deleted",
            sentence="The account is deleted and can be restored until it is purged.",
            rule="lifecycle.soft_delete",
            at=user.deleted_at,
            events=_of(events, SessionEventType.USER_SOFT_DELETED),
        )
    if state.banned:
        until = f" until {user.banned_until.isoformat()}" if user.banned_until else ""
        reason = f": {user.ban_reason}" if user.ban_reason else ""
        yield Finding(
            code="banned",
            sentence=f"The account is banned{until}{reason}.",
            rule="lifecycle.ban",
            at=user.banned_at,
            events=_of(events, SessionEventType.USER_BANNED),
        )


def _endings(events: list[AuthSessionEvent]) -> Iterable[Finding]:
    for event in _of(events, SessionEventType.SESSION_REVOKED):
        sentence, rule = _ENDINGS.get(event.reason or "", ("The session ended; nobody said why.", ""))
        yield Finding(
            code=event.reason or "unknown",
            sentence=sentence,
            rule=rule,
            at=event.occurred_at,
            # What else was recorded of that session: the sign-in, and a refresh that was shared.
            events=tuple(other for other in events if other.session_id == event.session_id),
        )


def _refusals(events: list[AuthSessionEvent]) -> Iterable[Finding]:
    for event in _of(events, SessionEventType.SESSION_FAILED):
        yield Finding(
            code=event.reason or "unknown",
            sentence=f"A sign-in was refused with {event.reason or 'no reason'}.",
            rule=event.method or "",
            at=event.occurred_at,
            events=(event,),
        )


def _of(events: Iterable[AuthSessionEvent], kind: SessionEventType) -> tuple[AuthSessionEvent, ...]:
    return tuple(event for event in events if event.event == kind.value)
