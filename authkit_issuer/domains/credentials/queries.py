"""Credentials: a stored password, with everything a login asks about its user, and how it is found."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from authkit_issuer import errors, identifiers
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import Cost, StoredHash
from authkit_issuer.security.stored_hashes import cost_of
from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR
from authkit_issuer.store.query import Query

SAMPLE = 2000
"""How many accounts the frequency of each hash cost is taken from."""

By = Literal["email", "phone", "username", "user_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user's stored password and everything a login asks about the user, read in one statement."""

    user_id: str
    auth_epoch: int
    allowed: bool
    created_at: datetime
    email: str | None
    phone_number: str | None
    username: str | None
    email_verified: bool
    phone_verified: bool
    password_hash: str | None = field(repr=False)
    hash_algo: str | None
    must_change: bool
    two_factor: bool

    @property
    def stored(self) -> StoredHash | None:
        """The hash to compare with, None for an account without a password."""
        if self.password_hash is None or self.hash_algo is None:
            return None
        return StoredHash(text=self.password_hash, algo=self.hash_algo)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frequency:
    """A kind of stored hash, by one example, and how many of the sample are of it."""

    example: str = field(repr=False)
    hash_algo: str
    accounts: int


_CREDENTIAL = f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, u.created_at, u.email, u.phone_number,
           u.username, u.email_verified, u.phone_verified, p.password_hash, p.hash_algo,
           coalesce(p.must_change, false) as must_change,
           {HAS_TWO_FACTOR} as two_factor
    from profiles.users u left join profiles.user_passwords p on p.user_id = u.id
"""
BY_EMAIL = Query(Credential, _CREDENTIAL + "where lower(u.email) = $1")
BY_PHONE = Query(Credential, _CREDENTIAL + "where u.phone_number = $1")
BY_USERNAME = Query(Credential, _CREDENTIAL + "where lower(u.username) = $1")
BY_ID = Query(Credential, _CREDENTIAL + "where u.id = $1::uuid")
# Ids are random, so that a run of them is a fair sample; it is read through the primary key.
FREQUENCIES = Query(
    Frequency,
    r"""
    with sample as (
        (select p.password_hash, p.hash_algo from profiles.user_passwords p
         where p.user_id >= $1::uuid order by p.user_id limit $2)
        union all
        (select p.password_hash, p.hash_algo from profiles.user_passwords p
         where p.user_id < $1::uuid order by p.user_id limit $2)
    )
    select min(s.password_hash) as example, s.hash_algo, count(*) as accounts
    from (select * from sample limit $2) s
    group by s.hash_algo, substring(s.password_hash from '^\$(?:argon2id\$v=\d+\$[a-z0-9=,]+|2[aby]\$\d\d)\$')
    """,
)
_LOOKUPS: dict[By, Query[Credential]] = {
    "email": BY_EMAIL,
    "phone": BY_PHONE,
    "username": BY_USERNAME,
    "user_id": BY_ID,
}


_NORMALIZE: dict[By, Callable[[str], str]] = {
    "email": identifiers.email,
    "phone": identifiers.phone,
    "username": str.lower,
}


@dataclass(frozen=True, slots=True)
class Identifier:
    """What somebody signs in with, in its normal form; ``text`` is ``""`` for what can be nobody's."""

    by: By
    text: str

    @classmethod
    def of(cls, text: str) -> Identifier:
        """Read an email address, an E.164 number or a user name by its shape."""
        value = text.strip()
        if "@" in value:
            return cls.typed("email", value)
        return cls.typed("phone" if identifiers.is_phone(value) else "username", value)

    @classmethod
    def typed(cls, by: By, text: str) -> Identifier:
        """Read an identifier of a known kind."""
        if by == "user_id":
            return cls(by, identifiers.user_id(text) or "")
        value = text.strip()
        if not identifiers.storable(value):
            return cls(by, "")
        try:
            return cls(by, _NORMALIZE[by](value))
        except errors.Invalid:
            # An address that was stored under an older rule is still found.
            return cls(by, value.lower())

    async def find(self, rt: Runtime) -> Credential | None:
        """Return whose it is, or None."""
        if self.by == "user_id" and not self.text:
            return None
        return await rt.maybe(_LOOKUPS[self.by], self.text)

    def is_of(self, found: Credential) -> bool:
        """Tell whether ``find`` would lead to this account."""
        names = {
            "email": (found.email or "").lower(),
            "phone": found.phone_number,
            "username": (found.username or "").lower(),
            "user_id": found.user_id,
        }
        return bool(self.text) and names[self.by] == self.text

    async def dummy_cost(self, rt: Runtime) -> Cost:
        """Return what a login with this identifier costs when there is nothing to compare with."""
        await know_costs(rt)
        return rt.hasher.dummy_hashes.draw(rt.keys.current().derive("decoys"), f"{self.by}|{self.text}")


async def know_costs(rt: Runtime) -> None:
    """See to it that the frequency of each hash cost is known; looks again in the background once an hour."""
    dummies, now = rt.hasher.dummy_hashes, rt.clock()
    if not dummies.due(now):
        return
    if dummies.empty:
        await _learn_costs(rt)
        return
    dummies.claim(now)
    rt.background.start(lambda: _learn_costs(rt), name="hash costs")


async def _learn_costs(rt: Runtime) -> None:
    """Look at the same accounts every time and in every process, so that a draw stays what it was."""
    key = rt.keys.current().derive("decoys")
    start = uuid.UUID(bytes=hmac.new(key, b"sample", hashlib.sha256).digest()[:16])
    accounts: dict[Cost, int] = {}
    for found in await rt.all(FREQUENCIES, str(start), SAMPLE):
        cost = cost_of(StoredHash(text=found.example, algo=found.hash_algo))
        if cost is not None:
            accounts[cost] = accounts.get(cost, 0) + found.accounts
    rt.hasher.dummy_hashes.learn(accounts)
    rt.hasher.dummy_hashes.claim(rt.clock())
