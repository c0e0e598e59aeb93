"""Why a command ends before it does anything."""

from __future__ import annotations


class UsageError(Exception):
    """The arguments do not suffice; exit status 2."""


class NotConfirmedError(Exception):
    """The user declined; exit status 1."""
