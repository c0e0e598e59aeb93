"""What a front end asks first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from authkit_issuer import errors
from authkit_issuer.domains.orgs.members import OrgMembership
from authkit_issuer.http.operations import Auth, Limit, Plain, with_orgs
from authkit_issuer.http.route_groups import Routes

if TYPE_CHECKING:
    from authkit_issuer.domains.sessions.service import Account
    from authkit_issuer.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """Who the caller is and where they belong; ``personal_org`` is null where there are no organizations."""

    user_id: str
    username: str | None
    personal_org: str | None
    orgs: list[OrgMembership]
    user_aliases: list[str]
    personal_org_aliases: list[str]


routes = Routes(tag="account", auth=Auth.USER, limit=Limit(bucket="auth_user_bootstrap", by_user=True))


@routes.get("/auth/user/bootstrap", "Who you are and where you belong")
async def get_bootstrap(call: Plain) -> Bootstrap:
    """Tell a front end where the caller belongs."""
    return await _bootstrap(call.service, call.account)


async def _bootstrap(service: Service, account: Account) -> Bootstrap:
    many = with_orgs(service)
    personal, aliases = await _personal(service, account.id) if many else (None, [])
    return Bootstrap(
        user_id=account.id,
        username=account.username,
        personal_org=personal,
        orgs=await service.org_members.list_memberships(account.id) if many else [],
        user_aliases=await service.usernames.list_aliases(account.id),
        personal_org_aliases=aliases,
    )


async def _personal(service: Service, user_id: str) -> tuple[str | None, list[str]]:
    """Return the name of a user's personal organization, None when there is none, and its former names."""
    try:
        org = await service.orgs.get_personal(user_id)
    except errors.PersonalOrgNotFound:
        return None, []
    return org.slug, await service.orgs.list_aliases(org.id)
