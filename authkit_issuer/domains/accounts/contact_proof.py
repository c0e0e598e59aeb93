"""The one writer of email addresses and phone numbers, and of the proofs that they are the owner's.

An account may be older than its owner's first proof of the contact: another person may have made it with this
address and attached logins, wallets, passkeys, a second factor and a number of their own. The first proof by
means of the contact alone therefore freezes what was attached before, until the owner confirms or removes it.
The other contact counts as unverified until the owner verifies it, signed in or with the password.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.domains.accounts import queries as sql
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.contacts import ContactKind, kind_of
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True)
class ContactProof:
    """Writes contacts and their proofs; the caller has locked the user's row in a transaction."""

    rt: Runtime

    async def replace(self, user_id: str, kind: ContactKind, target: str, *, proved: bool) -> bool:
        """Store another address or number; True if the codes of the second factor go there from now on.

        In that case the epoch moves: no sign-in in progress, and no device, has proved this factor. Changes,
        verifications and resets of the former contact end by themselves: their records name it.
        """
        return await self.rt.one(sql.REPLACE_CONTACT[kind], user_id, target, proved)

    async def vouch(self, user_id: str, kind: ContactKind, target: str) -> None:
        """Store a contact that an operator vouches for, in place of whatever else reached the user.

        It counts as proved by the owner. The other contact counts as unverified, and only a proof by the
        user of the account verifies it.
        """
        await self.replace(user_id, kind, target, proved=False)
        await self.rt.execute(sql.VOUCH[kind], user_id)
        await self.rt.one(sql.FREEZE[kind], user_id)

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
        first = await self.rt.one(sql.MARK_PROVED[kind], user_id)
        if not first or by_user:
            return
        frozen = await self.rt.one(sql.FREEZE[kind], user_id)
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
    await rt.execute(sql.NOTE_PROVED[kind_of(contact)], user_id, contact)
