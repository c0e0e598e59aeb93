"""What refuses a login although its password is right: one rule, for logins and for explanations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal, Protocol

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.domains.credentials.identifier import By
from authkit_issuer.domains.credentials.queries import Credential

Obstacle = Literal["deleted", "banned", "password_reset_required", "email_not_verified", "phone_not_verified"]

REFUSALS: dict[Obstacle, type[errors.Unauthenticated]] = {
    "deleted": errors.UserDeleted,
    "banned": errors.UserBanned,
    "password_reset_required": errors.PasswordResetRequired,
    "email_not_verified": errors.EmailNotVerified,
    "phone_not_verified": errors.PhoneNotVerified,
}
"""How a login refuses for each obstacle."""


class DeletedAccount(Protocol):
    """What a login has read of a deleted account."""

    @property
    def auth_epoch(self) -> int:
        """The epoch of the account."""
        ...

    @property
    def deleted_at(self) -> datetime | None:
        """When the account was deleted."""
        ...

    @property
    def restorable(self) -> bool:
        """True if the owner may restore the account."""
        ...


def deleted_refusal(account: DeletedAccount, config: Config) -> errors.UserDeleted:
    """Return the refusal of a verified login to a deleted account, with when, and the end of the way back."""
    refusal = errors.UserDeleted()
    refusal.auth_epoch = account.auth_epoch
    if account.deleted_at is None:
        return refusal
    refusal.metadata.update(deleted_at=account.deleted_at.isoformat(), restorable=account.restorable)
    if account.restorable and config.deleted_user_retention is not None:
        end = account.deleted_at + timedelta(seconds=config.deleted_user_retention)
        refusal.metadata["restorable_until"] = end.isoformat()
    return refusal


def refusal_of(obstacle: Obstacle, account: Credential, config: Config) -> errors.Unauthenticated:
    """Return the refusal of a login with the right password; with the way on, where there is one."""
    if obstacle == "deleted":
        return deleted_refusal(account, config)
    refusal = REFUSALS[obstacle]()
    if obstacle == "password_reset_required":
        refusal.metadata["replaceable"] = account.must_change
    return refusal


def login_obstacle(account: Credential, config: Config, by: By) -> Obstacle | None:
    """The first obstacle, which is what a login with the right password reports; None if it succeeds."""
    return next(login_obstacles(account, config, by), None)


def login_obstacles(account: Credential, config: Config, by: By) -> Iterator[Obstacle]:
    """Yield every obstacle to a login with the right password and this kind of identifier."""
    if account.deleted:
        yield "deleted"
    if account.banned:
        yield "banned"
    if account.must_replace:
        yield "password_reset_required"
    unverified = _unverified(account, by)
    since = config.verification_enforced_since
    if unverified and config.verification_required and (since is None or account.created_at >= since):
        yield unverified


def _unverified(account: Credential, by: By) -> Obstacle | None:
    """The contact that a login by this kind of identifier must have verified first, if any."""
    if by == "email":
        return None if account.email_verified else "email_not_verified"
    if by == "phone":
        return None if account.phone_verified else "phone_not_verified"
    # By name or id one verified contact is enough; a user without a contact cannot verify one.
    if account.email_verified or account.phone_verified:
        return None
    if account.email is not None:
        return "email_not_verified"
    return None if account.phone_number is None else "phone_not_verified"
