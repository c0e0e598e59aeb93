"""Bans, deletion and recovery."""

from __future__ import annotations

from authkit_issuer.errors.categories import Conflict, Invalid


class InvalidUntil(Invalid):
    """The end of a ban is not in the future, or says no time zone."""

    code = "invalid_until"
    default = "The end of a ban must be a moment in the future."


class AccountNotActive(Conflict):
    """The account is banned or deleted, which a recovery does not change."""

    code = "account_not_active"
    default = "The account is banned or deleted; lift the ban or restore the account first."
