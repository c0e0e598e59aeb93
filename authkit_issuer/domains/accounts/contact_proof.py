"""The one writer of email addresses and phone numbers, and of the proofs that they are the owner's.

An account may be older than its owner's first proof of the contact: another person may have made it with this
address and attached logins, wallets, passkeys, a second factor and a number of their own. The first proof by
means of the contact alone therefore freezes what was attached before, until the owner confirms or removes it.
The other contact counts as unverified until the owner verifies it, signed in or with the password.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.contacts import CONTACT_KINDS, EMAIL, PHONE, ContactKind, kind_of
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query, Statement

# A second factor by email sends its codes to the account's address; one by SMS has a number of its own.
REPLACE_CONTACT = {
    kind: Query(
        bool,
        f"""
        with factor as (
            select exists (
                select from profiles.second_factors f
                where f.user_id = $1::uuid and f.kind = 'email' and {kind is EMAIL}
            ) as moves
        )
        update profiles.users u
        set {kind.column} = $2, {kind.verified_column} = $3,
            proved_{kind.name} = case when $3 then $2 end,
            email_frozen_at = case when {kind is PHONE} then u.email_frozen_at end,
            auth_epoch = u.auth_epoch + factor.moves::int, updated_at = now()
        from factor where u.id = $1::uuid returning factor.moves
        """,
    )
    for kind in CONTACT_KINDS
}

# As proved: the holder of the other contact must not prove that one first, and take the account.
VOUCH = {
    kind: Statement(
        f"""
        update profiles.users set {kind.verified_column} = true, proved_{kind.name} = {kind.column}
        where id = $1::uuid
        """
    )
    for kind in CONTACT_KINDS
}

MARK_PROVED = {
    kind: Query(
        bool,
        f"""
        with before as (
            select u.proved_{kind.name} is distinct from u.{kind.column} as first
            from profiles.users u where u.id = $1::uuid
        )
        update profiles.users u
        set {kind.verified_column} = true, proved_{kind.name} = u.{kind.column},
            email_frozen_at = case when {kind is PHONE} then u.email_frozen_at end, updated_at = now()
        from before where u.id = $1::uuid returning before.first
        """,
    )
    for kind in CONTACT_KINDS
}

NOTE_PROVED = {
    kind: Statement(
        f"""
        update profiles.users set proved_{kind.name} = {kind.column}
        where id = $1::uuid and {kind.column} = $2 and {kind.verified_column}
          and proved_{kind.name} is distinct from {kind.column}
        """
    )
    for kind in CONTACT_KINDS
}
"""Writes nothing unless the contact is this one, verified, and not proved yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """How many logins and passkeys were frozen, and whether the second factor and the other contact were."""

    logins: int
    passkeys: int
    factor: bool
    contact: bool


def _freeze(kind: ContactKind) -> Query[Frozen]:
    """Return the statement for a first proof by this kind of contact; the other one needs a proof again."""
    other = PHONE if kind is EMAIL else EMAIL
    return Query(
        Frozen,
        f"""
    with logins as (
        update profiles.user_providers set frozen_at = now()
        where user_id = $1::uuid and frozen_at is null returning 1
    ), passkeys as (
        update profiles.passkeys set frozen_at = now()
        where user_id = $1::uuid and frozen_at is null returning 1
    ), factor as (
        update profiles.two_factor_settings set frozen_at = now()
        where user_id = $1::uuid and enabled and frozen_at is null returning 1
    ), before as (
        -- An address counts even if unverified: without verification_required it resets the password.
        select {other.verified_column}
               or ({other is EMAIL} and email is not null and email_frozen_at is null) as open
        from profiles.users where id = $1::uuid
    ), moved as (
        update profiles.users
        set auth_epoch = auth_epoch + 1, {other.verified_column} = false, proved_{other.name} = null,
            email_frozen_at = case when {other is EMAIL} and email is not null then now() end
        where id = $1::uuid
          and (exists (select from logins) or exists (select from passkeys)
               or exists (select from factor) or (select open from before))
    )
    select (select count(*)::int from logins) as logins,
           (select count(*)::int from passkeys) as passkeys, exists (select from factor) as factor,
           (select open from before) as contact
        """,
    )


FREEZE = {kind: _freeze(kind) for kind in CONTACT_KINDS}


@dataclass(frozen=True, slots=True)
class ContactProof:
    """Writes contacts and their proofs; the caller has locked the user's row in a transaction."""

    rt: Runtime

    async def replace(self, user_id: str, kind: ContactKind, target: str, *, proved: bool) -> bool:
        """Store another address or number; True if the codes of the second factor go there from now on.

        In that case the epoch moves: no sign-in in progress, and no device, has proved this factor. Changes,
        verifications and resets of the former contact end by themselves: their records name it.
        """
        return await self.rt.one(REPLACE_CONTACT[kind], user_id, target, proved)

    async def vouch(self, user_id: str, kind: ContactKind, target: str) -> None:
        """Store a contact that an operator vouches for, in place of whatever else reached the user.

        It counts as proved by the owner. The other contact counts as unverified, and only a proof by the
        user of the account verifies it.
        """
        await self.replace(user_id, kind, target, proved=False)
        await self.rt.execute(VOUCH[kind], user_id)
        await self.rt.one(FREEZE[kind], user_id)

    async def mark(
        self, user_id: str, kind: ContactKind, *, by_user: bool, client: Client | None = None
    ) -> None:
        """Mark the present contact as verified and proved.

        Args:
            user_id: The user, whose row the caller has locked.
            kind: The kind of contact.
            by_user: True if the user of the account made the proof: in a session of it, or with its
                password. Otherwise a first proof freezes what was attached before, and the caller ends the
                sessions.
            client: The client, for the event.

        """
        first = await self.rt.one(MARK_PROVED[kind], user_id)
        if not first or by_user:
            return
        frozen = await self.rt.one(FREEZE[kind], user_id)
        if frozen.logins or frozen.passkeys or frozen.factor or frozen.contact:
            await Events(self.rt).record(
                SessionEventType.LOGINS_FROZEN,
                actor=None,
                user_id=user_id,
                client=client,
                data={
                    "logins": frozen.logins,
                    "passkeys": frozen.passkeys,
                    "two_factor": frozen.factor,
                    "contact": frozen.contact,
                },
            )


async def note_proof(rt: Runtime, *, user_id: str, contact: str) -> None:
    """Note that the user of an account has just proved its verified address or number, in normal form.

    For a code that is read beside another proof of the account: a session, or a second factor. Without the
    note a later reset would count as the first proof, and freeze what the owner has attached.
    """
    await rt.execute(NOTE_PROVED[kind_of(contact)], user_id, contact)
