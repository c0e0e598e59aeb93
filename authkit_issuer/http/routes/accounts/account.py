"""What people do with their own account: name, biography, password, export, the end of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.http.errors import StepUpRequired
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
from authkit_issuer.http.reauth import require_recent_auth_unless
from authkit_issuer.http.responses import Done


class NewName(Body):
    """The user name that is wanted."""

    username: Text


class Biography(Body):
    """A text about the user; null clears it."""

    biography: str | None


class PasswordChange(Body):
    """The new password, and the present one where there is one; both are taken as they are."""

    current_password: Annotated[str | None, Field(repr=False)] = None
    new_password: Annotated[str, Field(repr=False, description="8 characters to 1024 bytes")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Everything that is stored about the user but what proves who they are."""

    user: dict[str, Any]
    names: list[dict[str, Any]]
    password: dict[str, Any] | None
    two_factor: dict[str, Any] | None
    providers: list[dict[str, Any]]
    roles: list[str]
    organizations: list[dict[str, Any]]
    invitations: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    events: list[dict[str, Any]]


async def rename(call: Call[NewName, NoParams]) -> Done:
    """Change the user name."""
    users, name = call.service.users, call.body.username
    await users.update_username(call.account.id, name, client=call.client)
    return Done()


async def write_biography(call: Call[Biography, NoParams]) -> Done:
    """Store the biography."""
    users, text = call.service.users, call.body.biography
    await users.update_biography(call.account.id, text, client=call.client)
    return Done()


async def change_password(call: Call[PasswordChange, NoParams]) -> Done:
    """Replace the password, or set the first one; every other session ends."""
    account, current, new = call.account, call.body.current_password, call.body.new_password
    await require_recent_auth_unless(call, current)
    passwords = call.service.passwords
    await passwords.change(account.id, current or "", new, account.session_id, client=call.client)
    return Done()


async def export(call: Plain) -> Export:
    """Return everything that is stored about the caller."""
    return Export(**await call.service.users.export(call.account.id))


async def delete(call: Plain) -> Done:
    """Delete the account; operators can still restore it for a while."""
    await call.service.lifecycle.soft_delete(call.account.id, client=call.client)
    return Done()


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="PATCH",
        path="/auth/user/username",
        summary="Change your user name",
        tag="account",
        handler=rename,
        body=NewName,
        returns=Done,
        auth=Auth.USER,
        limit=Limit(bucket="auth_user_update_username", by_user=True),
        errors=(
            errors.UsernameTooShort,
            errors.UsernameTooLong,
            errors.UsernameCannotContainAt,
            errors.UsernameMustStartWithLetter,
            errors.UsernameInvalidCharacters,
            errors.UsernameReserved,
            errors.UsernameInUse,
            errors.OwnerSlugTaken,
            errors.TooManyRequests,
            errors.UserNotFound,
        ),
    ),
    Operation(
        method="PATCH",
        path="/auth/user/biography",
        summary="Write something about yourself",
        tag="account",
        handler=write_biography,
        body=Biography,
        returns=Done,
        auth=Auth.USER,
        limit=Limit(bucket="auth_user_update_biography", by_user=True),
        errors=(errors.BiographyTooLong, errors.UserNotFound),
    ),
    Operation(
        method="POST",
        path="/auth/user/password",
        summary="Change your password, and sign out everywhere else",
        tag="account",
        handler=change_password,
        body=PasswordChange,
        returns=Done,
        auth=Auth.USER,
        limit=Limit(bucket="auth_user_password_change", by_user=True, closed=True),
        errors=(
            errors.CurrentPasswordRequired,
            errors.InvalidCredentials,
            StepUpRequired,
            errors.PasswordResetRequired,
            errors.PasswordTooShort,
            errors.PasswordTooLong,
            errors.PasswordTooCommon,
            errors.PasswordBreached,
            errors.BreachCheckUnavailable,
            errors.SessionNotFound,
            errors.UserNotFound,
            errors.UserBanned,
            errors.TooManyRequests,
            errors.ServerBusy,
            errors.EphemeralStoreUnavailable,
        ),
    ),
    Operation(
        method="GET",
        path="/auth/user/export",
        summary="Everything that is stored about you",
        tag="account",
        handler=export,
        returns=Export,
        auth=Auth.USER,
        limit=Limit(bucket="auth_user_export", by_user=True),
        fresh=True,
        errors=(errors.UserNotFound,),
    ),
    Operation(
        method="DELETE",
        path="/auth/user",
        summary="Delete your account",
        tag="account",
        handler=delete,
        returns=Done,
        auth=Auth.USER,
        limit=Limit(bucket="auth_user_delete", by_user=True),
        fresh=True,
        signs_out=True,
        errors=(errors.UserNotFound,),
    ),
)
