"""Why requests failed: one line a second for each cause, with class and SQLSTATE, and no value."""

from __future__ import annotations

import logging

import asyncpg
import httpx
import pytest

from authkit_issuer.errors import DatabaseUnavailable, ServerBusy
from authkit_issuer.errors.causes import cause
from authkit_issuer.http import create_app
from authkit_issuer.http.failure_log import FailureLog

AGAIN = (
    "request later: GET /auth/user/me is database_unavailable: PostgreSQL (TimeoutError) "
    "(and 49 requests before)"
)


def caused(error: Exception, reason: str = "PostgreSQL") -> DatabaseUnavailable:
    try:
        raise DatabaseUnavailable().because(reason) from error
    except DatabaseUnavailable as raised:
        return raised


def test_a_cause_has_class_and_sqlstate_and_no_text_of_the_exception() -> None:
    error = asyncpg.ReadOnlySQLTransactionError("row (ada@example.test)")
    assert cause(caused(error)) == "PostgreSQL (ReadOnlySQLTransactionError, SQLSTATE 25006)"
    assert cause(ConnectionResetError("ada@example.test")) == "ConnectionResetError"
    assert cause(ServerBusy(retry_after=1)) == "server_busy"


def test_a_cause_is_logged_once_a_second_and_the_others_are_counted(caplog) -> None:
    now = 0.0
    log = FailureLog(clock=lambda: now)
    with caplog.at_level(logging.WARNING, "authkit.http"):
        for number in range(50):
            log.note(f"r{number}", "POST /auth/token", caused(TimeoutError()))
            log.note(f"s{number}", "POST /auth/token", caused(ConnectionError(), "Redis"))
        now = 1.5
        log.note("later", "GET /auth/user/me", caused(TimeoutError()))
    assert [record.getMessage() for record in caplog.records] == [
        "request r0: POST /auth/token is database_unavailable: PostgreSQL (TimeoutError)",
        "request s0: POST /auth/token is database_unavailable: Redis (ConnectionError)",
        AGAIN,
    ]


def test_the_memory_of_causes_has_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog(clock=lambda: 0.0)
    for number in range(1000):
        log.note("r", "GET /", caused(TimeoutError(), f"cause {number}"))
    assert len(log._seen) <= 100
    assert len(caplog.records) == 1000


async def test_a_read_only_database_is_named_in_the_log_and_not_in_the_answer(
    service, make_service, caplog, database_url
) -> None:
    user = await service.users.create(None, "ada_l")
    pair = await service.sessions.issue(user.id, method="password_login")
    read_only = await make_service(database_url=f"{database_url}&default_transaction_read_only=on")
    transport = httpx.ASGITransport(app=create_app(read_only))
    async with httpx.AsyncClient(transport=transport, base_url="http://id.test") as client:
        with caplog.at_level(logging.WARNING, "authkit.http"):
            body = {"grant_type": "refresh_token", "refresh_token": pair.refresh_token}
            answers = [await client.post("/auth/token", json=body) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {503}
    assert "read-only" not in answers[0].text
    (line,) = [record.getMessage() for record in caplog.records if record.name == "authkit.http"]
    assert "POST /auth/token is database_unavailable: PostgreSQL" in line
    assert line.endswith("(ReadOnlySQLTransactionError, SQLSTATE 25006)")
    assert pair.refresh_token not in line
