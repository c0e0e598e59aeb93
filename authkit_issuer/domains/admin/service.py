"""Administration: find users, see and end their sessions, ban and delete them, explain failed sign-ins.

The caller authorizes: these methods act on every user. Over HTTP, ``http.guards`` requires the role.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, get_args

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.queries import LOCK_ROLE
from authkit_issuer.domains.accounts.roles import require_admin
from authkit_issuer.domains.accounts.service import Users
from authkit_issuer.domains.admin import queries as sql
from authkit_issuer.domains.admin.explanation import UserExplanation, explain_user
from authkit_issuer.domains.admin.queries import FoundUser, Match, Shape, Sort, Status
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.lifecycle.service import Lifecycle
from authkit_issuer.domains.sessions.service import Session, Sessions
from authkit_issuer.errors.declared import declared, raises
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

__all__ = ["Admin", "AdminListUsersResult", "AdminUser", "UserExplanation"]

DEFAULT_PAGE = 50
MAX_PAGE = 200
SEARCH_TIMEOUT = 2.0
"""Seconds a substring search may take: it reads every user."""

MAX_OFFSET = 2**62
SAMPLE = 10
_FILTERS: dict[str, str] = {
    "super administrators": "admin",
    "taggers": "tagger",
    "bloggers": "blogger",
    "10 random premium members": "premium",
}
_SAMPLE_FILTER = "10 random premium members"
_NO_FILTER = frozenset({"", "all users", "all"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminUser(FoundUser):
    """A user as an operator sees it. Times are aware, in UTC; roles are sorted.

    ``entitlements`` is None if the host's provider did not answer.
    """

    entitlements: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminListUsersResult:
    """One page. ``total`` is exact up to 10,000 matches and an estimate beyond (``total_is_estimate``)."""

    users: list[AdminUser]
    total: int
    limit: int
    offset: int
    total_is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class Admin:
    """Finds users, shows and ends their sessions, bans and deletes them, explains failed sign-ins."""

    rt: Runtime

    @raises(errors.SearchTooSlow)
    async def list_users(
        self,
        page: int = 1,
        page_size: int = DEFAULT_PAGE,
        filter: str = "",  # noqa: A002 - the contract
        search: str = "",
        only_deleted: bool = False,  # noqa: FBT001, FBT002 - the contract
        *,
        role: str | None = None,
        status: Status | None = None,
        sort: Sort = "created_at",
        desc: bool = True,
        match: Match = "prefix",
    ) -> AdminListUsersResult:
        """Return one page of users, soft-deleted ones only on request.

        A ``page`` below 1 is 1, a ``page_size`` outside of 1 to 200 is 50. ``search`` looks up an id, email
        address or phone number exactly and anything else by the beginning of name, address or number;
        ``match="substring"`` looks inside and gives up after two seconds (``SearchTooSlow``). ``filter``
        takes the four historic names, which stand for roles. Raises ``Invalid`` for anything unknown.
        """
        historic = _role_of(filter)
        _one_of("match", match, Match)
        terms, arguments = sql.search_terms(search, match)
        wanted = role if role is not None else historic
        order = (_one_of("sort", sort, Sort), desc)
        shape = Shape(_status(status, only_deleted=only_deleted), wanted is not None, terms)
        size = page_size if 1 <= page_size <= MAX_PAGE else DEFAULT_PAGE
        if wanted is not None and not identifiers.storable(wanted):
            raise errors.Invalid(
                "role must not contain NUL or lone surrogates.",
                param="role",
            )
        parameters = (*(() if wanted is None else (wanted.strip().lower(),)), *arguments)
        if filter.strip().lower() == _SAMPLE_FILTER:
            return await self._sampled(page)
        offset = (max(page, 1) - 1) * size
        try:
            async with asyncio.timeout(SEARCH_TIMEOUT if terms == "substring" else None):
                total, estimate = await self._total(shape, parameters)
                found = await self.rt.stale().all(
                    sql.PAGES[shape, order], *parameters, size, min(offset, MAX_OFFSET)
                )
        except TimeoutError as error:
            raise errors.SearchTooSlow from error
        return AdminListUsersResult(
            users=await self._complete(found),
            total=total,
            limit=size,
            offset=offset,
            total_is_estimate=estimate,
        )

    @raises(errors.UserNotFound)
    async def get_user(self, user_id: str) -> AdminUser:
        """Return one user, deleted or not; raises ``UserNotFound``."""
        subject = identifiers.uuid_or_none(user_id)
        found = await self.rt.all(_BY_ID, subject, 1, 0) if subject else []
        if not found:
            raise errors.UserNotFound
        (user,) = await self._complete(found)
        return user

    async def delete_user(
        self, user_id: str, *, force: bool = False, actor: str | None = None, client: Client | None = None
    ) -> bool:
        """Delete a user permanently, as ``lifecycle.hard_delete`` does; False for an unknown user."""
        return await Lifecycle(self.rt).hard_delete(user_id, force=force, actor=actor, client=client)

    @raises(*declared(Lifecycle.ban), errors.Denied)
    async def ban(
        self,
        user_id: str,
        reason: str | None = None,
        until: datetime | None = None,
        *,
        actor: str,
        as_admin: bool = False,
        force: bool = False,
        client: Client | None = None,
    ) -> None:
        """Ban a user as ``lifecycle.ban`` does, on behalf of an administrator, who must be named.

        With ``as_admin``, raises ``Denied`` if the ``actor`` is no administrator at that moment.
        """
        async with self.rt.transaction() as tx:
            if as_admin:
                await require_admin(tx, actor, lock=LOCK_ROLE)
            await Lifecycle(tx).ban(user_id, reason, until, actor, force=force, client=client)

    @raises(errors.UserNotFound, errors.Denied)
    async def unban(
        self, user_id: str, *, actor: str, as_admin: bool = False, client: Client | None = None
    ) -> None:
        """Lift a ban as ``lifecycle.unban`` does, on behalf of an administrator; ``as_admin`` as for ``ban``.

        Otherwise an administrator who is being banned could lift that very ban.
        """
        async with self.rt.transaction() as tx:
            if as_admin:
                await require_admin(tx, actor)
            await Lifecycle(tx).unban(user_id, actor=actor, client=client)

    @raises(errors.UserNotFound, errors.Denied)
    async def restore(
        self, user_id: str, *, actor: str, as_admin: bool = False, client: Client | None = None
    ) -> None:
        """Take a deletion back as ``lifecycle.restore`` does; ``as_admin`` as for ``unban``."""
        async with self.rt.transaction() as tx:
            if as_admin:
                await require_admin(tx, actor)
            await Lifecycle(tx).restore(user_id, actor=actor, client=client)

    @raises(
        errors.UserNotFound,
        errors.OwnAccount,
        errors.CannotRemoveLastAdminRole,
        errors.CannotRemoveLastOwner,
        errors.Denied,
    )
    async def delete(
        self,
        user_id: str,
        *,
        soft: bool,
        actor: str,
        as_admin: bool = False,
        force: bool = False,
        client: Client | None = None,
    ) -> None:
        """Delete a user as ``lifecycle.delete`` does, on behalf of an administrator.

        Raises ``UserNotFound``; ``OwnAccount`` for the administrator's own account, which has an
        operation of its own; and what ``lifecycle.delete`` raises. ``as_admin`` as for ``ban``.
        """
        if identifiers.uuid_or_none(user_id) == identifiers.uuid_or_none(actor):
            raise errors.OwnAccount(param="user_id")
        async with self.rt.transaction() as tx:
            if as_admin:
                await require_admin(tx, actor, lock=LOCK_ROLE)
            if not await Lifecycle(tx).delete(user_id, soft, force=force, actor=actor, client=client):
                raise errors.UserNotFound

    async def list_sessions(self, user_id: str) -> list[Session]:
        """Return the user's live sessions, at most 100, the last used first."""
        return await Sessions(self.rt).list_for_user(user_id)

    @raises(errors.UserNotFound)
    async def revoke_sessions(
        self,
        user_id: str,
        *,
        reason: SessionRevokeReason = SessionRevokeReason.ADMIN_REVOKE_ALL,
        actor: str | None = None,
        client: Client | None = None,
    ) -> int:
        """End every session of the user and every login in progress; returns how many sessions ended."""
        return await Sessions(self.rt).revoke_all(user_id, reason=reason, actor=actor, client=client)

    @raises(errors.UserNotFound)
    async def explain_user(self, user_id: str) -> UserExplanation:
        """Explain, from the account and its events, why a user cannot sign in or was signed out.

        Raises ``UserNotFound`` if neither the user nor any event of theirs is known.
        """
        subject = identifiers.uuid_or_none(user_id)
        if subject is None:
            raise errors.UserNotFound
        return await explain_user(self.rt, subject, await Users(self.rt).get(subject))

    async def _sampled(self, page: int) -> AdminListUsersResult:
        """Return ten random holders of the role; a random sample has no second page."""
        found = (
            await self.rt.stale().all(sql.SAMPLE, _FILTERS[_SAMPLE_FILTER], SAMPLE, 0) if page <= 1 else []
        )
        users = await self._complete(found)
        return AdminListUsersResult(users=users, total=len(users), limit=SAMPLE, offset=0)

    async def _total(self, shape: Shape, parameters: Sequence[Any]) -> tuple[int, bool]:
        counted = await self.rt.stale().one(sql.COUNTS[shape], *parameters)
        if counted <= sql.EXACT_UP_TO:
            return counted, False
        everybody = await self.rt.stale().one(sql.ESTIMATE) if not parameters else 0
        return max(everybody, sql.EXACT_UP_TO), True

    async def _complete(self, found: Sequence[FoundUser]) -> list[AdminUser]:
        """Add the entitlements; no connection is held while the host's provider answers."""
        granted = await Entitlements(self.rt).names_of_many([user.id for user in found])
        return [
            AdminUser(**{name: getattr(user, name) for name in _FIELDS}, entitlements=granted.get(user.id))
            for user in found
        ]


_FIELDS = tuple(field.name for field in fields(FoundUser))
_BY_ID = sql.PAGES[Shape("any", False, "id"), ("created_at", True)]


def _role_of(name: str) -> str | None:
    known = name.strip().lower()
    if known in _NO_FILTER:
        return None
    if known not in _FILTERS:
        raise errors.Invalid(f"filter must be one of {', '.join(sorted(_FILTERS))}.", param="filter")
    return _FILTERS[known]


def _status(status: str | None, *, only_deleted: bool) -> str:
    if status is None:
        return "deleted" if only_deleted else ""
    return _one_of("status", status, Status)


def _one_of(param: str, value: str, allowed: Any) -> str:
    if value not in get_args(allowed):
        raise errors.Invalid(f"{param} must be one of {', '.join(get_args(allowed))}.", param=param)
    return value
