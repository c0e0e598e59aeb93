"""Messages that a mail server does not take at first: tried again in the background, said to who waits."""

from __future__ import annotations

import logging

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client, SendFailure, TemporarySendFailure
from authkit_issuer.service import Service
from fakes.factors import with_email_factor
from fakes.mail import Mailbox
from fakes.users import EMAIL, PASSWORD, finish_background, register, verified_user

HOME = Client(ip="192.0.2.1")
GREYLISTED = TemporarySendFailure("SMTP 451")


class Reluctant:
    """A mailbox that fails with these errors before it takes a message."""

    def __init__(self, box: Mailbox, *failures: Exception) -> None:
        self._box, self.failures, self.tries = box, list(failures), 0

    def __getattr__(self, name: str):
        if not name.startswith("send_"):
            raise AttributeError(name)

        async def send(*args: str) -> None:
            self.tries += 1
            if self.failures:
                raise self.failures.pop(0)
            await getattr(self._box, name)(*args)

        return send


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without a pause."""
    monkeypatch.setattr("authkit_issuer.domains.base.messages.RETRY_AFTER", (0.0, 0.0))


@pytest.mark.parametrize("failure", [GREYLISTED, ConnectionResetError(), TimeoutError()])
async def test_a_message_of_the_background_is_tried_three_times(
    make_service, mailbox: Mailbox, at_once, failure: Exception
) -> None:
    sender = Reluctant(mailbox, failure, failure)
    service: Service = await make_service(email_sender=sender)
    registration_id = await register(service)
    assert sender.tries == 3
    assert service.rt.background.failures == 0
    code = mailbox.last(EMAIL).code
    assert await service.registration.confirm_email(EMAIL, code, registration_id=registration_id)


@pytest.mark.parametrize(
    ("failures", "tries"),
    [([GREYLISTED] * 3, 3), ([SendFailure("SMTP 550")], 1), ([RuntimeError("code 123456")], 1)],
)
async def test_a_failure_that_stays_is_logged_with_its_code_and_nothing_else(
    make_service, mailbox: Mailbox, at_once, caplog, failures: list[Exception], tries: int
) -> None:
    sender = Reluctant(mailbox, *failures)
    service: Service = await make_service(email_sender=sender)
    with caplog.at_level(logging.WARNING):
        await register(service)
    assert sender.tries == tries
    assert service.rt.background.failures == 1
    assert ("SMTP 4" in caplog.text, "SMTP 5" in caplog.text) == (tries == 3, "550" in str(failures))
    assert "123456" not in caplog.text
    assert EMAIL not in caplog.text


async def test_a_reset_is_tried_again_and_recorded_once(make_service, mailbox: Mailbox, at_once) -> None:
    service: Service = await make_service()
    user_id = await verified_user(service, mailbox)
    other: Service = await make_service(email_sender=Reluctant(mailbox, GREYLISTED))
    await other.passwords.request_reset(EMAIL, client=HOME)
    await finish_background(other)
    assert mailbox.last(EMAIL).kind == "password_reset_link"
    assert len(await service.events.list_session_events(user_id, "password_recovery")) == 1


async def test_a_caller_that_waits_learns_of_the_failure_and_may_ask_again_at_once(
    make_service, mailbox: Mailbox, caplog
) -> None:
    service: Service = await make_service()
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    session = (await service.sessions.issue(user_id)).session_id
    asks = [
        lambda: service.logins.step_up_send_code(user_id, session, client=HOME),
        lambda: service.two_factor.send_email_setup_code(user_id, client=HOME),
        lambda: service.two_factor.require_for_login(user_id, client=HOME),
        lambda: service.contact_changes.request_email(user_id, "new@example.test", client=HOME),
    ]
    for ask in asks:
        mailbox.failure = GREYLISTED
        with pytest.raises(errors.EmailDeliveryFailed):
            await ask()
        mailbox.failure = None
        await ask()
    assert "SMTP 451" in caplog.text


@pytest.mark.parametrize("taken", [True, False])
async def test_a_resend_within_the_pause_says_how_long_it_lasts_for_any_address(
    service: Service, mailbox: Mailbox, clock, *, taken: bool
) -> None:
    if taken:
        await verified_user(service, mailbox)
        clock.advance(3600)
    registration_id = await register(service, EMAIL, "eve_l")
    with pytest.raises(errors.TooManyRequests) as refused:
        await service.registration.resend_email(registration_id, client=HOME)
    assert refused.value.retry_after == service.config.code_cooldown
    clock.advance(service.config.code_cooldown)
    await service.registration.resend_email(registration_id, client=HOME)


async def test_a_code_is_not_tried_again_once_it_is_useless(make_service, mailbox: Mailbox) -> None:
    sender = Reluctant(mailbox, GREYLISTED)
    service: Service = await make_service(email_sender=sender, code_ttl=20.0)  # the first pause is longer
    await register(service)
    assert (sender.tries, service.rt.background.failures) == (1, 1)


async def test_a_notice_is_tried_for_hours(make_service, mailbox: Mailbox, monkeypatch) -> None:
    monkeypatch.setattr("authkit_issuer.domains.base.messages.RETRY_AFTER", (0.0,) * 5)
    service: Service = await make_service()
    user_id = await verified_user(service, mailbox)
    sender = Reluctant(mailbox, *[GREYLISTED] * 5)
    other: Service = await make_service(email_sender=sender, code_ttl=1.0)
    await other.users.update_username(user_id, "ada_byron")
    await finish_background(other)
    assert (sender.tries, mailbox.last(EMAIL).kind) == (6, "username_changed")


async def test_closing_does_not_wait_for_messages_of_a_server_that_is_away(
    make_service, mailbox: Mailbox, caplog
) -> None:
    service: Service = await make_service()
    user_id = await verified_user(service, mailbox)
    sender = Reluctant(mailbox, *[GREYLISTED] * 9)
    other: Service = await make_service(email_sender=sender)
    await other.users.update_username(user_id, "ada_byron")
    await finish_background(other)
    await other.close()
    assert "1 messages were waiting to be sent again" in caplog.text
    assert (sender.tries, other.rt.background.failures) == (1, 1)


async def test_the_queue_of_messages_is_bounded(make_service, mailbox: Mailbox, monkeypatch) -> None:
    monkeypatch.setattr("authkit_issuer.runtime.MAX_POSTPONED", 2)
    service: Service = await make_service()
    user_id = await verified_user(service, mailbox)
    sender = Reluctant(mailbox, *[GREYLISTED] * 9)
    other: Service = await make_service(email_sender=sender)
    for number in range(4):
        await other.users.update_username(user_id, f"ada_byron_{number}", ignore_cooldown=True)
    await finish_background(other)
    assert (sender.tries, other.rt.background.failures) == (4, 2)
