"""What the driver says of a server that went away is an outage; what it says of a defect is none."""

from __future__ import annotations

import asyncpg
import pytest

from authkit_issuer.errors import DatabaseUnavailable
from authkit_issuer.store.connection import translated


@pytest.mark.parametrize(
    "error",
    [
        # The server has said farewell and has not hung up yet: a moment that a test cannot bring about.
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_server_is_an_outage(error: Exception) -> None:
    with pytest.raises(DatabaseUnavailable) as outage, translated():
        raise error
    assert outage.value.__cause__ is error


def test_two_tasks_on_one_connection_are_a_defect() -> None:
    defect = asyncpg.InterfaceError("cannot perform operation: another operation is in progress")
    with pytest.raises(asyncpg.InterfaceError) as raised, translated():
        raise defect
    assert raised.value is defect
