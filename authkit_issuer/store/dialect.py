"""The words of PostgreSQL that other servers of its protocol lack or mean otherwise, all in one place.

A port to such a server begins here, and with ``text_pattern_ops``, the operator class of three indexes of
migration 1. On what else differs (isolation, the order of a sequence) no statement rests, or
``docs/guides/database.md`` names the setting.
"""

from __future__ import annotations

TRY_LOCK = "select pg_try_advisory_lock($1)"
"""Take a lock of the session, by number."""
TRY_NAMED_LOCK = "select pg_try_advisory_lock(hashtextextended($1, 0))"
"""Take a lock of the session, by name."""
TRY_TRANSACTION_LOCK = "select pg_try_advisory_xact_lock($1)"
"""Take a lock that ends with the transaction, by number."""
TRANSACTION_NUMBER = "pg_current_xact_id()::text"
TRANSACTION_STATUS = "pg_xact_status($1::text::xid8)"
"""What became of a transaction, by its number."""
ESTIMATED_USERS = "select reltuples from pg_class where oid = to_regclass('profiles.users')"
"""How many users there were when the server looked last."""
_ENGINES = {"CockroachDB": "CockroachDB", "-YB-": "YugabyteDB"}
"""What ``version()`` says of a server that is no PostgreSQL, and its name."""
REFUSED = {"CockroachDB"}
"""Those that refuse a migration."""
OLDEST = 15
"""The oldest release of PostgreSQL whose SQL is enough."""


def between(column: str, low: str, high: str) -> str:
    """Return the condition that a text is in a range of code points, whatever the collation, by an index."""
    return f"{column} ~>=~ {low} and {column} ~<~ {high}"


def engine(version: str) -> str:
    """Return the name of the server by what its ``version()`` says."""
    return next((name for mark, name in _ENGINES.items() if mark in version), "PostgreSQL")
