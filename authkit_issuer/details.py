"""The state of a service for the people who run it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from authkit_issuer.errors import AuthError
from authkit_issuer.errors.causes import cause
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.migration_files import shipped
from authkit_issuer.store.query import Query
from authkit_issuer.store.readiness import SILENT, in_time

VERSION = version("asgi-authkit")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """The database, as one connection sees it."""

    standby: bool
    read_only: bool
    schema_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a service runs on."""

    version: str
    """The version of the program."""
    database_role: str
    """``primary``, ``standby``, ``read-only``, ``none`` without a database, or ``unknown``."""
    database_error: str
    """Why the role is unknown; else ``""``."""
    schema_version: int | None
    """The version of the schema in the database; None if it is unknown."""
    program_schema_version: int
    """The version of the schema that the program was written for."""
    ephemeral_store: str
    """``redis`` or ``memory``."""
    signing_key: str | None
    """The id of the key that signs; None for a service that only verifies."""
    published_keys: tuple[str, ...]
    """The ids of all published keys."""


STATE = Query(
    DatabaseState,
    """
    select pg_is_in_recovery() as standby,
        current_setting('transaction_read_only') = 'on' as read_only,
        (select max(version)::int from profiles.schema_migrations) as schema_version
    """,
)


async def details(rt: Runtime) -> Details:
    """Return what the service runs on; an outage is a part of the answer."""
    role, error, found = "none", "", None
    if rt.has_storage:
        try:
            state = await in_time(rt.one(STATE))
            role, found = _role(state), state.schema_version
        except TimeoutError:
            role, error = "unknown", SILENT
        except AuthError as raised:
            role, error = "unknown", cause(raised)
    keys = rt.keys.current()
    return Details(
        version=VERSION,
        database_role=role,
        database_error=error,
        schema_version=found,
        program_schema_version=shipped()[-1].version,
        ephemeral_store=rt.ephemeral.mode,
        signing_key=keys.signing.kid if keys.signing is not None else None,
        published_keys=tuple(sorted(keys.public)),
    )


def _role(state: DatabaseState) -> str:
    if state.standby:
        return "standby"
    return "read-only" if state.read_only else "primary"
