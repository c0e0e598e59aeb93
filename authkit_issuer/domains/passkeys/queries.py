"""The rows and the SQL of a user's list of passkeys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """A passkey as its owner may see it. Times are aware, in UTC."""

    id: str
    credential_id: bytes
    name: str
    aaguid: str
    transports: list[str]
    backup_eligible: bool
    backed_up: bool
    created_at: datetime
    last_used_at: datetime | None
    suspended: bool
    """A counter that did not rise showed a copy of it: it signs in no more."""
    frozen: bool
    """It is from before the owner's first proof of a contact, and signs in after ``passkeys.confirm``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What a ceremony of a signed-in user needs to know of the account."""

    user_id: str
    auth_epoch: int
    allowed: bool
    two_factor: bool
    email: str | None
    phone: str | None
    username: str | None


FIND_USER_HANDLE = Query(bytes, "select handle from profiles.passkey_user_handles where user_id = $1::uuid")
COLUMNS = """
    k.id::text, k.credential_id, k.name, k.aaguid::text, k.transports, k.backup_eligible, k.backed_up,
    k.created_at, k.last_used_at, k.suspended_at is not null as suspended, k.frozen_at is not null as frozen
"""
LIST = Query(
    Passkey,
    f"select {COLUMNS} from profiles.passkeys k where k.user_id = $1::uuid order by k.created_at, k.id",
)
RENAME = Query(
    Passkey,
    f"""
    update profiles.passkeys k set name = $3 where k.id = $1::uuid and k.user_id = $2::uuid
    returning {COLUMNS}
    """,
)
HAS = Query(bool, "select exists (select from profiles.passkeys where id = $1::uuid and user_id = $2::uuid)")
CONFIRM = Query(
    str,
    """
    update profiles.passkeys set frozen_at = null
    where id = $1::uuid and user_id = $2::uuid and frozen_at is not null returning name
    """,
)
# A passkey that no longer signs in takes with it what was proved by it and is not finished.
RAISE_EPOCH = """
    update profiles.users set auth_epoch = auth_epoch + 1 where id = $2::uuid and exists (select from gone)
"""
REMOVE = Query(
    str,
    f"""
    with gone as (
        delete from profiles.passkeys where id = $1::uuid and user_id = $2::uuid returning name
    ),
    moved as ({RAISE_EPOCH})
    select name from gone
    """,
)
