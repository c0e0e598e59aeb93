"""The development inbox, which is read in the log as well."""

from __future__ import annotations

import logging

import pytest

from authkit_issuer.senders.inbox import Inbox


async def test_every_message_is_logged_under_a_name_of_its_own(
    clock, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox(clock)
    with caplog.at_level(logging.INFO):
        await inbox.send_login_code("ada@example.test", "ada_l", "123456")
        await inbox.send_password_reset_link("ada@example.test", "", "the-token")
        await inbox.texts.send_verification_code("+15550100200", "654321")
    assert [(record.name, record.levelname) for record in caplog.records] == [("authkit.inbox", "INFO")] * 3
    for text, secret in zip(caplog.messages, ("123456", "the-token", "654321"), strict=True):
        assert secret in text
    assert "email to ada@example.test" in caplog.messages[0]
    assert "sms to +15550100200" in caplog.messages[2]
