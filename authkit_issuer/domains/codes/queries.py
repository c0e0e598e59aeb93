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
