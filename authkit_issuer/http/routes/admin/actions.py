"""Administration: what is done to an account. Every operation asks for a recent proof of who is calling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from authkit_issuer.domains.accounts.service import Users
from authkit_issuer.domains.admin.service import Admin
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.lifecycle.service import Lifecycle
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoBody,
    NoParams,
    Params,
    Plain,
    Text,
    with_messages,
)
from authkit_issuer.http.response_models import CodeSent, OkResponse
from authkit_issuer.http.rfc3339 import Moment
from authkit_issuer.http.route_groups import Routes


class UserReference(Body):
    """A user."""

    user_id: Text


Force = Annotated[bool, Field(description="Even the only owner of an organization with other members")]


class BanRequest(UserReference):
    """A ban: the user, the reason, and the end, if there is one."""

    reason: Text | None = None
    until: Moment | None = None
    force: Force = False


class SetEmail(UserReference):
    """The address a user is to have, unverified."""

    email: Text


class SetUsername(UserReference):
    """The name a user is to go by."""

    username: Text


class SetPassword(UserReference):
    """A password that its owner has to replace at the next sign-in, unless that is not wanted."""

    password: Annotated[str, Field(repr=False, description="8 characters to 1024 bytes")]
    must_change: bool = True


class BanToggle(UserReference):
    """Whether a user is banned."""

    banned: bool
    force: Force = False


class RecoveryRequest(Body):
    """The one new contact of the owner, whose identity you have checked, and why the account is recovered."""

    email: Text | None = None
    phone_number: Text | None = None
    reason: Text


class DeletionParams(Params):
    """How an account is deleted."""

    hard: Annotated[bool, Field(description="For good, at once; else it can be restored")] = False
    force: Force = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BanState:
    """Whether a user is banned now."""

    ok: Literal[True] = True
    user_id: str
    banned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsRevoked:
    """How many sessions ended."""

    ok: Literal[True] = True
    ended: int


_ACT = Limit(bucket="auth_admin_user_sessions_revoke_all", by_user=True)
_CHANGE = Limit(bucket="auth_admin_roles_grant", by_user=True)
routes = Routes(tag="administration", auth=Auth.ADMIN, fresh=True, limit=_ACT)


@routes.post("/auth/admin/users/ban", "Ban a user", calls=(Admin.ban,))
async def admin_ban_user(call: Call[BanRequest, NoParams]) -> OkResponse:
    """Ban a user; every session ends."""
    body = call.body
    await call.service.admin.ban(
        body.user_id,
        body.reason,
        body.until,
        actor=call.account.id,
        as_admin=True,
        force=body.force,
        client=call.client,
    )
    return OkResponse()


@routes.post("/auth/admin/users/unban", "Lift a ban", calls=(Admin.unban,))
async def admin_unban_user(call: Call[UserReference, NoParams]) -> OkResponse:
    """Lift a ban."""
    await call.service.admin.unban(
        call.body.user_id, actor=call.account.id, as_admin=True, client=call.client
    )
    return OkResponse()


@routes.post("/auth/admin/users/toggle-active", "Ban a user, or lift the ban", calls=(Admin.ban, Admin.unban))
async def admin_toggle_active(call: Call[BanToggle, NoParams]) -> BanState:
    """Ban a user, or lift the ban."""
    body, service, actor = call.body, call.service, call.account.id
    if body.banned:
        await service.admin.ban(
            body.user_id, actor=actor, as_admin=True, force=body.force, client=call.client
        )
    else:
        await service.admin.unban(body.user_id, actor=actor, as_admin=True, client=call.client)
    return BanState(user_id=body.user_id, banned=body.banned)


@routes.post(
    "/auth/admin/users/set-email",
    "Give a user another email address",
    limit=_CHANGE,
    calls=(Users.update_email,),
)
async def admin_set_email(call: Call[SetEmail, NoParams]) -> OkResponse:
    """Store another address for a user, unverified; the old one hears of it."""
    body = call.body
    await call.service.users.update_email(body.user_id, body.email, actor=call.account.id, client=call.client)
    return OkResponse()


@routes.post(
    "/auth/admin/users/set-username",
    "Give a user another name",
    limit=_CHANGE,
    calls=(Users.update_username,),
)
async def admin_set_username(call: Call[SetUsername, NoParams]) -> OkResponse:
    """Give a user another name."""
    body = call.body
    await call.service.users.update_username(
        body.user_id, body.username, ignore_cooldown=True, actor=call.account.id, client=call.client
    )
    return OkResponse()


@routes.post("/auth/admin/users/set-password", "Set a password", limit=_CHANGE, calls=(Passwords.admin_set,))
async def admin_set_password(call: Call[SetPassword, NoParams]) -> OkResponse:
    """Set a password for a user; every session ends."""
    body, actor = call.body, call.account.id
    await call.service.passwords.admin_set(
        body.user_id, body.password, must_change=body.must_change, actor=actor, client=call.client
    )
    return OkResponse()


@routes.delete("/auth/admin/users/{user_id}", "Delete a user", calls=(Admin.delete,))
async def admin_delete_user(call: Call[NoBody, DeletionParams]) -> OkResponse:
    """Delete a user."""
    how, actor, user = call.params, call.account.id, call.path["user_id"]
    await call.service.admin.delete(
        user, soft=not how.hard, actor=actor, as_admin=True, force=how.force, client=call.client
    )
    return OkResponse()


@routes.post("/auth/admin/users/{user_id}/restore", "Take a deletion back", calls=(Admin.restore,))
async def admin_restore_user(call: Plain) -> OkResponse:
    """Take a deletion back."""
    user, actor = call.path["user_id"], call.account.id
    await call.service.admin.restore(user, actor=actor, as_admin=True, client=call.client)
    return OkResponse()


@routes.post(
    "/auth/admin/users/{user_id}/recover",
    "Give an account back to its owner by a new contact",
    limit=_CHANGE,
    offered=with_messages,
    status=202,
    calls=(Lifecycle.recover,),
)
async def admin_recover_user(call: Call[RecoveryRequest, NoParams]) -> CodeSent:
    """Drop every way into an account, and send a password reset to the new contact."""
    body, user, actor = call.body, call.path["user_id"], call.account.id
    request_id = await call.service.lifecycle.recover(
        user,
        email=body.email,
        phone=body.phone_number,
        actor=actor,
        reason=body.reason,
        client=call.client,
    )
    return CodeSent(request_id=request_id, message="The reset is on its way to the new contact.")


@routes.delete(
    "/auth/admin/users/{user_id}/sessions", "Sign a user out everywhere", calls=(Admin.revoke_sessions,)
)
async def admin_revoke_user_sessions(call: Plain) -> SessionsRevoked:
    """Sign a user out everywhere."""
    ended = await call.service.admin.revoke_sessions(
        call.path["user_id"], actor=call.account.id, client=call.client
    )
    return SessionsRevoked(ended=ended)
