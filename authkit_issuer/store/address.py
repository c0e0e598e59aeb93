"""The address of a database: its hosts, and what may be said of it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from authkit_issuer import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host of an address; a port of None is the default one."""

    name: str
    port: int | None


def hosts(dsn: str) -> tuple[Host, ...]:
    """Return the hosts that an address lists; empty if it names none.

    Raises:
        ValueError: The address cannot be read.
    """
    parts = urlsplit(dsn)
    if parts.fragment or "@" in parts.path:
        # A password with a bare # or /: the rest of it would be the name of the database, which logs have.
        raise ValueError("userinfo")
    query = parse_qs(parts.query)
    listed = parts.netloc.rpartition("@")[2]
    if listed:
        return tuple(_host(unquote(text)) for text in listed.split(","))
    names = [name for value in query.get("host", ()) for name in value.split(",")]
    ports = [int(port) for value in query.get("port", ()) for port in value.split(",")]
    if len(names) > 1 and len(ports) == 1:
        ports *= len(names)
    found = [_host(name) for name in names]
    if len(ports) == len(found):
        found = [Host(name=host.name, port=port) for host, port in zip(found, ports, strict=True)]
    return tuple(found)


def _host(text: str) -> Host:
    """Read ``host``, ``host:port``, ``[::1]:port`` or the folder of a unix socket."""
    if text.startswith("/"):
        return Host(name=text, port=None)
    if text.startswith("["):
        name, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = text.partition(":")
    return Host(name=name, port=int(port) if port else None)


def place(dsn: str) -> str:
    """Return what an operator knows the database by: host, port and name, without user and password.

    Raises:
        ConfigError: The address cannot be read.
    """
    with readable_address():
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
    host = parts.netloc.rpartition("@")[2] or ",".join(query.get("host", ()))
    name = parts.path.lstrip("/") or "of the user"
    return f"PostgreSQL at {host or 'the default host'}, database {name} (database_url)"


@contextmanager
def readable_address() -> Generator[None, None, None]:
    """Turn what the driver says of a malformed ``database_url`` into ``ConfigError``, not quoting it."""
    try:
        yield
    except (asyncpg.ClientConfigurationError, ValueError):
        # Not chained: the text may hold the password.
        raise errors.ConfigError(
            "database_url is not a PostgreSQL address: escape what is special in its user name and password."
        ) from None
