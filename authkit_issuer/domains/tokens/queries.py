"""The rows and the SQL of access tokens."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """The claims about the user, read in one statement."""

    user_id: str
    email: str | None
    email_verified: bool
    username: str | None
    discord_username: str
    roles: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgGrant:
    """The claims about an organization: its id, its current slug and the user's roles there."""

    id: str
    slug: str
    roles: list[str]


FACT_COLUMNS = """
    u.id::text as user_id, u.email, u.email_verified, u.username,
    coalesce(u.discord_username, (
        select p.profile ->> 'username' from profiles.user_providers p
        where p.user_id = u.id and p.provider_slug = 'discord' and p.frozen_at is null
        order by p.created_at desc limit 1
    ), '') as discord_username,
    array(
        select r.slug from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id
        where ur.user_id = u.id and r.deleted_at is null order by r.slug
    ) as roles
"""
"""The columns of ``TokenFacts`` for the user ``u``; they are scalars, so no join multiplies the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFacts(TokenFacts):
    """The claims about the user, and whether the user may act now."""

    allowed: bool


USER_FACTS = Query(
    UserFacts, f"select {FACT_COLUMNS}, {ALLOWED} as allowed from profiles.users u where u.id = $1::uuid"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Whether a user is a member of an organization, and the user's roles there."""

    is_member: bool
    roles: list[str]


ORG_ROLES = """
    array(
        select r.role from profiles.org_member_roles r
        where r.org_id = {org} and r.user_id = u.id order by r.role
    )
"""
"""SQL of the roles of the user ``u`` in an organization."""

IS_MEMBER = "exists (select from profiles.org_members m where m.org_id = {org} and m.user_id = u.id)"
"""SQL that is true if the user ``u`` is a member of an organization."""

MEMBERSHIP = Query(
    Membership,
    f"""
    select {IS_MEMBER.format(org="$2::uuid")} as is_member,
           {ORG_ROLES.format(org="$2::uuid")} as roles
    from profiles.users u where u.id = $1::uuid
    """,
)
