"""Users: creating them, finding them, and what an account says about its owner.

Lookups include banned and soft-deleted users; the caller decides what that means. A soft-deleted user keeps
the email address, phone number and user name until the account is purged. ``usernames`` limits how often a
name changes, ``base.former_names`` keeps former ones, and ``contact_proof`` writes contacts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts import queries as sql
from authkit_issuer.domains.accounts import usernames
from authkit_issuer.domains.accounts.contact_proof import ContactProof
from authkit_issuer.domains.accounts.queries import Held, User
from authkit_issuer.domains.accounts.usernames import Usernames
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.contacts import EMAIL
from authkit_issuer.domains.base.former_names import free_rested
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.namespace import Namespace
from authkit_issuer.domains.codes.one_time import OneTimeCodes
from authkit_issuer.domains.orgs.service import Orgs
from authkit_issuer.errors.declared import USERNAME_RULES, raises
from authkit_issuer.event_types import AuthSessionEvent, SessionEventType, event_place
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

__all__ = ["User", "Users"]

NAME_TRIES = 5
MAX_LISTED = 1000
EXPORTED = 5000
"""Events and sessions in one export: about 15 MB while it is made."""


@dataclass(frozen=True, slots=True)
class Users:
    """Creates, finds and changes users."""

    rt: Runtime

    async def create(
        self, email: str | None, username: str | None = None, *, actor: str | None = None
    ) -> User:
        """Create an account without any credential and return its full row.

        An empty ``email`` or ``username`` is stored as none. Raises ``InvalidEmail``, ``username_*``,
        ``EmailInUse``, ``UsernameInUse``, ``OwnerSlugTaken``.
        """
        return await self.add(email=email or None, username=username or None, actor=actor)

    async def add(
        self,
        *,
        email: str | None = None,
        phone: str | None = None,
        username: str | None = None,
        verified: bool = False,
        phone_verified: bool | None = None,
        user_id: str | None = None,
        created_at: datetime | None = None,
        method: str = "create",
        actor: str | None = None,
    ) -> User:
        """Create an account with whatever contacts it starts with; every path to a new user ends here.

        User, name, personal organization and event are one transaction. ``verified`` speaks of the contacts
        given, ``phone_verified`` of the number where that differs. ``user_id`` may be chosen beforehand, so
        that a caller whose answer was lost can be recognized. ``created_at`` is now, or when another system
        made the account.
        """
        if email is not None:
            email = identifiers.email(email)
        if phone is not None:
            phone = identifiers.phone(phone)
        if username is not None:
            username = identifiers.username(username, reserved=self.rt.config.reserved_usernames)
        async with self.rt.transaction() as tx:
            user = await tx.one(
                sql.CREATE,
                user_id,
                email,
                phone,
                username,
                verified and email is not None,
                (verified if phone_verified is None else phone_verified) and phone is not None,
                created_at,
            )
            if username is not None:
                await Orgs(tx).keep_personal(user.id, username, actor=actor)
                await Namespace(tx).claim_username(user.id, username)
            await Events(tx).record(
                SessionEventType.USER_CREATED, actor=actor, user_id=user.id, method=method
            )
        return user

    async def add_with_free_name(
        self,
        base: str,
        *,
        email: str | None = None,
        phone: str | None = None,
        verified: bool = False,
        user_id: str | None = None,
        method: str,
    ) -> User:
        """Create an account whose user name is like ``base``; a lost race for a name tries the next.

        Raises ``InvalidEmail``, ``EmailInUse``; ``UsernameInUse`` only after five names in a row were lost.
        """
        for _ in range(NAME_TRIES):
            name = await Usernames(self.rt).generate_available(base)
            try:
                return await self.add(
                    email=email, phone=phone, username=name, verified=verified, user_id=user_id, method=method
                )
            except (errors.UsernameInUse, errors.OwnerSlugTaken):
                continue
        raise errors.UsernameInUse(param="username")

    async def get(self, user_id: str) -> User | None:
        """Return the user, or None, also for a malformed id."""
        known = identifiers.uuid_or_none(user_id)
        return None if known is None else await self.rt.maybe(sql.BY_ID, known)

    async def get_by_email(self, email: str) -> User | None:
        """Return the user with this address in any letter case, or None."""
        try:
            return await self.rt.maybe(sql.BY_EMAIL, identifiers.email(email))
        except errors.InvalidEmail:
            return None

    async def get_by_phone(self, phone: str) -> User | None:
        """Return the user with this E.164 number, or None."""
        try:
            return await self.rt.maybe(sql.BY_PHONE, identifiers.phone(phone))
        except errors.InvalidPhoneNumber:
            return None

    async def get_by_username(self, username: str) -> User | None:
        """Return the user with this current name in any letter case, or None."""
        name = username.strip()
        return await self.rt.maybe(sql.BY_USERNAME, name) if identifiers.storable(name) else None

    async def get_email(self, user_id: str) -> str | None:
        """Return the user's address or None; raises ``UserNotFound`` for an unknown id."""
        user = await self.get(user_id)
        if user is None:
            raise errors.UserNotFound
        return user.email

    async def newest(self, limit: int = 100, *, deleted: bool = False) -> list[User]:
        """Return the users made last; the soft-deleted ones instead, the last deleted first, when asked."""
        query = sql.LAST_DELETED if deleted else sql.NEWEST
        return await self.rt.all(query, max(1, min(limit, MAX_LISTED)))

    async def is_allowed(self, user_id: str) -> bool:
        """True if the user exists, is not deleted and not banned now (a lapsed ban does not count)."""
        known = identifiers.uuid_or_none(user_id)
        return known is not None and bool(await self.rt.maybe(sql.IS_ALLOWED, known))

    @raises(
        *USERNAME_RULES,
        errors.UsernameInUse,
        errors.OwnerSlugTaken,
        errors.InvalidUsernameForOwnerNamespace,
        errors.TooManyRequests,
        errors.UserNotFound,
    )
    async def update_username(
        self,
        user_id: str,
        username: str,
        *,
        ignore_cooldown: bool = False,
        actor: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Change the user name, or only its letter case; the former name keeps leading to the user.

        Five former names are kept, which only the user may take back; the oldest is freed when there would
        be six and it has rested for 30 days.

        Raises ``username_*``, ``UsernameInUse``, ``OwnerSlugTaken``, ``UserNotFound``, and
        ``TooManyRequests`` within ``rename_cooldown`` of the last change, or with five former names that
        all rest. ``ignore_cooldown``, for operators, ignores both.
        """
        name = identifiers.username(username, reserved=self.rt.config.reserved_usernames)
        async with _locked_user(self.rt, user_id) as (tx, known, held):
            if held.username == name:
                return
            names = Namespace(tx)
            # Another letter case takes no name: not even where the owner slug had to be another one.
            another = held.username is None or held.username.lower() != name.lower()
            freed: list[str] = []
            if another:
                await names.check_free(known, name)
                if not ignore_cooldown:
                    await usernames.check_cooldown(tx, known)
                freed = await free_rested(tx, known, *names.names_of(name), ignore_rest=ignore_cooldown)
            # The user's row before the name, as in creation: two of us never wait for each other.
            await tx.execute(sql.RENAME, known, name)
            if another:
                await Orgs(tx).keep_personal(known, name, actor=actor)
                await names.claim_username(known, name)
            await Events(tx).record(
                SessionEventType.USER_RENAMED,
                user_id=known,
                actor=actor,
                client=client,
                data={"before": held.username, "after": name} | ({"freed": freed} if freed else {}),
            )

    @raises(errors.InvalidEmail, errors.EmailInUse, errors.UserNotFound)
    async def update_email(
        self, user_id: str, email: str, *, actor: str | None = None, client: Client | None = None
    ) -> None:
        """Store another address at once, unverified: for operators; users go through ``contact_changes``.

        A verification mail goes to the new address and a notice to the old one, both beside the request. The
        same address in any letter case changes nothing. Raises ``InvalidEmail``, ``EmailInUse``,
        ``UserNotFound``.
        """
        address = identifiers.email(email)
        async with _locked_user(self.rt, user_id) as (tx, known, held):
            if held.email == address:
                return
            data: dict[str, object] = {"before": held.email, "after": address}
            epoch = held.auth_epoch
            if await ContactProof(tx).replace(known, EMAIL, address, proved=False):
                data["two_factor"] = True
                epoch += 1
            await Events(tx).record(
                SessionEventType.USER_EMAIL_CHANGED,
                user_id=known,
                actor=actor,
                client=client,
                data=data,
            )
            if self.rt.senders.verification_links:
                send = partial(_send_verification, self.rt, known, address, held.username or "", epoch)
                await Messages(tx).send_in_background(send, name="verification mail")

    @raises(errors.BiographyTooLong, errors.UserNotFound)
    async def update_biography(
        self,
        user_id: str,
        biography: str | None,
        *,
        actor: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Store the trimmed text; None and blank text clear it.

        Raises ``BiographyTooLong`` beyond 2000 characters, ``UserNotFound``.
        """
        text = identifiers.biography(biography)
        async with _locked_user(self.rt, user_id) as (tx, known, held):
            if held.biography == text:
                return
            await tx.execute(sql.SET_BIOGRAPHY, known, text)
            await Events(tx).record(
                SessionEventType.USER_UPDATED,
                user_id=known,
                actor=actor,
                client=client,
                data={"fields": ["biography"]},
            )

    async def set_email_verified(
        self,
        user_id: str,
        verified: bool,  # noqa: FBT001 - the position is the contract
        *,
        email: str | None = None,
        actor: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Vouch for the user's address, or withdraw that; with ``email`` only while it is the stored one.

        After a withdrawal the next proof of the address counts as the first one.

        Raises ``UserNotFound`` also when the stored address is another one, or when there is none to verify.
        """
        expected = None if email is None else identifiers.email(email)
        async with _locked_user(self.rt, user_id) as (tx, known, held):
            if expected not in {None, held.email} or (verified and held.email is None):
                raise errors.UserNotFound
            if held.email_verified == verified:
                return
            await tx.execute(sql.SET_EMAIL_VERIFIED, known, verified)
            await Events(tx).record(
                SessionEventType.USER_EMAIL_VERIFIED,
                user_id=known,
                actor=actor,
                client=client,
                data={"verified": verified},
            )

    async def send_welcome(self, user_id: str) -> None:
        """Send the welcome mail beside the request, when there are a sender and an address; best effort."""
        user, sender = await self.get(user_id), self.rt.email_sender
        if sender is None or user is None or user.email is None:
            return
        email, name = user.email, user.username or ""

        async def send() -> None:
            async with asyncio.timeout(self.rt.config.send_timeout):
                await sender.send_welcome(email, name)

        await self.rt.start_after_commit(send, name="welcome mail")

    @raises(errors.UserNotFound, errors.Invalid)
    async def export(self, user_id: str, *, before: str = "") -> dict[str, Any]:
        """Return everything stored about the user but what proves who they are, as plain JSON values.

        Of events, what the user may see (``AuthSessionEvent.for_subject``). Times are ISO 8601 texts. Events
        and sessions are the newest 5000 at most.

        Args:
            user_id: The user.
            before: The ``events_next`` of an export, for the events that are older than those in it.

        Raises:
            UserNotFound: No such user.
            Invalid: ``before`` is not from an export.
        """
        known, page = identifiers.uuid_or_none(user_id), _page_before(before)
        found = await self.rt.maybe(sql.EXPORT, known, *page, EXPORTED) if known else None
        if found is None:
            raise errors.UserNotFound
        export = msgspec.json.decode(found, type=dict[str, Any])
        events = msgspec.convert(export["events"], list[AuthSessionEvent])
        return {
            **export,
            "events": [msgspec.to_builtins(event.for_subject()) for event in events],
            "events_next": events[0].place if len(events) == EXPORTED else None,
        }


def _page_before(place: str) -> tuple[datetime, int]:
    """Return where the events of an export begin: time and id, which those before have less of."""
    try:
        return event_place(place)
    except ValueError:
        raise errors.Invalid("before is not the events_next of an export.", param="before") from None


@asynccontextmanager
async def _locked_user(rt: Runtime, user_id: str) -> AsyncGenerator[tuple[Runtime, str, Held]]:
    """Open a transaction that locks the user's row; yields its Runtime, the canonical id and the row.

    Raises ``UserNotFound``; a malformed id costs no query.
    """
    canonical_id = identifiers.uuid_or_none(user_id)
    if canonical_id is None:
        raise errors.UserNotFound
    async with rt.transaction() as tx:
        held = await tx.maybe(sql.HOLD, canonical_id)
        if held is None:
            raise errors.UserNotFound
        yield tx, canonical_id, held


async def _send_verification(rt: Runtime, user_id: str, email: str, name: str, epoch: int) -> None:
    """Send a link that verifies the address: a code would need the id of a request the user never made."""
    issued = await OneTimeCodes(rt).issue(
        "verify_email",
        target=email,
        code_ttl=rt.config.code_ttl,
        link_ttl=rt.config.link_ttl,
        record_ttl=rt.config.link_ttl,
        user_id=user_id,
        auth_epoch=epoch,
    )
    senders = rt.senders
    if senders.verification_link is not None:
        await senders.verification_link.send_email_verification_link(email, name, issued.link)
    elif senders.code_and_link is not None:
        await senders.code_and_link.send_email_verification(email, name, issued.code, issued.link)
