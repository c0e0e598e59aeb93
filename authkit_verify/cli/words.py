"""What the help says of the commands, and the error of wrong arguments."""

from __future__ import annotations

VERIFY = "Check a token against its issuer's published keys; exit status 1 if it is refused."
DOCTOR = "Examine an issuer as a verifier sees it; exit status 1 for an error."


class UsageError(Exception):
    """The arguments are wrong; the message names the argument and never repeats a token."""
