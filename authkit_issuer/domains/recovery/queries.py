"""The rows and the SQL of recoveries. The clock is the database's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryState:
    """An open recovery. Times are aware, in UTC."""

    started_at: datetime
    completes_at: datetime
    """When the wait ends."""
    expires_at: datetime
    """When it ends unused."""
    ready: bool
    """The wait is over, and its notices went out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The account of a recovery: its epoch, and whom a notice goes to."""

    auth_epoch: int
    allowed: bool
    username: str
    email: str | None
    """The verified address."""
    phones: list[str]
    """The verified number, and those that get codes of second factors."""
    pause: float
    """Seconds until another recovery may start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A recovery whose next notice is due."""

    user_id: str
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """The factors that a recovery dropped."""

    factors: int
    passkeys: int


COOL_DOWN = 86_400
"""Seconds after a start, or after a cancellation, in which no other recovery starts."""
_PAUSE = f"interval '{COOL_DOWN} seconds'"
_NOT_PROVED = """
    not exists (
        select from profiles.refresh_sessions s
        where s.user_id = r.user_id and 'mfa' = any(s.amr) and s.auth_time > r.started_at
    )
"""
_CONTACTS = "encode(sha256(convert_to(jsonb_build_array(u.email, u.phone_number)::text, 'UTF8')), 'hex')"
# A user who proves a second factor has not lost them all: that ends the request, without a write at sign-in.
_OPEN = f"""
    (r.cancelled_at is null and now() < r.expires_at and r.auth_epoch = u.auth_epoch
     and r.contacts = {_CONTACTS} and {ALLOWED} and {HAS_TWO_FACTOR} and {_NOT_PROVED})
"""
# The notices are the protection: while they are overdue by a day, nothing completes.
_READY = """
    (r.completes_at <= now() and coalesce(r.noticed_at > now() - interval '2 days', false))
"""
_FROM = "from profiles.recovery_requests r join profiles.users u on u.id = r.user_id"
_OWNER = f"""
    select u.auth_epoch, {ALLOWED} as allowed, coalesce(u.username, '') as username,
           case when u.email_verified and u.email_frozen_at is null then u.email end as email,
           array(
               select u.phone_number where u.phone_verified
               union
               select f.phone_number from profiles.second_factors f
               where f.user_id = u.id and f.phone_number is not null
           ) as phones,
           coalesce((
               select extract(epoch from greatest(
                   r.cancelled_at, case when r.auth_epoch = u.auth_epoch then r.started_at end
               ) + {_PAUSE} - now())
               from profiles.recovery_requests r where r.user_id = u.id
           ), 0)::float8 as pause
    from profiles.users u where u.id = $1::uuid
"""
OWNER = Query(Owner, _OWNER)
# Every other change of an account locks the user's row first as well.
LOCK_OWNER = Query(Owner, f"{_OWNER} for no key update of u")
FIND = Query(
    RecoveryState,
    f"""
    select r.started_at, r.completes_at, r.expires_at, {_READY} as ready
    {_FROM} where r.user_id = $1::uuid and {_OPEN}
    """,
)
# The first notice is due at once: if the process ends before it sends one, another process does.
OPEN = Query(
    RecoveryState,
    f"""
    insert into profiles.recovery_requests as r
        (user_id, auth_epoch, contacts, method, completes_at, expires_at, next_notice_at)
    select u.id, $2, {_CONTACTS}, $3, now() + $4::float8 * interval '1 second',
           now() + ($4::float8 + $5::float8) * interval '1 second', now()
    from profiles.users u where u.id = $1::uuid
    on conflict (user_id) do update
    set auth_epoch = excluded.auth_epoch, contacts = excluded.contacts, method = excluded.method,
        started_at = now(), completes_at = excluded.completes_at, expires_at = excluded.expires_at,
        next_notice_at = excluded.next_notice_at, cancel_digests = excluded.cancel_digests,
        noticed_at = null, cancelled_at = null
    returning r.started_at, r.completes_at, r.expires_at, {_READY} as ready
    """,
)
# One winner, and only while the request is open: a cancellation that committed before is seen here.
CLAIM = Query(
    str,
    f"""
    delete from profiles.recovery_requests r using profiles.users u
    where u.id = r.user_id and r.user_id = $1::uuid and {_OPEN} and {_READY}
    returning r.user_id::text
    """,
)
# $2 is true for a sign-in by a passkey: passkeys are not lost, and may be the only way in.
DROP_FACTORS = Query(
    Dropped,
    """
    with factors as (
        delete from profiles.second_factors where user_id = $1::uuid returning 1
    ), passkeys as (
        delete from profiles.passkeys where user_id = $1::uuid and not $2::bool returning 1
    )
    select (select count(*)::int from factors) as factors, (select count(*)::int from passkeys) as passkeys
    """,
)
EPOCH = Query(int, "select auth_epoch from profiles.users where id = $1::uuid")
OF_TOKEN = Query(
    str,
    "select user_id::text from profiles.recovery_requests where cancel_digests @> array[$1::text]",
)
CANCEL = Statement(
    f"""
    update profiles.recovery_requests r set cancelled_at = now() from profiles.users u
    where u.id = r.user_id and r.user_id = $1::uuid and {_OPEN}
    """
)
# Several processes may look at once: each request is taken by one, and its row is read anew under the lock.
DUE = Query(
    Due,
    f"""
    select r.user_id::text, r.noticed_at is null as first {_FROM}
    where r.next_notice_at <= now() and ($2::uuid is null or r.user_id = $2::uuid) and {_OPEN}
    order by r.next_notice_at limit $1 for no key update of r skip locked
    """,
)
# $3 is the time that the senders get; a notice that did not go out by then is due again. The wait of $4
# seconds is the owner's. It begins anew with a late first notice: an attacker can keep a sender busy.
_LATE = "(r.noticed_at is null and r.started_at < now() - interval '1 hour')"
BEGIN_NOTICE = Query(
    RecoveryState,
    f"""
    update profiles.recovery_requests r
    set next_notice_at = now() + $3::float8 * interval '1 second',
        cancel_digests = cancel_digests || $2::text,
        completes_at = case when {_LATE} then now() + $4::float8 * interval '1 second' else completes_at end,
        expires_at = case when {_LATE} then now() + ($4::float8 + $5::float8) * interval '1 second'
                          else expires_at end
    where user_id = $1::uuid
    returning r.started_at, r.completes_at, r.expires_at, {_READY} as ready
    """,
)
# Only of the request that the notice was about.
END_NOTICE = Statement(
    """
    update profiles.recovery_requests set next_notice_at = now() + interval '1 day', noticed_at = now()
    where user_id = $1::uuid and cancel_digests @> array[$2::text]
    """
)
# Proved by a second factor since: an end that is not written down yet.
END_PROVED = Query(
    str,
    f"""
    with proved as (
        select r.user_id {_FROM}
        where r.cancelled_at is null and now() < r.expires_at and r.auth_epoch = u.auth_epoch
          and not {_NOT_PROVED}
        limit $1 for no key update of r skip locked
    )
    update profiles.recovery_requests r set cancelled_at = now()
    from proved where r.user_id = proved.user_id returning r.user_id::text
    """,
)
PURGE = Statement(
    f"""
    delete from profiles.recovery_requests r using profiles.users u
    where u.id = r.user_id and not {_OPEN}
      and greatest(r.started_at, r.cancelled_at) < now() - {_PAUSE}
    """
)
