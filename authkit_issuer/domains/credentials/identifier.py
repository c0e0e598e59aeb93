"""Login identifiers: how an account is found, and the cost of a login whose account is not found."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.credentials import queries as sql
from authkit_issuer.domains.credentials.queries import Credential
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import Cost, StoredHash
from authkit_issuer.security.stored_hashes import cost_of
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Frequency:
    """One kind of stored hash: an example, and how many accounts of the sample have that kind."""

    example: str = field(repr=False)
    hash_algo: str
    accounts: int


BY_EMAIL = Query(sql.Credential, sql.SELECT_CREDENTIAL + "where lower(u.email) = $1")

BY_PHONE = Query(sql.Credential, sql.SELECT_CREDENTIAL + "where u.phone_number = $1")

BY_USERNAME = Query(sql.Credential, sql.SELECT_CREDENTIAL + "where lower(u.username) = $1")

# Ids are random, so a run of them is a fair sample; it is read through the primary key.
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
    group by s.hash_algo, substring(
        s.password_hash from
        '^\$(?:argon2i?d?\$v=\d+\$[a-z0-9=,]+|2[aby]\$\d\d|[a-z0-9-]+\$[a-z0-9=,]+)\$'
    )
    """,
)


SAMPLE = 2000
"""How many accounts the frequency of each hash cost is taken from."""

MAX_CHARS = 254
"""The longest identifier of an account, an email address; a longer text is neither looked up nor kept."""

By = Literal["email", "phone", "username", "user_id"]

_LOOKUPS: dict[By, Query[Credential]] = {
    "email": BY_EMAIL,
    "phone": BY_PHONE,
    "username": BY_USERNAME,
    "user_id": sql.BY_ID,
}
_NORMALIZE: dict[By, Callable[[str], str]] = {
    "email": identifiers.email,
    "phone": identifiers.phone,
    "username": str.lower,
}


@dataclass(frozen=True, slots=True)
class Identifier:
    """A login identifier in its normal form; ``text`` is ``""`` if no account can have it."""

    by: By
    text: str

    @classmethod
    def of(cls, text: str) -> Identifier:
        """Read an email address, a phone number or a user name by its shape."""
        value = text.strip()
        if "@" in value:
            return cls.typed("email", value)
        return cls.typed("phone" if identifiers.is_phone(value) else "username", value)

    @classmethod
    def typed(cls, by: By, text: str) -> Identifier:
        """Read an identifier of a known kind."""
        if by == "user_id":
            return cls(by, identifiers.uuid_or_none(text) or "")
        value = text.strip()
        if len(value) > MAX_CHARS or not identifiers.storable(value):
            return cls(by, "")
        try:
            return cls(by, _NORMALIZE[by](value))
        except errors.Invalid:
            # An address that was stored under an older rule is still found.
            return cls(by, value.lower())

    async def find(self, rt: Runtime) -> Credential | None:
        """Return the account with this identifier, or None."""
        if self.by == "user_id" and not self.text:
            return None
        return await rt.maybe(_LOOKUPS[self.by], self.text)

    def is_of(self, found: Credential) -> bool:
        """True if ``find`` would return this account."""
        names = {
            "email": (found.email or "").lower(),
            "phone": found.phone_number,
            "username": (found.username or "").lower(),
            "user_id": found.user_id,
        }
        return bool(self.text) and names[self.by] == self.text

    async def dummy_cost(self, rt: Runtime) -> Cost:
        """Return the cost of a login with this identifier if there is no stored hash."""
        await _sample_costs(rt)
        # The label is older than the word dummy hash; another one would draw other costs.
        return rt.hasher.dummy_hashes.draw(rt.keys.current().derive("decoys"), f"{self.by}|{self.text}")


async def _sample_costs(rt: Runtime) -> None:
    """Make sure that the frequency of each hash cost is known; sample again in the background every hour."""
    dummies, now = rt.hasher.dummy_hashes, rt.clock()
    if not dummies.due(now):
        return
    if dummies.empty:
        await _learn_costs(rt)
        return
    dummies.claim(now)
    rt.background.start(lambda: _learn_costs(rt), name="hash costs")


async def _learn_costs(rt: Runtime) -> None:
    """Sample the same accounts every time and in every process, so that a draw does not change."""
    key = rt.keys.current().derive("decoys")
    start = uuid.UUID(bytes=hmac.new(key, b"sample", hashlib.sha256).digest()[:16])
    accounts: dict[Cost, int] = {}
    for found in await rt.all(FREQUENCIES, str(start), SAMPLE):
        cost = cost_of(StoredHash(text=found.example, algo=found.hash_algo))
        if cost is not None:
            accounts[cost] = accounts.get(cost, 0) + found.accounts
    rt.hasher.dummy_hashes.learn(accounts)
    rt.hasher.dummy_hashes.claim(rt.clock())
