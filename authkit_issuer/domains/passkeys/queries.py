"""The rows and the SQL of passkeys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.predicates import (
    ALLOWED,
    HAS_TWO_FACTOR,
    OWNS_PASSKEY,
    PASSKEY_SIGNS_IN,
    RESTORABLE,
)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedPasskey:
    """The passkey of a response, with its user, read in one statement."""

    passkey_id: str
    public_key: bytes
    backup_eligible: bool
    suspended: bool
    frozen: bool
    handle: bytes
    user_id: str
    auth_epoch: int
    allowed: bool
    two_factor: bool
    deleted_at: datetime | None
    restorable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedOwner:
    """A user whose row is locked."""

    auth_epoch: int
    allowed: bool


OWNER = Query(
    Owner,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, {HAS_TWO_FACTOR} as two_factor,
           u.email, u.phone_number as phone, u.username
    from profiles.users u where u.id = $1::uuid
    """,
)
# The update changes nothing: it makes the statement return the handle that a concurrent request has stored.
USER_HANDLE = Query(
    bytes,
    """
    insert into profiles.passkey_user_handles (user_id, handle) values ($1::uuid, $2)
    on conflict (user_id) do update set user_id = excluded.user_id returning handle
    """,
)
FIND_USER_HANDLE = Query(bytes, "select handle from profiles.passkey_user_handles where user_id = $1::uuid")
_COLUMNS = """
    k.id::text, k.credential_id, k.name, k.aaguid::text, k.transports, k.backup_eligible, k.backed_up,
    k.created_at, k.last_used_at, k.suspended_at is not null as suspended, k.frozen_at is not null as frozen
"""
LIST = Query(
    Passkey,
    f"select {_COLUMNS} from profiles.passkeys k where k.user_id = $1::uuid order by k.created_at, k.id",
)
LOCK_OWNER = Query(
    LockedOwner,
    f"""
    select u.auth_epoch, {ALLOWED} as allowed from profiles.users u where u.id = $1::uuid
    for no key update
    """,
)
HAS_FACTOR = Query(
    bool, f"select {HAS_TWO_FACTOR} or {OWNS_PASSKEY} from profiles.users u where u.id = $1::uuid"
)
COUNT = Query(int, "select count(*)::int from profiles.passkeys where user_id = $1::uuid")
INSERT = Query(
    Passkey,
    f"""
    insert into profiles.passkeys as k
        (id, user_id, credential_id, public_key, sign_count, aaguid, name, transports, backup_eligible,
         backed_up)
    values ($1::uuid, $2::uuid, $3, $4, $5, $6::uuid, $7, $8::text[], $9, $10)
    on conflict (credential_id) do nothing returning {_COLUMNS}
    """,
)
RENAME = Query(
    Passkey,
    f"""
    update profiles.passkeys k set name = $3 where k.id = $1::uuid and k.user_id = $2::uuid
    returning {_COLUMNS}
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
_RAISE_EPOCH = """
    update profiles.users set auth_epoch = auth_epoch + 1 where id = $2::uuid and exists (select from gone)
"""
REMOVE = Query(
    str,
    f"""
    with gone as (
        delete from profiles.passkeys where id = $1::uuid and user_id = $2::uuid returning name
    ),
    moved as ({_RAISE_EPOCH})
    select name from gone
    """,
)
PRESENTED = Query(
    PresentedPasskey,
    f"""
    select k.id::text as passkey_id, k.public_key, k.backup_eligible, k.suspended_at is not null as suspended,
           k.frozen_at is not null as frozen, h.handle, u.id::text as user_id, u.auth_epoch,
           {ALLOWED} as allowed, {HAS_TWO_FACTOR} as two_factor, u.deleted_at, {RESTORABLE} as restorable
    from profiles.passkeys k join profiles.users u on u.id = k.user_id
         join profiles.passkey_user_handles h on h.user_id = k.user_id
    where k.credential_id = $1
    """,
)
_RISES = "(k.sign_count = 0 and $3 = 0 or $3 > k.sign_count)"
# The count rises in the statement that accepts it: of two responses with one count, one is accepted.
ACCEPT = Query(
    str,
    f"""
    update profiles.passkeys k
    set sign_count = $3, backed_up = $4, last_used_at = now(), last_used_ip = $5::text::inet
    where k.id = $1::uuid and k.user_id = $2::uuid and {PASSKEY_SIGNS_IN} and {_RISES}
    returning k.id::text
    """,
)
SUSPEND = Query(
    str,
    f"""
    with gone as (
        update profiles.passkeys k set suspended_at = now()
        where k.id = $1::uuid and k.user_id = $2::uuid and k.suspended_at is null and not {_RISES}
        returning k.name
    ),
    moved as ({_RAISE_EPOCH})
    select name from gone
    """,
)
