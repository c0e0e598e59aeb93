"""The SQL of wallets; they are rows among the external logins."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """The user of a wallet, with everything a sign-in asks, read in one statement."""

    user_id: str
    auth_epoch: int
    allowed: bool
    two_factor: bool


LINKED = Query(
    Linked,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed,
           {HAS_TWO_FACTOR} as two_factor
    from profiles.user_providers l join profiles.users u on u.id = l.user_id
    where l.issuer = $1 and l.subject = $2
    """,
)
WALLET = Query(str, "select subject from profiles.user_providers where user_id = $1::uuid and issuer = $2")
LOCK = Query(bool, f"select {ALLOWED} from profiles.users u where u.id = $1::uuid for no key update")
