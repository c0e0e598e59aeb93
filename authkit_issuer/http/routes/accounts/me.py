"""The caller's own account."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authkit_issuer import errors
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.login_issuers import wallet_issuer
from authkit_issuer.domains.orgs.members import OrgMembership
from authkit_issuer.domains.sessions.service import Account, AuthenticatedSession
from authkit_issuer.domains.signup.contact_changes import PendingContacts
from authkit_issuer.http.operations import (
    Auth,
    Limit,
    Plain,
    with_orgs,
    with_wallets,
)
from authkit_issuer.http.route_groups import Routes

if TYPE_CHECKING:
    from authkit_issuer.domains.accounts.external_identities import LinkedProvider
    from authkit_issuer.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Me(Account):
    """The account, the session that asks, and the names of what the user may use now.

    ``orgs`` is null in single mode. Pending contacts wait for their proof; they are also null while they
    cannot be read.
    """

    entitlements: list[str]
    solana_address: str | None
    linked_providers: list[str]
    enabled_providers: list[str]
    orgs: list[OrgMembership] | None
    pending_email: str | None
    pending_phone_number: str | None


_FIELDS = tuple(entry.name for entry in dataclasses.fields(Account))


routes = Routes(tag="account", auth=Auth.USER, limit=Limit(bucket="auth_user_me"))


@routes.get("/auth/user/me", "Your account and session", calls=(Entitlements.list_names,))
async def get_me(call: Plain) -> Me:
    """Tell the caller about themselves."""
    return await _me(call.service, call.account)


async def _me(service: Service, account: AuthenticatedSession) -> Me:
    pending = await _pending(service, account.id)
    links = await service.providers.list_for_user(account.id) if account.has_logins else []
    return Me(
        **{name: getattr(account, name) for name in _FIELDS},
        **_logins(service, links),
        entitlements=await service.entitlements.list_names(account.id),
        orgs=await service.org_members.list_memberships(account.id) if with_orgs(service) else None,
        pending_email=pending.email,
        pending_phone_number=pending.phone_number,
    )


def _logins(service: Service, links: list[LinkedProvider]) -> dict[str, Any]:
    """Return which external logins are linked, and which may be."""
    enabled = {*service.config.providers, *(["solana"] if with_wallets(service) else [])}
    wallets = wallet_issuer(service.config)
    return {
        "solana_address": next(
            (link.subject for link in links if link.issuer == wallets and not link.frozen),
            None,
        ),
        "linked_providers": sorted({link.provider_slug or link.issuer for link in links}),
        "enabled_providers": sorted(enabled),
    }


async def _pending(service: Service, user_id: str) -> PendingContacts:
    try:
        return await service.contact_changes.list_pending(user_id)
    except errors.EphemeralStoreUnavailable:
        # No decision depends on it, and the rest of the response is available.
        return PendingContacts()
