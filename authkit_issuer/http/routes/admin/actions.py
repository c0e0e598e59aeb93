"""Administration: what is done to an account. Every operation asks for a recent proof of who is calling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.errors import AuthError
from authkit_issuer.http.operations import (
    AnyOperation,
    Auth,
    Body,
    Call,
    Limit,
    Method,
    NoBody,
    NoParams,
    Operation,
    Params,
    Plain,
    Text,
)
from authkit_issuer.http.responses import Done
from authkit_issuer.http.rfc3339 import Moment


class UserId(Body):
    """A user."""

    user_id: Text


class Ban(UserId):
    """Who is banned, why, and until when; for ever when nothing says."""

    reason: Text | None = None
    until: Moment | None = None


class SetEmail(UserId):
    """The address a user is to have, unverified."""

    email: Text


class SetUsername(UserId):
    """The name a user is to go by."""

    username: Text


class SetPassword(UserId):
    """A password that its owner has to replace at the next sign-in, unless that is not wanted."""

    password: Annotated[str, Field(repr=False, description="8 characters to 1024 bytes")]
    must_change: bool = True


class Toggle(UserId):
    """Whether a user is banned."""

    banned: bool


class How(Params):
    """How an account is deleted."""

    hard: Annotated[bool, Field(description="For good, at once; else it can be restored")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Toggled:
    """Whether a user is banned now."""

    ok: Literal[True] = True
    user_id: str
    banned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How many sessions ended."""

    ok: Literal[True] = True
    ended: int


async def ban(call: Call[Ban, NoParams]) -> Done:
    """Ban a user; every session ends."""
    body = call.body
    await call.service.admin.ban(
        body.user_id, body.reason, body.until, actor=call.account.id, client=call.client
    )
    return Done()


async def unban(call: Call[UserId, NoParams]) -> Done:
    """Lift a ban."""
    await call.service.lifecycle.unban(call.body.user_id, actor=call.account.id, client=call.client)
    return Done()


async def toggle(call: Call[Toggle, NoParams]) -> Toggled:
    """Ban a user, or lift the ban."""
    body, service, actor = call.body, call.service, call.account.id
    if body.banned:
        await service.admin.ban(body.user_id, actor=actor, client=call.client)
    else:
        await service.lifecycle.unban(body.user_id, actor=actor, client=call.client)
    return Toggled(user_id=body.user_id, banned=body.banned)


async def set_email(call: Call[SetEmail, NoParams]) -> Done:
    """Store another address for a user, unverified; the old one hears of it."""
    body = call.body
    await call.service.users.update_email(body.user_id, body.email, actor=call.account.id, client=call.client)
    return Done()


async def set_username(call: Call[SetUsername, NoParams]) -> Done:
    """Give a user another name."""
    body = call.body
    await call.service.users.update_username(
        body.user_id, body.username, ignore_cooldown=True, actor=call.account.id, client=call.client
    )
    return Done()


async def set_password(call: Call[SetPassword, NoParams]) -> Done:
    """Set a password for a user; every session ends."""
    body, actor = call.body, call.account.id
    await call.service.passwords.admin_set(
        body.user_id, body.password, must_change=body.must_change, actor=actor, client=call.client
    )
    return Done()


async def delete(call: Call[NoBody, How]) -> Done:
    """Delete a user."""
    await call.service.admin.delete(
        call.path["user_id"], soft=not call.params.hard, actor=call.account.id, client=call.client
    )
    return Done()


async def restore(call: Plain) -> Done:
    """Take a deletion back."""
    await call.service.lifecycle.restore(call.path["user_id"], actor=call.account.id, client=call.client)
    return Done()


async def end_sessions(call: Plain) -> Ended:
    """Sign a user out everywhere."""
    ended = await call.service.admin.revoke_sessions(call.path["user_id"], client=call.client)
    return Ended(ended=ended)


_ACT = Limit(bucket="auth_admin_user_sessions_revoke_all", by_user=True)
_CHANGE = Limit(bucket="auth_admin_roles_grant", by_user=True)
_USERNAME = (
    errors.UsernameTooShort,
    errors.UsernameTooLong,
    errors.UsernameCannotContainAt,
    errors.UsernameMustStartWithLetter,
    errors.UsernameInvalidCharacters,
    errors.UsernameReserved,
    errors.UsernameInUse,
    errors.OwnerSlugTaken,
    errors.InvalidUsernameForOwnerNamespace,
)
_PASSWORD = (
    errors.PasswordTooShort,
    errors.PasswordTooLong,
    errors.PasswordTooCommon,
    errors.PasswordBreached,
    errors.ServerBusy,
    errors.BreachCheckUnavailable,
)


def _action(
    what: tuple[Method, str, str],
    handler: Callable[[Call[Any, Any]], Awaitable[Any]],
    *refusals: type[AuthError],
    returns: type[Any] = Done,
    body: type[Body] = NoBody,
    params: type[Params] = NoParams,
    limit: Limit = _ACT,
) -> AnyOperation:
    method, path, summary = what
    return Operation(
        method=method,
        path=f"/auth/admin/users{path}",
        summary=summary,
        tag="administration",
        handler=handler,
        returns=returns,
        auth=Auth.ADMIN,
        fresh=True,
        limit=limit,
        body=body,
        params=params,
        errors=(errors.UserNotFound, *refusals),
    )


OPERATIONS: tuple[AnyOperation, ...] = (
    _action(
        ("POST", "/ban", "Ban a user"),
        ban,
        errors.InvalidUntil,
        errors.CannotRemoveLastAdminRole,
        body=Ban,
    ),
    _action(("POST", "/unban", "Lift a ban"), unban, body=UserId),
    _action(
        ("POST", "/toggle-active", "Ban a user, or lift the ban"),
        toggle,
        errors.CannotRemoveLastAdminRole,
        body=Toggle,
        returns=Toggled,
    ),
    _action(
        ("POST", "/set-email", "Give a user another email address"),
        set_email,
        errors.InvalidEmail,
        errors.EmailInUse,
        body=SetEmail,
        limit=_CHANGE,
    ),
    _action(
        ("POST", "/set-username", "Give a user another name"),
        set_username,
        *_USERNAME,
        body=SetUsername,
        limit=_CHANGE,
    ),
    _action(
        ("POST", "/set-password", "Set a password"),
        set_password,
        *_PASSWORD,
        body=SetPassword,
        limit=_CHANGE,
    ),
    _action(
        ("DELETE", "/{user_id}", "Delete a user"),
        delete,
        errors.CannotRemoveLastAdminRole,
        errors.CannotRemoveLastOwner,
        params=How,
    ),
    _action(("POST", "/{user_id}/restore", "Take a deletion back"), restore),
    _action(("DELETE", "/{user_id}/sessions", "Sign a user out everywhere"), end_sessions, returns=Ended),
)
