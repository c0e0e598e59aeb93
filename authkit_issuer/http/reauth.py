"""Reauthentication before a way into the account changes (OWASP ASVS 7.5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authkit_issuer.http import guards
from authkit_issuer.http.errors import InvalidPassword

if TYPE_CHECKING:
    from authkit_issuer.http.operations import Call


async def require_password_or_recent_auth(call: Call[Any, Any], password: str | None) -> None:
    """Require the caller's password, or without one a recent authentication.

    Raises ``InvalidPassword`` for a wrong one, ``StepUpRequired`` without one, ``TooManyRequests``,
    ``ServerBusy``; as ``require_recent_auth_unless`` does for the rest.
    """
    await require_recent_auth_unless(call, password)
    passwords = call.service.passwords
    if password is not None and not await passwords.verify(call.account.id, password, client=call.client):
        raise InvalidPassword


async def require_recent_auth_for_role(call: Call[Any, Any], role: str | None) -> None:
    """Require a recent authentication before the role ``owner`` is given or taken.

    Raises ``StepUpRequired``.
    """
    if role is not None and role.strip().lower() == "owner":
        await guards.require_recent_auth(call.service, call.account)


async def require_recent_auth_for_member(call: Call[Any, Any], user_id: str) -> None:
    """Require a recent authentication before an owner of the organization is removed.

    Raises ``StepUpRequired``.
    """
    for role in await call.service.org_members.list_roles(call.organization.slug, user_id):
        await require_recent_auth_for_role(call, role)


async def require_recent_auth_unless(call: Call[Any, Any], password: str | None) -> None:
    """Require a recent authentication, unless the request has a password that its handler verifies.

    A user with a second factor must have proved it recently, password or not. An account without a password
    has none to verify. Raises ``StepUpRequired``.
    """
    account = call.account
    if password is None or account.two_factor or not account.has_password:
        await guards.require_recent_auth(call.service, account)
