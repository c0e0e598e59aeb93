"""The words of the audit trail: event types, revoke reasons, the event, and the place where a page ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

MAX_READ = 500
"""Events that a program reads at once, at most."""


class SessionEventType(StrEnum):
    """What happened. The first five are the historic ones that sinks may already know."""

    SESSION_CREATED = "session_created"
    SESSION_REVOKED = "session_revoked"
    SESSION_FAILED = "session_failed"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RECOVERY = "password_recovery"

    SESSION_REFRESH_SHARED = "session_refresh_shared"
    """A rotated refresh token was forgiven although it came from another address or user agent."""
    REFRESH_TOKEN_FORGED = "refresh_token_forged"
    """A refresh token with a valid MAC and a nonce that is not the session's: the MAC key may have leaked."""
    USER_CREATED = "user_created"
    USER_UPDATED = "user_updated"
    USER_RENAMED = "user_renamed"
    USER_EMAIL_CHANGED = "user_email_changed"
    USER_EMAIL_VERIFIED = "user_email_verified"
    """Somebody vouched for the address, or withdrew that (``data.verified``)."""
    CONTACT_VERIFIED = "contact_verified"
    """The owner proved the address or number (``method``)."""
    CONTACT_DENIED = "contact_denied"
    """The owner of the address followed a verification link and said that the account is another person's."""
    CONTACT_CHANGE_REQUESTED = "contact_change_requested"
    CONTACT_CHANGED = "contact_changed"
    """The owner proved a new address or number, which has replaced the old one."""
    USER_BANNED = "user_banned"
    USER_UNBANNED = "user_unbanned"
    USER_SOFT_DELETED = "user_soft_deleted"
    USER_ERASURE_REQUESTED = "user_erasure_requested"
    USER_RESTORED = "user_restored"
    USER_RECOVERED = "user_recovered"
    """An operator gave the account back to its owner by a new contact (``method``); the ways in from before
    are dropped."""
    USER_DELETED = "user_deleted"
    """The account is gone for good."""
    USER_ANONYMISED = "user_anonymised"
    """Addresses, user agents and details were wiped from the user's events."""
    ROLE_ASSIGNED = "role_assigned"
    ROLE_REMOVED = "role_removed"
    PROVIDER_LINKED = "provider_linked"
    PROVIDER_UNLINKED = "provider_unlinked"
    """A login is the user's no more; with the reason ``replaced`` another of its issuer took its place."""
    PROVIDER_CONFIRMED = "provider_confirmed"
    """The owner confirmed a frozen login, which signs in again."""
    LOGINS_FROZEN = "logins_frozen"
    """The owner proved a contact for the first time: logins and the second factor from before are frozen."""
    PASSWORD_REMOVED = "password_removed"
    """The owner proved a contact for the first time, without a password: the one from before is gone."""
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    """Removed by its owner or, with an ``actor``, by an operator."""
    PASSKEY_CONFIRMED = "passkey_confirmed"
    """The owner confirmed a frozen passkey, which signs in again."""
    PASSKEY_COUNTER_REGRESSED = "passkey_counter_regressed"
    """The counter of a passkey did not rise, as that of a copy: the passkey is suspended."""
    TWO_FACTOR_ENABLED = "two_factor_enabled"
    TWO_FACTOR_DISABLED = "two_factor_disabled"
    """Switched off by its owner or, with an ``actor``, by an operator."""
    TWO_FACTOR_CONFIRMED = "two_factor_confirmed"
    """The owner confirmed a frozen second factor, which sign-ins require again."""
    SECOND_FACTOR_ADDED = "second_factor_added"
    """The owner added a factor (``method`` is its kind) beside another one."""
    SECOND_FACTOR_REMOVED = "second_factor_removed"
    """A factor was removed, and another one is left."""
    SECOND_FACTOR_CHANGED = "second_factor_changed"
    """Another factor is the default one."""
    RECOVERY_REQUESTED = "recovery_requested"
    """A sign-in whose second factors are lost (``method``) asked to go on without them, after a wait."""
    RECOVERY_CANCELLED = "recovery_cancelled"
    """By the token of a notice, from a session, or by a proof of a second factor (``method``)."""
    RECOVERY_COMPLETED = "recovery_completed"
    """The wait is over: second factors and passkeys are gone, and every session has ended."""
    DEVICES_FORGOTTEN = "devices_forgotten"
    """No device remembers the second factor any longer; with a target, this one does not."""
    TWO_FACTOR_BACKUP_CODE_USED = "two_factor_backup_code_used"
    TWO_FACTOR_BACKUP_CODES_MADE = "two_factor_backup_codes_made"
    CODES_GUESSED = "codes_guessed"
    """Ten, or a hundred, wrong codes in a row (``data.tries``) for one purpose (``method``)."""
    SMS_UNUSED = "sms_unused"
    """Few codes of the SMS of an hour or two were used (``data.sent``, ``data.used``), as if bots asked."""
    SESSION_STEPPED_UP = "session_stepped_up"
    """The owner of a session proved again who they are."""
    ORG_CREATED = "org_created"
    ORG_RENAMED = "org_renamed"
    ORG_DELETED = "org_deleted"
    """The organization is found no more; with the reason ``purged`` it is gone, and its names are free."""
    ORG_POLICY_CHANGED = "org_policy_changed"
    """The organization requires a second factor of its members, or no longer does."""
    ORG_ROLE_DEFINED = "org_role_defined"
    ORG_ROLE_DELETED = "org_role_deleted"
    """The role is gone from the organization and from the members who held it (``data.members``)."""
    ORG_MEMBER_ADDED = "org_member_added"
    ORG_MEMBER_REMOVED = "org_member_removed"
    ORG_ROLE_ASSIGNED = "org_role_assigned"
    ORG_ROLE_UNASSIGNED = "org_role_unassigned"
    ORG_INVITE_CREATED = "org_invite_created"
    ORG_INVITE_ANSWERED = "org_invite_answered"
    """Accepted, declined or revoked (``reason``)."""
    WEBHOOK_ADDED = "webhook_added"
    """An operator added an endpoint (``target``); the ``host`` of its URL is in the data."""
    WEBHOOK_REMOVED = "webhook_removed"
    WEBHOOK_ENABLED = "webhook_enabled"
    WEBHOOK_DISABLED = "webhook_disabled"
    WEBHOOK_SECRET_ROTATED = "webhook_secret_rotated"
    WEBHOOK_REPLAYED = "webhook_replayed"
    """An operator had events sent again."""


class SessionRevokeReason(StrEnum):
    """Why a session ended."""

    UNKNOWN = ""
    LOGOUT = "logout"
    USER_REVOKE = "user_revoke"
    USER_REVOKE_ALL = "user_revoke_all"
    ADMIN_REVOKE = "admin_revoke"
    ADMIN_REVOKE_ALL = "admin_revoke_all"
    PASSWORD_CHANGE = "password_change"
    ADMIN_SET_PASSWORD = "admin_set_password"
    USER_DISABLED = "user_disabled"
    BANNED = "banned"
    SOFT_DELETED = "soft_deleted"
    CONTACT_CHANGE = "contact_change"
    CONTACT_DENIED = "contact_denied"
    CONTACT_PROVED = "contact_proved"
    FACTOR_CHANGE = "factor_change"
    RECOVERED = "recovered"
    EVICTED = "evicted"
    REFRESH_REUSE_DETECTED = "refresh_reuse_detected"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSessionEvent:
    """One row of the audit trail.

    ``id`` is stable and unique: sinks receive an event at least once, and use it to drop repeats.
    ``actor`` is who acted when that is not the user, ``target`` what was acted on, ``data`` further facts.
    ``for_subject`` says what the user may see of it.
    """

    id: int
    occurred_at: datetime
    issuer: str
    user_id: str
    session_id: str
    event: str
    method: str | None = None
    reason: str | None = None
    ip_addr: str | None = None
    user_agent: str | None = None
    actor: str | None = None
    target: str | None = None
    data: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def place(self) -> str:
        """The place of the event among the others, for ``event_place``; pages of events continue there."""
        return f"{(self.occurred_at - _EPOCH) // datetime.resolution}.{self.id}"

    def impersonal(self) -> AuthSessionEvent:
        """Return the event without IP address, user agent, details and operators' reasons."""
        return replace(self, ip_addr=None, user_agent=None, data={}, reason=reason_code(self))

    def for_subject(self) -> AuthSessionEvent:
        """Return the event as its user may see it; every list and export for the user shows this.

        Of another person's act it has neither who acted and from where, nor free text: an operator's reason
        is written for operators.
        """
        if self.actor is None or self.actor == self.user_id:
            return self
        return replace(
            self,
            ip_addr=None,
            user_agent=None,
            actor=ANOTHER_ACTOR,
            reason=reason_code(self),
            data={name: value for name, value in self.data.items() if name in _FACTS_ABOUT_THE_USER},
        )


def reason_code(event: AuthSessionEvent) -> str | None:
    """Return the reason, or None if it may be what another person wrote about the user.

    ``ANONYMISE`` of the audit trail has the same rule.
    """
    written = event.actor is not None and event.actor != event.user_id
    return None if written and event.reason not in REASON_CODES else event.reason


PLACE = r"^(\d{1,17}\.\d{1,18})?$"
"""The form of ``AuthSessionEvent.place``, or nothing."""


def event_place(text: str) -> tuple[datetime, int]:
    """Return time and id of a ``place``; for ``""`` what no event is after. Raises ``ValueError``."""
    if not text:
        return _AFTER_ALL
    micros, _, number = text.partition(".")
    try:
        return _EPOCH + int(micros) * datetime.resolution, min(int(number), _AFTER_ALL[1])
    except OverflowError as error:
        raise ValueError("beyond the times that exist") from error


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AFTER_ALL = (datetime.max.replace(tzinfo=UTC), 2**63 - 1)
CONTACT_OWNER = "contact_owner"
"""The ``actor`` of what the owner of an email address did to another person's account."""
HOST = "host"
"""The ``actor`` of a ban that no operator is named for: it is never the user's own act."""
ANOTHER_ACTOR = "another"
"""The ``actor`` that a user sees in place of an operator's or member's id."""
REASON_CODES = frozenset({*SessionRevokeReason, "accepted", "declined", "revoked", "replaced", "lapsed"})
_FACTS_ABOUT_THE_USER = frozenset(
    {"before", "after", "until", "verified", "fields", "slug", "roles", "invite", "members"}
)
"""Data of an event that the user may see, even if another person acted; the rest stays with operators."""
