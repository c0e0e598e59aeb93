"""What a signed-in caller shows again before a way into the account is changed (OWASP ASVS 7.5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authkit_issuer.http import guards
from authkit_issuer.http.errors import InvalidPassword

if TYPE_CHECKING:
    from authkit_issuer.http.operations import Call


async def require_password_or_fresh(call: Call[Any, Any], password: str | None) -> None:
    """Let those go on who give their password, or have proved lately who they are.

    Raises ``InvalidPassword`` for a wrong one, ``StepUpRequired`` without one, ``TooManyRequests``,
    ``ServerBusy``; as ``require_fresh_unless`` does for the rest.
    """
    await require_fresh_unless(call, password)
    passwords = call.service.passwords
    if password is not None and not await passwords.verify(call.account.id, password, client=call.client):
        raise InvalidPassword


async def require_fresh_unless(call: Call[Any, Any], password: str | None) -> None:
    """Raise ``StepUpRequired`` where no password comes along that somebody else checks.

    Whoever has a second factor must have proved it lately, password or not; and an account without a password
    has none that anybody could check.
    """
    account = call.account
    if password is None or account.two_factor or not account.has_password:
        await guards.require_fresh(call.service, account)
