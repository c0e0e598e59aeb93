"""The two bounds of wrong codes: tries at one record, and guesses over all codes of a subject and purpose.

A record refuses everything after ``max_code_attempts`` tries, which the ephemeral store counts. A client can
ask for any number of codes, so guesses are counted over all of them, too. The count of a second factor has no
end but a right code or the end of the account. The count of an address ends after a year without a guess as
well: addresses without an account are counted, and their rows have no other end. It is in the database,
because no restart may give it back.

After ``MAX_GUESSES`` wrong guesses in a row no six-digit code is right any more, and the codes that are sent
are long ones. Those have more than 64 bits and need no bound (NIST SP 800-63B-4 section 3.2.2, which allows a
hundred guesses). There is no waiting time, in which other clients could keep the owner out: the owner gets in
with the next code that is sent.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base import stored_values
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.domains.codes.records import Record
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query, Statement

COUNT = Query(
    int,
    """
    insert into profiles.code_guesses as g (purpose, subject, tries) values ($1, $2, 1)
    on conflict (purpose, subject) do update set tries = g.tries + 1, last_at = now()
    returning tries
    """,
)

TRIES = Query(
    int,
    """
    select coalesce(
        (select tries from profiles.code_guesses where purpose = $1 and subject = $2), 0
    )
    """,
)

FORGET = Statement("delete from profiles.code_guesses where purpose = $1 and subject = $2")

# The lock looks at the row again as it is then: a count that goes on meanwhile stays.
PURGE = Query(
    int,
    """
    with old as (
        select purpose, subject from profiles.code_guesses
        where purpose <> 'second_factor' and last_at < now() - $1::float8 * interval '1 second'
        order by last_at limit $2 for update skip locked
    ), gone as (
        delete from profiles.code_guesses g using old
        where (g.purpose, g.subject) = (old.purpose, old.subject) returning 1
    )
    select count(*)::int from gone
    """,
)


MAX_GUESSES = 10
RETENTION = 365 * 86_400.0
"""Seconds after the last guess at an address; what is given back is ten guesses at a million codes."""
_PURGE_BATCH = 1000
REPORTED = (MAX_GUESSES, 100)
"""The counts that leave an event."""
NO_ACCOUNT = str(uuid.UUID(int=0))
"""The user of an event about an unknown address: an owner is looked for, as of any account."""
_SECOND_FACTOR = frozenset({"2fa_challenge", "2fa_code", "step_up"})
"""The kinds whose codes go to the second factor of an account: one count together."""


@dataclass(frozen=True, slots=True)
class Guesses:
    """Counts the tries at a record, and the guesses at the codes of its subject."""

    rt: Runtime

    async def count_try(self, record: Record) -> None:
        """Count a try at a record; raise ``InvalidOrExpiredCode`` beyond ``max_code_attempts``.

        Also for another proof than the code, such as a password. The record is left to its end: deleting it
        here would take it from a right guess that is under way.
        """
        left = max(record.expires_at - self.rt.clock(), 1.0)
        if await self.rt.ephemeral.incr(record.tries_key, left) > self.rt.config.max_code_attempts:
            raise errors.InvalidOrExpiredCode

    async def is_void(self, record: Record) -> bool:
        """True if all tries at a record are used up."""
        tries = await self.rt.ephemeral.get(record.tries_key)
        return stored_values.count(tries) >= self.rt.config.max_code_attempts

    async def count(self, record: Record) -> bool:
        """Count a guess before it is compared; False if no short code is right any more.

        A right one is forgotten again by ``forget``. The event is written with the count.
        """
        self.rt.refuse_joining("a try of a code")
        purpose, subject = self._name(record)
        async with self.rt.transaction() as tx:
            tries = await tx.one(COUNT, purpose, subject)
            if tries - 1 in REPORTED:
                await Events(tx).record(
                    SessionEventType.CODES_GUESSED,
                    actor=None,
                    user_id=record.user_id or NO_ACCOUNT,
                    method=purpose,
                    data={"tries": tries - 1},
                )
        return record.long or tries <= MAX_GUESSES

    async def are_many(self, record: Record) -> bool:
        """True if the next code of the record must be a long one."""
        return await self.rt.one(TRIES, *self._name(record)) >= MAX_GUESSES

    async def forget(self, record: Record) -> None:
        """Begin at zero again, after a right code."""
        await self.rt.execute(FORGET, *self._name(record))

    async def forget_user(self, user_id: str) -> None:
        """Delete the count of a second factor whose account is deleted."""
        await self.rt.execute(FORGET, *self._second_factor(user_id))

    async def purge(self) -> int:
        """Delete the counts of addresses at which nothing was guessed for a year; returns how many."""
        return await self.rt.purge(PURGE, RETENTION, batch=_PURGE_BATCH)

    def _name(self, record: Record) -> tuple[str, str]:
        if record.kind in _SECOND_FACTOR:
            return self._second_factor(record.user_id)
        return record.kind, identifier_digest(self.rt, "guesses", record.target)

    def _second_factor(self, user_id: str) -> tuple[str, str]:
        return "second_factor", identifier_digest(self.rt, "guesses", user_id)
