"""The rows and the SQL of wallets, which are external logins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.predicates import (
    ALLOWED,
    HAS_TWO_FACTOR,
    RESTORABLE,
)
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletUser:
    """The user of a linked wallet, with all that a login needs, read in one statement."""

    user_id: str
    auth_epoch: int
    allowed: bool
    two_factor: bool
    frozen: bool
    deleted_at: datetime | None
    restorable: bool


WALLET_USER = Query(
    WalletUser,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed,
           {HAS_TWO_FACTOR} as two_factor, l.frozen_at is not null as frozen,
           u.deleted_at, {RESTORABLE} as restorable
    from profiles.user_providers l join profiles.users u on u.id = l.user_id
    where l.issuer = $1 and l.subject = $2
    """,
)
WALLET_ADDRESS = Query(
    str, "select subject from profiles.user_providers where user_id = $1::uuid and issuer = $2"
)
LOCK_WALLET_USER = Query(
    bool, f"select {ALLOWED} from profiles.users u where u.id = $1::uuid for no key update"
)
