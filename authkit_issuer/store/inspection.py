"""The state of the database, for operators: its role, what the user may do, its clock and its safety."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authkit_issuer.store import dialect
from authkit_issuer.store.address import place
from authkit_issuer.store.connecting import Connector
from authkit_issuer.store.connection import translated

_FACTS = """
select current_setting('server_version') as version,
       current_setting('server_version_num')::int / 10000 as release,
       exists (select from pg_extension where extname = 'citus') as citus,
       current_user::text as role,
       pg_is_in_recovery() as standby,
       current_setting('transaction_read_only') = 'on' as read_only,
       (select rolsuper from pg_roles where rolname = current_user) as superuser,
       current_setting('max_connections')::int as max_connections,
       current_setting('fsync') = 'on' as fsync,
       coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as encrypted,
       inet_client_addr() is not null and inet_client_addr() <> inet_server_addr() as remote,
       extract(epoch from clock_timestamp())::float8 as now
"""
_ALLOWED = """
select coalesce(bool_and(
           has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
           and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete')
       ), true)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relkind in ('r', 'p') and c.relname <> 'schema_migrations'
"""


class OtherEngine(Exception):
    """The server is no PostgreSQL, and refuses a migration; the text is its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """The state of a database, as one connection of the service sees it."""

    engine: str
    """``PostgreSQL``, or the name of a server that speaks its protocol."""
    version: str
    release: int
    """The number before the dot."""
    citus: bool
    """True if tables of this database may be spread over machines."""
    role: str
    standby: bool
    read_only: bool
    superuser: bool
    may_write: bool
    """True if the role may read and change every table of the schema."""
    max_connections: int
    fsync: bool
    encrypted: bool
    remote: bool
    """True if the server is on another machine."""
    now: float
    """The time of its clock, in Unix seconds."""


async def inspect(dsn: str, *, schema: str) -> DatabaseFacts:
    """Connect and look; changes nothing.

    Raises:
        ConfigError: The address cannot be read.
        OtherEngine: The server is one that does not migrate.
        DatabaseUnavailable: The server does not answer; ``reason`` says why.
    """
    with translated(place(dsn)):
        connection: Any = await Connector(dsn, statement_cache=False).connect()
        try:
            engine = dialect.engine(await connection.fetchval("select version()"))
            if engine in dialect.REFUSED:
                raise OtherEngine(engine)
            facts = await connection.fetchrow(_FACTS)
            may_write = await connection.fetchval(_ALLOWED, schema)
            return DatabaseFacts(engine=engine, may_write=may_write, **dict(facts))
        finally:
            await connection.close()
