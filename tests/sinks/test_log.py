"""The audit trail as a structured log."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from authkit_issuer import AuthSessionEvent
from authkit_issuer.sinks import LogEventLogger
from fakes.mail import Mailbox
from fakes.patience import PATIENCE
from fakes.users import finish_background

EVENT = AuthSessionEvent(
    id=7,
    occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, UTC),
    issuer="https://issuer.example.test",
    user_id="u",
    session_id="s",
    event="session_created",
    method="password_login",
    ip_addr="192.0.2.1",
    user_agent='agent\r\n{"event": "forged"}\x1b[31m',
    data={"before": "ada@example.test", "n": 1},
)


async def test_an_event_is_one_record_whose_message_is_one_line_of_json(caplog) -> None:
    with caplog.at_level(logging.INFO, logger="authkit.events"):
        await LogEventLogger().log_session_event(EVENT)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.isprintable()
    told = json.loads(message)
    assert told == record.auth_event
    assert (told["id"], told["event"], told["data"]) == (7, "session_created", EVENT.data)
    assert told["user_agent"] == EVENT.user_agent
    assert datetime.fromisoformat(told["occurred_at"]) == EVENT.occurred_at
    assert told.keys() == set(AuthSessionEvent.__dataclass_fields__)


async def test_logger_and_level_are_the_hosts_choice(caplog) -> None:
    sink = LogEventLogger(logging.getLogger("audit"), level=logging.WARNING, name="second")
    assert sink.name == "second"
    with caplog.at_level(logging.WARNING, logger="audit"):
        await sink.log_session_event(EVENT)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("audit", "WARNING")


async def test_what_is_personal_can_be_left_out(caplog) -> None:
    disabled = replace(EVENT, event="two_factor_disabled", actor="operator", reason="a man of Elm Street")
    with caplog.at_level(logging.INFO, logger="authkit.events"):
        for event in (EVENT, disabled):
            await LogEventLogger(personal=False).log_session_event(event)
    for personal in ("192.0.2.1", "agent\\r", "ada@", "Elm"):
        assert personal not in caplog.text
    assert "password_login" in caplog.text


async def test_no_secret_of_a_registration_and_a_login_reaches_the_log(
    make_service, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "correct horse battery"
    with caplog.at_level(logging.DEBUG):
        service = await make_service(event_loggers=[LogEventLogger()])
        started = await service.registration.register("ada@example.test", "ada_l", secret)
        await finish_background(service)
        code = mailbox.last("ada@example.test").code
        await service.registration.confirm_email(
            "ada@example.test", code, registration_id=started.registration_id
        )
        pair = await service.logins.with_password("ada_l", secret)
        again = await service.sessions.exchange(pair.refresh_token)
        async with asyncio.timeout(PATIENCE):
            while await service.pool.fetchval("select count(*) from profiles.event_outbox"):
                await asyncio.sleep(0.01)
    told = [record for record in caplog.records if record.name == "authkit.events"]
    assert {"user_created", "session_created"} <= {record.auth_event["event"] for record in told}
    for hidden in (secret, code, pair.refresh_token, pair.access_token, again.refresh_token):
        assert all(hidden not in record.getMessage() for record in told)
