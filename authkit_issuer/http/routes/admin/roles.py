"""Administration: the roles there are, and who holds which."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.accounts.roles import Role
from authkit_issuer.http.operations import (
    AnyOperation,
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Operation,
    Plain,
    Text,
)
from authkit_issuer.http.responses import Done


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
class Catalogue:
    """The roles that can be granted, sorted by slug."""

    data: list[Role]


async def list_roles(call: Plain) -> Catalogue:
    """List the roles there are."""
    return Catalogue(data=await call.service.roles.list_defined())


async def define(call: Call[NewRole, NoParams]) -> Role:
    """Add a role, or rename one."""
    body = call.body
    return await call.service.roles.define(body.role, body.name, body.description)


async def grant(call: Call[UserRole, NoParams]) -> Done:
    """Give a user a role."""
    await call.service.roles.assign(call.body.user_id, call.body.role, actor=call.account.id)
    return Done()


async def revoke(call: Call[UserRole, NoParams]) -> Done:
    """Take a role from a user; the last administrator keeps theirs."""
    body = call.body
    if not await call.service.roles.remove(body.user_id, body.role, actor=call.account.id):
        raise errors.RoleNotFound("The user does not hold this role.")
    return Done()


_GRANT = Limit(bucket="auth_admin_roles_grant", by_user=True)
_NAMED = (errors.ReservedRoleSlug, errors.InvalidRoleSlug)

OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path="/auth/admin/roles",
        summary="List the roles",
        tag="administration",
        handler=list_roles,
        returns=Catalogue,
        auth=Auth.ADMIN,
        limit=Limit(bucket="auth_admin_user_sessions_list", by_user=True),
    ),
    Operation(
        method="POST",
        path="/auth/admin/roles",
        summary="Define a role",
        tag="administration",
        handler=define,
        body=NewRole,
        returns=Role,
        auth=Auth.ADMIN,
        fresh=True,
        limit=_GRANT,
        errors=_NAMED,
    ),
    Operation(
        method="POST",
        path="/auth/admin/roles/grant",
        summary="Give a user a role",
        tag="administration",
        handler=grant,
        body=UserRole,
        returns=Done,
        auth=Auth.ADMIN,
        fresh=True,
        limit=_GRANT,
        errors=(*_NAMED, errors.RoleNotFound, errors.UserNotFound),
    ),
    Operation(
        method="POST",
        path="/auth/admin/roles/revoke",
        summary="Take a role from a user",
        tag="administration",
        handler=revoke,
        body=UserRole,
        returns=Done,
        auth=Auth.ADMIN,
        fresh=True,
        limit=Limit(bucket="auth_admin_roles_revoke", by_user=True),
        errors=(*_NAMED, errors.RoleNotFound, errors.CannotRemoveLastAdminRole),
    ),
)
