"""Why a user cannot sign in, or was signed out: read from the account, its counters and its events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.domains.accounts.service import User
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.contacts import EMAIL, PHONE, ContactKind, signs_in
from authkit_issuer.domains.base.login_issuers import login_issuers
from authkit_issuer.domains.credentials.identifier import By, Identifier
from authkit_issuer.domains.credentials.login_attempts import LOGIN, USER, LoginAttempts
from authkit_issuer.domains.credentials.obstacles import Obstacle, login_obstacles
from authkit_issuer.domains.credentials.queries import BY_ID, Credential
from authkit_issuer.domains.recovery.service import Recovery
from authkit_issuer.event_types import AuthSessionEvent, SessionEventType, SessionRevokeReason
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import PASSKEY_SIGNS_IN
from authkit_issuer.store.query import Query

OFFERED_LOGINS = Query(
    int,
    f"""
    select (
        select count(*) from profiles.user_providers l
        where l.user_id = $1::uuid and l.issuer = any($2::text[]) and l.frozen_at is null
    )::int + (
        select count(*) from profiles.passkeys k where $3 and k.user_id = $1::uuid and {PASSKEY_SIGNS_IN}
    )::int
    """,
)
"""How many linked logins of the given providers a user has, and passkeys where passkeys are on."""


RECENT = 50
"""How many events are read."""


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
    """What refuses a user's logins now, and what ended their sessions and refused their logins recently.

    ``can_sign_in`` is False if an obstacle refuses every login, whatever its proof. A wait after failed
    logins does not count: it ends by itself, and known devices need not wait.
    """

    user_id: str
    can_sign_in: bool
    obstacles: tuple[Finding, ...]
    endings: tuple[Finding, ...]
    refusals: tuple[Finding, ...] = field(default=())


_ALWAYS = {"deleted_for_good", "soft_deleted", "banned", "no_way_to_sign_in"}
_FOR_PASSWORDS = {"password_reset_required", "not_verified"}
"""Obstacles to passwords alone; a provider's login still signs in."""
_UNVERIFIED: frozenset[Obstacle] = frozenset({"email_not_verified", "phone_not_verified"})
_NAMES: dict[By, str] = {"email": "email address", "phone": "phone number"}

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
    SessionRevokeReason.FACTOR_CHANGE: (
        "A second factor, a login or a wallet was added or removed, which ends the other sessions.",
        "factor_change_ends_sessions",
    ),
    SessionRevokeReason.CONTACT_DENIED: (
        "The owner of the email address said that the account is another person's.",
        "verification.deny_email_link",
    ),
    SessionRevokeReason.RECOVERED: (
        "The account was recovered, which ends every session.", "lifecycle.recover, recovery",
    ),
    SessionRevokeReason.CONTACT_PROVED: (
        "The owner of the address or number proved it for the first time, which ends every session.",
        "passwordless",
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
"""The sentence for each identifier, and for the account itself, after too many wrong passwords."""


async def explain_user(rt: Runtime, user_id: str, user: User | None) -> UserExplanation:
    """Return the explanation; raises ``UserNotFound`` if neither the user nor any event is known."""
    events = await Events(rt).list_session_events(user_id, limit=RECENT)
    if user is None and not events:
        raise errors.UserNotFound
    passkeys = rt.config.webauthn_rp_id is not None
    account = await rt.maybe(BY_ID, user_id)
    logins = await rt.one(OFFERED_LOGINS, user_id, login_issuers(rt.config), passkeys)
    if user is None or account is None:
        obstacles = [
            Finding(
                code="deleted_for_good",
                sentence="The account was deleted for good.",
                rule="lifecycle.hard_delete",
                events=_of(events, SessionEventType.USER_DELETED),
            )
        ]
    else:
        logins += len([kind for kind, held in _contacts(account) if held and signs_in(rt, kind)])
        obstacles = [
            *_obstacles(rt.config, user, account, logins, events),
            *await _recovery(rt, user_id, events),
            *await _waits(rt, user),
        ]
    codes = {finding.code for finding in obstacles}
    return UserExplanation(
        user_id=user_id,
        can_sign_in=not codes & _ALWAYS and not (codes & _FOR_PASSWORDS and not logins),
        obstacles=tuple(obstacles),
        endings=tuple(_endings(events)),
        refusals=tuple(_refusals(events)),
    )


def _contacts(account: Credential) -> tuple[tuple[ContactKind, str | None], ...]:
    return (EMAIL, account.email), (PHONE, account.phone_number)


def _ban(user: User, events: list[AuthSessionEvent]) -> Finding:
    until = f" until {user.banned_until.isoformat()}" if user.banned_until else ""
    reason = f": {user.ban_reason}" if user.ban_reason else ""
    return Finding(
        code="banned",
        sentence=f"The account is banned{until}{reason}.",
        rule="lifecycle.ban",
        at=user.banned_at,
        events=_of(events, SessionEventType.USER_BANNED),
    )


def _obstacles(
    config: Config, user: User, account: Credential, logins: int, events: list[AuthSessionEvent]
) -> Iterator[Finding]:
    """Yield what the account itself refuses, by the rule that logins follow."""
    by_identifier = _by_identifier(account, config)
    always: set[Obstacle] = set.intersection(*by_identifier.values())
    if "deleted" in always:
        yield Finding(
            code="soft_deleted",
            sentence="The account is deleted and can be restored until it is purged.",
            rule="lifecycle.soft_delete",
            at=user.deleted_at,
            events=_of(events, SessionEventType.USER_SOFT_DELETED),
        )
    if "banned" in always:
        yield _ban(user, events)
    if account.stored is None and not logins:
        yield Finding(
            code="no_way_to_sign_in",
            sentence="The account has no password, no passkey, no contact that signs in, and no login of a "
            "provider that is offered.",
            rule="passwords.has, passkeys.list_for_user, providers.count, passwordless.offers",
        )
    if "password_reset_required" in always:
        yield Finding(
            code="password_reset_required",
            sentence="The password must be replaced before it signs in.",
            rule="passwords.admin_set(must_change=True) or an imported account",
        )
    yield from _unverified(by_identifier)
    if account.two_factor:
        yield Finding(
            code="second_factor",
            sentence="Each sign-in requires a second factor.",
            rule="two_factor.enable",
        )


async def _recovery(rt: Runtime, user_id: str, events: list[AuthSessionEvent]) -> list[Finding]:
    """Return the open recovery, which changes what a sign-in requires once its wait is over."""
    found = await Recovery(rt).get(user_id)
    if found is None:
        return []
    when = f"from {found.completes_at.isoformat()} until {found.expires_at.isoformat()}"
    return [
        Finding(
            code="recovery_open",
            sentence=f"A recovery is open: a sign-in {when} may drop every second factor.",
            rule="recovery_delay",
            at=found.started_at,
            events=_of(events, SessionEventType.RECOVERY_REQUESTED),
        )
    ]


def _unverified(by_identifier: Mapping[By, set[Obstacle]]) -> Iterator[Finding]:
    refused: list[By] = [by for by, obstacles in by_identifier.items() if obstacles & _UNVERIFIED]
    if len(refused) == len(by_identifier):
        yield Finding(
            code="not_verified",
            sentence="No contact of the account is verified, and until then its password does not sign in.",
            rule="verification_required",
        )
        return
    for by in refused:
        yield Finding(
            code="identifier_not_verified",
            sentence=f"The password does not sign in with the {_NAMES[by]} until that is verified.",
            rule="verification_required",
        )


def _by_identifier(account: Credential, config: Config) -> dict[By, set[Obstacle]]:
    """The obstacles of a login by each identifier of the account."""
    return {by: set(login_obstacles(account, config, by)) for by in _identifiers(account)}


def _identifiers(account: Credential) -> tuple[By, ...]:
    """The kinds of identifier that the account can sign in with; the user id is for hosts."""
    held: tuple[tuple[By, str | None], ...] = (
        ("email", account.email),
        ("phone", account.phone_number),
        ("username", account.username),
    )
    return tuple(by for by, text in held if text) or ("user_id",)


async def _waits(rt: Runtime, user: User) -> list[Finding]:
    """Return what failed logins refuse for now, or that the counters cannot be read."""
    rule = "login_failure_limit, login_failure_window"
    held: tuple[tuple[By, str | None], ...] = (
        ("email", user.email),
        ("phone", user.phone_number),
        ("username", user.username),
    )
    subjects: list[tuple[By, LoginAttempts]] = [
        (by, LoginAttempts(rt, LOGIN, f"{by}|{Identifier.typed(by, text).text}")) for by, text in held if text
    ]
    subjects.append(("user_id", LoginAttempts(rt, USER, user.id)))
    try:
        waits: list[tuple[By, int]] = [
            (by, math.ceil(await attempts.retry_after())) for by, attempts in subjects
        ]
    except errors.EphemeralStoreUnavailable:
        sentence = "It is unknown if failed logins make the account wait: the store does not answer."
        return [Finding(code="failed_logins_unknown", sentence=sentence, rule=rule)]
    return [
        Finding(code="failed_logins", sentence=_WAITING[by].format(seconds), rule=rule)
        for by, seconds in waits
        if seconds
    ]


def _endings(events: list[AuthSessionEvent]) -> Iterable[Finding]:
    for event in _of(events, SessionEventType.SESSION_REVOKED):
        sentence, rule = _ENDINGS.get(event.reason or "", ("The session ended for an unknown reason.", ""))
        yield Finding(
            code=event.reason or "unknown",
            sentence=sentence,
            rule=rule,
            at=event.occurred_at,
            # Further events of that session: the sign-in, and the reuse of a refresh token.
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
