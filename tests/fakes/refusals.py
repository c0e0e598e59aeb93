"""What a test must not do: talk to the outside, or block the event loop from code of ours."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from blockbuster import BlockBuster

LOCAL_NAMES = frozenset({"", "localhost", "localhost.localdomain", "ip6-localhost"})

outside: list[str] = []
"""Where somebody tried to connect since the last look."""


class OutsideRefused(PermissionError):
    """A test reached for something that is not on the loopback interface.

    An ``OSError``, so that libraries clean up as after any failed connection; the test fails afterwards even
    when they swallow it.
    """


def refuse_outside() -> None:
    """Refuse, for the rest of this process, every connection and look-up that leaves the machine."""
    sys.addaudithook(_audit)


def _audit(event: str, args: tuple[object, ...]) -> None:
    if event == "socket.connect":
        address = args[1]
        host = address[0] if isinstance(address, tuple) else ""  # a unix socket is a path
    elif event == "socket.getaddrinfo":
        host = args[0]
    else:
        return
    if not _is_local(host):
        outside.append(f"{event} {host!r}")
        raise OutsideRefused(f"tests must not reach {host!r}")


def _is_local(host: object) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or name in LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(str(name))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


EXEMPT = (
    # Before a service is ready: read once, at start, before any caller waits.
    ("authkit_issuer/store/migration_files.py", "shipped"),
    ("authkit_issuer/security/key_sources.py", "load_keys"),
    ("authkit_issuer/security/key_sources.py", "_make"),
    # asyncpg reads the password file and TLS files of libpq while it opens a connection.
    ("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args"),
    # A module imported for the first time inside a request is read from disk once.
    ("<frozen importlib._bootstrap>", "_find_and_load"),
    # Lines of source are read to format a traceback for the log.
    ("traceback.py", "format_exception"),
)


@cache
def _guard() -> BlockBuster:
    """Return the one guard of this process: to make one takes longer than most tests."""
    guard = BlockBuster(["authkit_verify", "authkit_issuer"])
    for function in guard.functions.values():
        for filename, name in EXEMPT:
            function.can_block_in(filename, name)
    return guard


@contextmanager
def no_blocking() -> Iterator[None]:
    """Raise ``BlockingError`` where code of ours, or a library it called, blocks the event loop."""
    guard = _guard()
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()
