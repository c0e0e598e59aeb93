"""The rows and the SQL of access tokens."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from authkit_issuer.store.predicates import ALLOWED, NO_AMR, has_second_factor
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
    has_second_factor: bool = False
    """As ``two_factor_required_roles`` and organizations require it."""

    def counted_roles(self, requiring: Collection[str]) -> list[str]:
        """The roles that count: those of ``two_factor_required_roles`` only with a second factor."""
        if self.has_second_factor or not requiring:
            return self.roles
        return [role for role in self.roles if role not in requiring]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgGrant:
    """The claims about an organization: its id, its current slug and the user's roles there."""

    id: str
    slug: str
    roles: list[str]


_FACTS = """
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


def fact_columns(amr: str) -> str:
    """Return the columns of ``TokenFacts`` for the user ``u`` of a session with these authentication methods.

    ``amr`` is SQL. The columns are scalars, so no join multiplies the row.
    """
    return f"{_FACTS}, {has_second_factor(amr)} as has_second_factor"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFacts(TokenFacts):
    """The claims about the user, and whether the user may act now."""

    allowed: bool


USER_FACTS = Query(
    UserFacts,
    f"select {fact_columns(NO_AMR)}, {ALLOWED} as allowed from profiles.users u where u.id = $1::uuid",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Whether a user is a member of an organization, and the user's roles there."""

    is_member: bool
    lacks_factor: bool
    """The organization requires a second factor, and the user has none."""
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


def lacks_org_factor(org: str, amr: str) -> str:
    """Return SQL that is true if an organization requires a second factor that the user ``u`` does not have.

    ``amr`` is the SQL of the authentication methods of the session.
    """
    required = f"(select o.two_factor_required from profiles.orgs o where o.id = {org})"
    return f"(coalesce({required}, true) and not {has_second_factor(amr)})"


MEMBERSHIP = Query(
    Membership,
    f"""
    select {IS_MEMBER.format(org="$2::uuid")} as is_member,
           {lacks_org_factor("$2::uuid", "$3::text[]")} as lacks_factor,
           {ORG_ROLES.format(org="$2::uuid")} as roles
    from profiles.users u where u.id = $1::uuid
    """,
)
