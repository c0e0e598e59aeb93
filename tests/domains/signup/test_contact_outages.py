"""When a part is down nothing is decided; and whatever happens, no secret is written anywhere."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.mail import Mailbox
from fakes.users import EMAIL, PASSWORD, PHONE, finish_background, register, unverified_user, verified_user

NEW, NEW_PHONE = "new@example.test", "+4915199999999"


def calls(
    service: Service, user_id: str, request_id: str, code: str, token: str
) -> list[Callable[[], Awaitable[Any]]]:
    """Return every call of the three capabilities that needs the store."""
    registration, verification = service.registration, service.verification
    changes = service.contact_changes
    return [
        lambda: registration.register(NEW, "someone", PASSWORD),
        lambda: registration.register(NEW_PHONE, "someone", PASSWORD),
        lambda: registration.resend_email(request_id),
        lambda: registration.resend_phone(request_id),
        lambda: registration.get_pending_by_email(NEW),
        lambda: registration.get_pending_by_phone(NEW_PHONE),
        lambda: registration.verify_pending_password(NEW, PASSWORD),
        lambda: registration.confirm_email(NEW, code, registration_id=request_id),
        lambda: registration.confirm_phone(NEW_PHONE, code, registration_id=request_id),
        lambda: registration.confirm_email_link(token, registration_id=request_id),
        lambda: verification.request_email(EMAIL),
        lambda: verification.request_email("unknown@example.test"),
        lambda: verification.request_phone(PHONE),
        lambda: verification.send_phone(PHONE, user_id),
        lambda: verification.confirm_email(EMAIL, code, request_id=request_id),
        lambda: verification.confirm_email_link(token),
        lambda: verification.confirm_phone(PHONE, code, request_id=request_id),
        lambda: changes.request_email(user_id, NEW),
        lambda: changes.resend_email(user_id),
        lambda: changes.confirm_email(user_id, code),
        lambda: changes.cancel_email(user_id),
        lambda: changes.get_pending_email(user_id),
        lambda: changes.request_phone(user_id, NEW_PHONE),
        lambda: changes.resend_phone(user_id, NEW_PHONE),
        lambda: changes.confirm_phone(user_id, NEW_PHONE, code),
        lambda: changes.cancel_phone(user_id),
        lambda: changes.get_pending_phone(user_id),
    ]


async def test_a_store_that_is_down_is_said_and_nothing_is_taken_for_absent(
    make_service, mailbox: Mailbox, own_redis
) -> None:
    service = await make_service(redis_url=own_redis.url)
    user_id = await unverified_user(service, phone=PHONE)
    await service.contact_changes.request_email(user_id, NEW)
    code = mailbox.last(NEW).code
    own_redis.stop()
    for call in calls(service, user_id, "x" * 22, code, "x" * 43):
        with pytest.raises(errors.EphemeralStoreUnavailable):
            await call()
    await finish_background(service)
    assert service.rt.background.failures == 0
    assert {message.to for message in mailbox.messages} == {NEW, EMAIL}


async def test_without_a_database_every_call_says_so(make_service) -> None:
    service = await make_service(database_url=None)
    with pytest.raises(errors.StorageNotConfigured):
        await service.registration.register(NEW, "someone", PASSWORD)
    with pytest.raises(errors.StorageNotConfigured):
        await service.verification.request_email(EMAIL)
    with pytest.raises(errors.StorageNotConfigured):
        await service.contact_changes.request_email("00000000-0000-4000-8000-000000000000", NEW)


async def test_no_code_token_hash_or_address_is_logged(
    service: Service, mailbox: Mailbox, clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        user_id = await verified_user(service, mailbox)
        pending = await register(service, NEW, "other_1")
        await register(service, PHONE, "other_2")
        await register(service, EMAIL, "other_3", ip="192.0.2.9")
        clock.advance(service.config.code_cooldown)
        await service.registration.resend_email(pending)
        await service.contact_changes.request_email(user_id, "third@example.test")
        await service.contact_changes.request_phone(user_id, NEW_PHONE)
        await service.verification.request_email(EMAIL)
        for call in calls(service, user_id, pending, "000000", "x" * 43):
            try:
                await call()
            except errors.AuthError as error:
                logging.getLogger("host").exception("refused", exc_info=error)
        mailbox.failure = RuntimeError(f"{EMAIL} {mailbox.last(NEW).code} {mailbox.last(NEW).token}")
        clock.advance(service.config.code_cooldown)
        await service.registration.resend_email(pending)
        with pytest.raises(errors.EmailDeliveryFailed) as failed:
            await service.contact_changes.request_email(user_id, "fourth@example.test")
        logging.getLogger("host").error("not sent", exc_info=failed.value)
        await finish_background(service)
    secrets = {text for message in mailbox.messages for text in (message.code, message.token) if text}
    stored = (await service.registration.get_pending_by_email(NEW)).password_hash  # type: ignore[union-attr]
    assert len(secrets) > 6
    assert "background work" in caplog.text
    for secret in (*secrets, stored, PASSWORD, EMAIL, NEW, PHONE, NEW_PHONE):
        assert secret not in caplog.text
