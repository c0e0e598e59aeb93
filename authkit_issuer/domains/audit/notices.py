"""Which events send the owner of the account a notice, and which do not.

``NOTICES`` and ``SILENT`` together name every event type. An event that opens, closes or changes a way into
an account has a notice, because its owner may not be the person who caused it (OWASP ASVS 5.0, 6.3.7).
``Events.notify_owner`` sends the notices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from authkit_issuer.config import Config
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """What the rules of the table decide by: the facts of one event."""

    method: str | None = None
    reason: str | None = None
    actor: str | None = None
    target: str | None = None
    data: Mapping[str, object] = field(default_factory=dict[str, object])
    client: Client | None = None
    """The client whose request it was."""


def _always(_: Occurrence) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message to the owner.

    Args:
        kind: The stable word that the sender gets, such as ``email_changed``.
        when: True for the occurrences of the event that send it.
        to: The member of the event's data that has the address; None for the account's own address.
        to_org_owners: Send it to every owner of the organization that is the event's target.
        by_other: The client at hand may be an attacker's, whose language the email must not use.
        verified_only: Send it to a verified address only.
        enabled: False for a deployment that has switched the notice off.

    """

    kind: str
    when: Callable[[Occurrence], bool] = _always
    to: str | None = None
    to_org_owners: bool = False
    by_other: bool = False
    verified_only: bool = False
    enabled: Callable[[Config], bool] = lambda _: True


def _by_method(method: str) -> Callable[[Occurrence], bool]:
    return lambda occurrence: occurrence.method == method


def _by_reason(reason: str) -> Callable[[Occurrence], bool]:
    return lambda occurrence: occurrence.reason == reason


def _of_an_owner(occurrence: Occurrence) -> bool:
    """True if the role ``owner`` was given or taken, but for the first owner, the founder."""
    roles = occurrence.data.get("roles")
    return isinstance(roles, list) and "owner" in roles and occurrence.reason != "founded"


def _few_codes(occurrence: Occurrence) -> bool:
    left = occurrence.data.get("left")
    return isinstance(left, int) and left <= 2


_OWNER_ADDED = Notice(kind="org_owner_added", when=_of_an_owner, to_org_owners=True)
# The former owner is none of those who are left.
_OWNER_REMOVED = (
    Notice(kind="org_owner_removed", when=_of_an_owner),
    Notice(kind="org_owner_removed", when=_of_an_owner, to_org_owners=True),
)
_E = SessionEventType
NOTICES: Mapping[SessionEventType, tuple[Notice, ...]] = {
    _E.SESSION_CREATED: (
        Notice(
            kind="new_device",
            when=lambda occurrence: bool(occurrence.data.get("new_device")),
            by_other=True,
            verified_only=True,
            enabled=lambda config: config.new_device_notices,
        ),
    ),
    _E.SESSION_REVOKED: (
        Notice(kind="session_evicted", when=_by_reason(SessionRevokeReason.EVICTED), by_other=True),
        Notice(
            kind="session_replayed",
            when=_by_reason(SessionRevokeReason.REFRESH_REUSE_DETECTED),
            by_other=True,
        ),
    ),
    _E.SESSION_REFRESH_SHARED: (Notice(kind="session_shared", by_other=True),),
    # An import moves accounts; it is no act on one of them.
    _E.PASSWORD_CHANGED: (
        Notice(kind="password_changed", when=lambda occurrence: occurrence.method != "import"),
    ),
    _E.USER_RENAMED: (Notice(kind="username_changed"),),
    _E.USER_EMAIL_CHANGED: (
        Notice(kind="email_changed", to="before"),
        Notice(
            kind="two_factor_email_changed",
            when=lambda occurrence: bool(occurrence.data.get("two_factor")),
            to="after",
        ),
    ),
    _E.CONTACT_VERIFIED: (Notice(kind="phone_verified", when=_by_method("phone")),),
    _E.CONTACT_CHANGE_REQUESTED: (
        Notice(kind="email_change_requested", when=_by_method("email")),
        Notice(kind="phone_change_requested", when=_by_method("phone")),
    ),
    _E.CONTACT_CHANGED: (
        # The old address may be the only one that still reaches the rightful owner.
        Notice(kind="email_changed", when=_by_method("email"), to="before"),
        Notice(
            kind="two_factor_email_changed",
            when=lambda occurrence: bool(occurrence.data.get("two_factor")),
            to="after",
        ),
        Notice(kind="phone_changed", when=_by_method("phone")),
    ),
    _E.USER_BANNED: (Notice(kind="account_banned"),),
    _E.USER_UNBANNED: (Notice(kind="account_unbanned"),),
    _E.USER_SOFT_DELETED: (Notice(kind="account_deleted"),),
    _E.USER_ERASURE_REQUESTED: (Notice(kind="erasure_requested"),),
    _E.USER_RESTORED: (Notice(kind="account_restored"),),
    _E.USER_DELETED: (Notice(kind="account_erased"),),
    # The new contact gets the reset; ``lifecycle.recovery`` texts the former number.
    _E.USER_RECOVERED: (Notice(kind="account_recovered", to="former_email"),),
    _E.ROLE_ASSIGNED: (Notice(kind="role_assigned"),),
    _E.ROLE_REMOVED: (Notice(kind="role_removed"),),
    _E.PROVIDER_LINKED: (Notice(kind="provider_linked"),),
    _E.PROVIDER_UNLINKED: (
        # A replaced login is in the notice of the login that took its place.
        Notice(kind="provider_unlinked", when=lambda occurrence: occurrence.reason != "replaced"),
    ),
    _E.PROVIDER_CONFIRMED: (Notice(kind="provider_linked"),),
    _E.PASSKEY_ADDED: (Notice(kind="passkey_added"),),
    _E.PASSKEY_REMOVED: (Notice(kind="passkey_removed"),),
    _E.PASSKEY_CONFIRMED: (Notice(kind="passkey_added"),),
    _E.PASSKEY_COUNTER_REGRESSED: (Notice(kind="passkey_suspended", by_other=True),),
    _E.LOGINS_FROZEN: (Notice(kind="logins_frozen"),),
    _E.PASSWORD_REMOVED: (Notice(kind="password_removed"),),
    _E.TWO_FACTOR_CONFIRMED: (Notice(kind="two_factor_enabled"),),
    _E.CODES_GUESSED: (Notice(kind="codes_guessed", by_other=True),),
    _E.TWO_FACTOR_ENABLED: (Notice(kind="two_factor_enabled"),),
    _E.TWO_FACTOR_DISABLED: (Notice(kind="two_factor_disabled"),),
    _E.SECOND_FACTOR_ADDED: (Notice(kind="second_factor_added"),),
    _E.SECOND_FACTOR_REMOVED: (Notice(kind="second_factor_removed"),),
    _E.SECOND_FACTOR_CHANGED: (Notice(kind="second_factor_changed"),),
    _E.TWO_FACTOR_BACKUP_CODE_USED: (
        Notice(kind="two_factor_backup_code_used", when=lambda occurrence: not _few_codes(occurrence)),
        Notice(kind="two_factor_backup_codes_low", when=_few_codes),
    ),
    _E.TWO_FACTOR_BACKUP_CODES_MADE: (Notice(kind="two_factor_backup_codes_made"),),
    _E.ORG_RENAMED: (Notice(kind="org_renamed", to_org_owners=True),),
    _E.ORG_DELETED: (
        Notice(kind="org_deleted", when=lambda occurrence: occurrence.reason != "purged", to_org_owners=True),
    ),
    # The invitation itself goes to the invitee alone, who may be an attacker's second account.
    _E.ORG_INVITE_CREATED: (
        Notice(
            kind="org_owner_invited",
            when=lambda occurrence: occurrence.data.get("role") == "owner",
            to_org_owners=True,
        ),
    ),
    _E.ORG_MEMBER_ADDED: (_OWNER_ADDED,),
    _E.ORG_MEMBER_REMOVED: _OWNER_REMOVED,
    _E.ORG_ROLE_ASSIGNED: (_OWNER_ADDED,),
    _E.ORG_ROLE_UNASSIGNED: _OWNER_REMOVED,
}
"""The notices of each event type."""

SILENT: Mapping[SessionEventType, str] = {
    _E.CONTACT_DENIED: "the owner of the address did it, and the account is another person's",
    _E.SESSION_FAILED: "nothing changed; guesses would become a flood of emails to the owner",
    _E.PASSWORD_RECOVERY: "the email or SMS of the reset is the message",
    _E.REFRESH_TOKEN_FORGED: "the session goes on; a leaked MAC key is the operator's matter",
    _E.USER_CREATED: "the welcome email is the message",
    _E.USER_UPDATED: "a biography opens nothing",
    _E.USER_EMAIL_VERIFIED: "the operator vouches for the address; the ways in stay as they are",
    _E.USER_ANONYMISED: "the account is unchanged",
    _E.SMS_UNUSED: "of the whole service, for its operator",
    _E.SESSION_STEPPED_UP: "a session that is open already was proved again",
    **dict.fromkeys(
        (_E.RECOVERY_REQUESTED, _E.RECOVERY_CANCELLED, _E.RECOVERY_COMPLETED),
        "``recovery.notices`` sends a notice to every contact, with a token that cancels",
    ),
    _E.DEVICES_FORGOTTEN: "closes a way in that the owner chose to close",
    _E.ORG_CREATED: "opens no account",
    _E.ORG_POLICY_CHANGED: "opens no account",
    _E.ORG_ROLE_DEFINED: "opens no account",
    _E.ORG_ROLE_DELETED: "opens no account",
    _E.ORG_INVITE_ANSWERED: "opens no account",
    **dict.fromkeys(
        (
            _E.WEBHOOK_ADDED,
            _E.WEBHOOK_REMOVED,
            _E.WEBHOOK_ENABLED,
            _E.WEBHOOK_DISABLED,
            _E.WEBHOOK_SECRET_ROTATED,
            _E.WEBHOOK_REPLAYED,
        ),
        "it is about no account",
    ),
}
"""The event types without a notice, and why."""

SILENT_ENDS: Mapping[SessionRevokeReason, str] = {
    SessionRevokeReason.UNKNOWN: "the host ended the session",
    SessionRevokeReason.LOGOUT: "the session itself asked for it",
    SessionRevokeReason.USER_REVOKE: "the user ended the session",
    SessionRevokeReason.USER_REVOKE_ALL: "the user ended the sessions",
    SessionRevokeReason.ADMIN_REVOKE: "the account stays as it is; the user signs in again",
    SessionRevokeReason.ADMIN_REVOKE_ALL: "the account stays as it is; the user signs in again",
    SessionRevokeReason.PASSWORD_CHANGE: "the password's own event sends a notice",
    SessionRevokeReason.ADMIN_SET_PASSWORD: "the password's own event sends a notice",
    SessionRevokeReason.USER_DISABLED: "the event of the ban or deletion sends a notice",
    SessionRevokeReason.BANNED: "the event of the ban sends a notice",
    SessionRevokeReason.SOFT_DELETED: "the event of the deletion sends a notice",
    SessionRevokeReason.CONTACT_CHANGE: "the contact's own event sends a notice",
    SessionRevokeReason.FACTOR_CHANGE: "the event of the factor or login sends a notice",
    SessionRevokeReason.CONTACT_DENIED: "the owner of the address did it",
    SessionRevokeReason.RECOVERED: "the event of the recovery sends a notice",
    SessionRevokeReason.CONTACT_PROVED: "the owner of the contact did it, by signing in",
}
"""The reasons for which a session ends without a notice, and why."""


def notices_of(event: SessionEventType, occurrence: Occurrence, config: Config) -> list[Notice]:
    """Return the notices that this occurrence of an event sends in this deployment."""
    return [notice for notice in NOTICES.get(event, ()) if notice.enabled(config) and notice.when(occurrence)]
