"""Administration: finding users, and what is known of them. ``domains.admin.service`` bounds the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from authkit_issuer.domains.admin.queries import Match, Sort, Status
from authkit_issuer.domains.admin.service import DEFAULT_PAGE, MAX_PAGE, Admin, AdminUser, UserExplanation
from authkit_issuer.domains.sessions.service import Session
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.http.operations import (
    Auth,
    Call,
    Limit,
    NoBody,
    Params,
    Plain,
)
from authkit_issuer.http.response_models import AccountEvent
from authkit_issuer.http.route_groups import Routes

if TYPE_CHECKING:
    from authkit_issuer.domains.admin.service import AdminListUsersResult


class DeletedPage(Params):
    """Which page of the deleted users is listed, and who is on it."""

    page: Annotated[int, Field(description="From 1")] = 1
    page_size: Annotated[int, Field(description=f"1 to {MAX_PAGE}, else {DEFAULT_PAGE}")] = DEFAULT_PAGE
    search: Annotated[str, Field(description="An id, email address or number, or how a name begins")] = ""
    match: Annotated[Match, Field(description="substring looks inside of names, for at most two seconds")] = (
        "prefix"
    )


class UsersPage(DeletedPage):
    """Which page is listed, who is on it, and in which order."""

    filter: Annotated[str, Field(description="One of the four historic names; better: role")] = ""
    role: Annotated[str | None, Field(description="Only holders of this role")] = None
    status: Annotated[Status | None, Field(description="Left out: everybody but the deleted")] = None
    sort: Sort = "created_at"
    order: Literal["asc", "desc"] = "desc"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserList:
    """One page of users; ``total`` is exact up to 10,000."""

    object: Literal["list"] = "list"
    data: list[AdminUser]
    total: int
    total_is_estimate: bool
    limit: int
    offset: int
    has_more: bool

    @classmethod
    def of(cls, found: AdminListUsersResult) -> UserList:
        """Return what an operator is shown of a page."""
        return cls(
            data=found.users,
            total=found.total,
            total_is_estimate=found.total_is_estimate,
            limit=found.limit,
            offset=found.offset,
            has_more=found.offset + len(found.users) < found.total,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSessions:
    """The live sessions of a user, the last used one first."""

    data: list[Session]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInList:
    """The latest sign-ins of a user and those that were refused, newest first."""

    data: list[AccountEvent]


_READ = Limit(bucket="auth_admin_user_sessions_list", by_user=True)
routes = Routes(tag="administration", auth=Auth.ADMIN, limit=_READ)


@routes.get("/auth/admin/users", "List users", calls=(Admin.list_users,))
async def admin_list_users(call: Call[NoBody, UsersPage]) -> UserList:
    """List users."""
    page = call.params.model_dump()
    order = page.pop("order")
    return UserList.of(await call.service.admin.list_users(**page, desc=order == "desc"))


@routes.get("/auth/admin/users/deleted", "List deleted users", calls=(Admin.list_users,))
async def admin_list_deleted_users(call: Call[NoBody, DeletedPage]) -> UserList:
    """List users who can still be restored."""
    page = call.params.model_dump()
    return UserList.of(await call.service.admin.list_users(**page, only_deleted=True))


@routes.get("/auth/admin/users/{user_id}", "Show a user", calls=(Admin.get_user,))
async def admin_get_user(call: Plain) -> AdminUser:
    """Show one user, deleted or not."""
    return await call.service.admin.get_user(call.path["user_id"])


@routes.get(
    "/auth/admin/users/{user_id}/explain",
    "Why a user cannot sign in, or was signed out",
    calls=(Admin.explain_user,),
)
async def admin_explain_user(call: Plain) -> UserExplanation:
    """Say why a user cannot sign in, or was signed out."""
    return await call.service.admin.explain_user(call.path["user_id"])


@routes.get("/auth/admin/users/{user_id}/sessions", "List the live sessions of a user")
async def admin_list_user_sessions(call: Plain) -> UserSessions:
    """List the live sessions of a user."""
    return UserSessions(data=await call.service.admin.list_sessions(call.path["user_id"]))


@routes.get("/auth/admin/users/{user_id}/signins", "List the latest sign-ins of a user")
async def admin_list_sign_ins(call: Plain) -> SignInList:
    """List the latest sign-ins of a user."""
    found = await call.service.events.list_session_events(
        call.path["user_id"], SessionEventType.SESSION_CREATED, SessionEventType.SESSION_FAILED
    )
    return SignInList(data=[AccountEvent.of(event) for event in found])
