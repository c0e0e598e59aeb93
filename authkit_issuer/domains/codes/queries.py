"""The SQL of guesses at codes."""

from __future__ import annotations

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
