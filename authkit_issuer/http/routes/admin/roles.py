"""Administration: the roles there are, and who holds which."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.accounts.roles import Role, Roles
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Plain,
    Text,
)
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.route_groups import Routes


class UserRole(Body):
    """A user by id, and a role by its name."""

    user_id: Text
    role: Text


class NewRole(Body):
    """A role; ``name`` is what people call it."""

    role: Text
    name: Text = ""
    description: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleList:
    """The roles that can be granted, sorted by slug."""

    data: list[Role]


_GRANT = Limit(bucket="auth_admin_roles_grant", by_user=True)
routes = Routes(tag="administration", auth=Auth.ADMIN)


@routes.get(
    "/auth/admin/roles", "List the roles", limit=Limit(bucket="auth_admin_user_sessions_list", by_user=True)
)
async def admin_list_roles(call: Plain) -> RoleList:
    """List the roles there are."""
    return RoleList(data=await call.service.roles.list_defined())


@routes.post("/auth/admin/roles", "Define a role", fresh=True, limit=_GRANT, calls=(Roles.define,))
async def admin_define_role(call: Call[NewRole, NoParams]) -> Role:
    """Add a role, or rename one."""
    body = call.body
    return await call.service.roles.define(body.role, body.name, body.description)


@routes.post("/auth/admin/roles/grant", "Give a user a role", fresh=True, limit=_GRANT, calls=(Roles.assign,))
async def admin_grant_role(call: Call[UserRole, NoParams]) -> OkResponse:
    """Give a user a role."""
    body, actor = call.body, call.account.id
    await call.service.roles.assign(body.user_id, body.role, actor=actor, as_admin=True)
    return OkResponse()


@routes.post(
    "/auth/admin/roles/revoke",
    "Take a role from a user",
    fresh=True,
    limit=Limit(bucket="auth_admin_roles_revoke", by_user=True),
    calls=(Roles.remove,),
    errors=(errors.RoleNotFound,),
)
async def admin_revoke_role(call: Call[UserRole, NoParams]) -> OkResponse:
    """Take a role from a user; the last administrator keeps theirs."""
    body, actor = call.body, call.account.id
    if not await call.service.roles.remove(body.user_id, body.role, actor=actor, as_admin=True):
        raise errors.RoleNotFound("The user does not hold this role.")
    return OkResponse()
