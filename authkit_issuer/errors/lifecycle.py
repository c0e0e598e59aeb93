"""Bans and deletion."""

from __future__ import annotations

from authkit_issuer.errors.categories import Invalid


class InvalidUntil(Invalid):
    """The end of a ban is not in the future, or says no time zone."""

    code = "invalid_until"
    default = "The end of a ban must be a moment in the future."
