"""The SQL of the codes of authenticator apps."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.store.predicates import ALLOWED, FACTOR_ON
from authkit_issuer.store.query import Query, Statement

MAX_MISSES = 100
"""Wrong codes in a row after which an app is refused until another factor or a backup code is right (NIST SP
800-63B-4 section 3.2.2)."""

# The step only rises, in the statement that accepts it: of parallel uses the later ones wait for the row.
ACCEPT = Statement(
    f"""
    with fitting as (
        select max(step) as step from unnest($4::int8[]) as step
        where abs(step - floor(extract(epoch from statement_timestamp()) / $5::int8)) <= 1
    )
    update profiles.second_factors f set last_step = fitting.step, tries = 0, last_used_at = now()
    from fitting, profiles.users u join profiles.two_factor_settings t on t.user_id = u.id
    where f.id = $1::uuid and f.user_id = $2::uuid and f.kind = 'totp' and f.last_step < fitting.step
      and f.tries < {MAX_MISSES}
      and u.id = f.user_id and u.auth_epoch = $3 and {ALLOWED} and {FACTOR_ON}
    """
)
COUNT_MISS = Query(
    int,
    """
    update profiles.second_factors set tries = tries + 1
    where id = $1::uuid and user_id = $2::uuid and kind = 'totp' returning tries
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """The sealed secret of an app."""

    id: str
    user_id: str
    secret: bytes
    secret_key_id: int


SEALED_BEFORE = Query(
    SealedSecret,
    """
    select id::text, user_id::text, secret, secret_key_id from profiles.second_factors
    where secret is not null and secret_key_id = any($1::int4[]) and id > $3::uuid order by id limit $2
    for update skip locked
    """,
)
RESEAL = Statement("update profiles.second_factors set secret_key_id = $2, secret = $3 where id = $1::uuid")
