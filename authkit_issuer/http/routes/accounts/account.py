"""What people do with their own account: name, biography, password, export, the end of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from authkit_issuer.domains.accounts.service import Users
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.lifecycle.service import Lifecycle
from authkit_issuer.event_types import PLACE
from authkit_issuer.http.errors import StepUpRequired
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
)
from authkit_issuer.http.recent_auth import require_recent_auth, require_recent_auth_unless
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.route_groups import Routes


class UsernameUpdate(Body):
    """The user name that is wanted."""

    username: Text


class BiographyUpdate(Body):
    """A text about the user; null clears it."""

    biography: str | None


class PasswordChange(Body):
    """The new password, and the present one where there is one; both are taken as they are."""

    current_password: Annotated[str | None, Field(repr=False)] = None
    new_password: Annotated[str, Field(repr=False, description="8 characters to 1024 bytes")]


class ExportParams(Params):
    """Which events the export has."""

    before: Annotated[
        str,
        Field(pattern=PLACE, description="The `events_next` of an export, for older events"),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Everything that is stored about the user but what proves who they are.

    The newest 5000 events and sessions; ``events_next`` leads to the events before, null if these are all.
    """

    user: dict[str, Any]
    names: list[dict[str, Any]]
    password: dict[str, Any] | None
    two_factor: dict[str, Any] | None
    recovery: dict[str, Any] | None
    remembered_devices: list[dict[str, Any]]
    providers: list[dict[str, Any]]
    passkeys: list[dict[str, Any]]
    roles: list[str]
    organizations: list[dict[str, Any]]
    invitations: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    events: list[dict[str, Any]]
    events_next: str | None


routes = Routes(tag="account", auth=Auth.USER)


@routes.patch(
    "/auth/user/username",
    "Change your user name",
    limit=Limit(bucket="auth_user_update_username", by_user=True),
    calls=(Users.update_username,),
    errors=(StepUpRequired,),
)
async def update_username(call: Call[UsernameUpdate, NoParams]) -> OkResponse:
    """Change the user name."""
    account, users, name = call.account, call.service.users, call.body.username
    if account.has_password and not (account.email or account.phone_number):
        # With no other name the user could neither sign in nor take it back, and gets no notice.
        await require_recent_auth(call.service, account)
    await users.update_username(account.id, name, client=call.client)
    return OkResponse()


@routes.patch(
    "/auth/user/biography",
    "Write something about yourself",
    limit=Limit(bucket="auth_user_update_biography", by_user=True),
    calls=(Users.update_biography,),
)
async def update_biography(call: Call[BiographyUpdate, NoParams]) -> OkResponse:
    """Store the biography."""
    users, text = call.service.users, call.body.biography
    await users.update_biography(call.account.id, text, client=call.client)
    return OkResponse()


@routes.post(
    "/auth/user/password",
    "Change your password, and sign out everywhere else",
    limit=Limit(bucket="auth_user_password_change", by_user=True, closed=True),
    calls=(Passwords.change,),
    errors=(StepUpRequired,),
)
async def change_password(call: Call[PasswordChange, NoParams]) -> OkResponse:
    """Replace the password, or set the first one; every other session ends."""
    account, current, new = call.account, call.body.current_password, call.body.new_password
    await require_recent_auth_unless(call, current)
    passwords = call.service.passwords
    await passwords.change(account.id, current or "", new, account.session_id, client=call.client)
    return OkResponse()


@routes.get(
    "/auth/user/export",
    "Everything that is stored about you",
    fresh=True,
    limit=Limit(bucket="auth_user_export", by_user=True),
    calls=(Users.export,),
)
async def export_account(call: Call[NoBody, ExportParams]) -> Export:
    """Return everything that is stored about the caller."""
    return Export(**await call.service.users.export(call.account.id, before=call.params.before))


@routes.delete(
    "/auth/user",
    "Delete your account",
    fresh=True,
    limit=Limit(bucket="auth_user_delete", by_user=True),
    calls=(Lifecycle.soft_delete,),
    signs_out=True,
)
async def delete_account(call: Plain) -> OkResponse:
    """Delete the account; operators can still restore it for a while."""
    account, lifecycle = call.account, call.service.lifecycle
    await lifecycle.soft_delete(account.id, session_id=account.session_id, client=call.client)
    return OkResponse()
