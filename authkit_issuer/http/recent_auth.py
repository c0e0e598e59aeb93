"""Recent authentication: before sensitive operations, and before a way in changes (OWASP ASVS 7.5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authkit_issuer.http.errors import InvalidPassword, StepUpRequired

if TYPE_CHECKING:
    from authkit_issuer.domains.sessions.service import AuthenticatedSession
    from authkit_issuer.http.operations import Call
    from authkit_issuer.service import Service


async def require_recent_auth(service: Service, account: AuthenticatedSession) -> None:
    """Raise ``StepUpRequired`` unless the session's last proof is recent enough (``step_up_max_age``).

    Where the second factor is on, it must have been part of the proof, unless it is a code to the contact
    that the user signed in with, which proves no more. So must the passkey where that is the second factor
    which a role or an organization of the user requires. The age is the database's word, so that clocks which
    disagree open nothing.
    """
    longest = service.config.step_up_max_age
    two_factor = account.two_factor and not account.has_same_contact_alone
    proved = "mfa" in account.amr or not (two_factor or account.needs_passkey)
    if account.auth_age <= longest and proved:
        return
    methods = await service.logins.step_up_methods(account.id)
    if account.needs_passkey:
        methods = [method for method in methods if method == "passkey"]
    refusal = StepUpRequired(metadata={"methods": methods})
    refusal.max_age = int(longest)
    refusal.metadata["max_age_seconds"] = int(longest)
    raise refusal


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
        await require_recent_auth(call.service, call.account)


async def require_recent_auth_for_member(call: Call[Any, Any], user_id: str) -> None:
    """Require a recent authentication before an owner of the organization is removed.

    Raises ``StepUpRequired``.
    """
    for role in await call.service.org_members.list_roles(call.organization.slug, user_id):
        await require_recent_auth_for_role(call, role)


async def require_recent_auth_unless(call: Call[Any, Any], password: str | None) -> None:
    """Require a recent authentication, unless the request has a password that its handler verifies.

    A user with a second factor must have proved it recently, password or not. So must one with a passkey,
    where a second factor is required. An account without a password has none to verify.

    Raises ``StepUpRequired``.
    """
    account = call.account
    required = call.service.config.two_factor_policy == "required" and account.has_second_factor
    by_factor = account.two_factor or account.needs_passkey or required
    if password is None or by_factor or not account.has_password:
        await require_recent_auth(call.service, account)
