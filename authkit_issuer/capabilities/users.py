"""Users: creating them and finding them.

Lookups include banned and soft-deleted users; the caller decides what that means. A soft-deleted user keeps
the mail address, phone number and user name until the account is purged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.capabilities.events import Events
from authkit_issuer.capabilities.namespace import Namespace
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One account. Times are aware, in UTC; email, phone number and user name may each be None."""

    id: str
    email: str | None
    phone_number: str | None
    username: str | None
    discord_username: str | None
    email_verified: bool
    phone_verified: bool
    banned_at: datetime | None
    banned_until: datetime | None
    ban_reason: str | None
    banned_by: str | None
    deleted_at: datetime | None
    biography: str | None
    created_at: datetime
    updated_at: datetime
    last_login: datetime | None


_COLUMNS = """
    id::text, email, phone_number, username, discord_username, email_verified, phone_verified,
    banned_at, banned_until, ban_reason, banned_by::text, deleted_at, biography,
    created_at, updated_at, last_login
"""
_SELECT = f"select {_COLUMNS} from profiles.users "
BY_ID = Query(User, _SELECT + "where id = $1::uuid")
BY_EMAIL = Query(User, _SELECT + "where lower(email) = $1")
BY_PHONE = Query(User, _SELECT + "where phone_number = $1")
BY_USERNAME = Query(User, _SELECT + "where lower(username) = lower($1)")
CREATE = Query(
    User,
    f"""
    insert into profiles.users (id, email, phone_number, username, email_verified, phone_verified)
    values (coalesce($1::uuid, gen_random_uuid()), $2, $3, $4, $5, $6)
    returning {_COLUMNS}
    """,
)
IS_ALLOWED = Query(
    bool,
    """
    select deleted_at is null and (banned_at is null or coalesce(banned_until <= now(), false))
    from profiles.users where id = $1::uuid
    """,
)


@dataclass(frozen=True, slots=True)
class Users:
    """Creates and finds users."""

    rt: Runtime

    async def create(self, email: str | None, username: str | None) -> User:
        """Create an account without any credential and return its full row.

        An empty ``email`` or ``username`` is stored as none. Raises ``InvalidEmail``, ``username_*``,
        ``EmailInUse``, ``UsernameInUse``, ``OwnerSlugTaken``.
        """
        return await self.add(email=email or None, username=username or None)

    async def add(
        self,
        *,
        email: str | None = None,
        phone: str | None = None,
        username: str | None = None,
        verified: bool = False,
        user_id: str | None = None,
        method: str = "create",
    ) -> User:
        """Create an account with whatever contacts it starts with; every path to a new user ends here.

        User, name and event are one transaction. ``verified`` speaks of the contacts given; ``user_id`` may
        be chosen beforehand, so that a caller whose answer was lost can be recognised.
        """
        if email is not None:
            email = identifiers.email(email)
        if phone is not None:
            phone = identifiers.phone(phone)
        if username is not None:
            username = identifiers.username(username, reserved=self.rt.config.reserved_usernames)
        async with self.rt.transaction() as tx:
            user = await tx.one(
                CREATE,
                user_id,
                email,
                phone,
                username,
                verified and email is not None,
                verified and phone is not None,
            )
            if username is not None:
                await Namespace(tx).claim_username(user.id, username)
            await Events(tx).record(SessionEventType.USER_CREATED, user_id=user.id, method=method)
        return user

    async def get(self, user_id: str) -> User | None:
        """Return the user, or None; a malformed id is nobody's."""
        known = identifiers.user_id(user_id)
        return None if known is None else await self.rt.maybe(BY_ID, known)

    async def get_by_email(self, email: str) -> User | None:
        """Return the user with this address in any letter case, or None."""
        try:
            return await self.rt.maybe(BY_EMAIL, identifiers.email(email))
        except errors.InvalidEmail:
            return None

    async def get_by_phone(self, phone: str) -> User | None:
        """Return the user with this E.164 number, or None."""
        try:
            return await self.rt.maybe(BY_PHONE, identifiers.phone(phone))
        except errors.InvalidPhoneNumber:
            return None

    async def get_by_username(self, username: str) -> User | None:
        """Return the user with this current name in any letter case, or None."""
        name = username.strip()
        return await self.rt.maybe(BY_USERNAME, name) if identifiers.storable(name) else None

    async def get_email(self, user_id: str) -> str | None:
        """Return the user's address or None; raises ``UserNotFound`` for an unknown id."""
        user = await self.get(user_id)
        if user is None:
            raise errors.UserNotFound
        return user.email

    async def is_allowed(self, user_id: str) -> bool:
        """Tell whether the user exists, is not deleted and not banned now (a lapsed ban does not count)."""
        known = identifiers.user_id(user_id)
        return known is not None and bool(await self.rt.maybe(IS_ALLOWED, known))
