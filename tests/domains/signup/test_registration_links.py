"""Confirming a registration by the link in the mail."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.users import EMAIL, PASSWORD, PHONE, finish_background, register, verified_user


class CodesOnly:
    """An ``EmailSender`` without any extension."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []

    async def send_password_reset_code(self, email: str, username: str, code: str) -> None: ...
    async def send_login_code(self, email: str, username: str, code: str) -> None: ...
    async def send_welcome(self, email: str, username: str) -> None: ...
    async def send_email_verification_code(self, email: str, username: str, code: str) -> None:
        self.sent.append(("code", email, code))


class LinksBeside(CodesOnly):
    """One that sends a link in a mail of its own."""

    async def send_email_verification_link(self, email: str, username: str, token: str) -> None:
        self.sent.append(("link", email, token))


async def test_one_mail_has_the_code_and_the_link(service: Service, mailbox) -> None:
    await register(service)
    (mail,) = mailbox.to(EMAIL)
    assert (len(mail.code), len(mail.token)) == (6, 43)


@pytest.mark.parametrize(("sender", "sent"), [(CodesOnly, ["code"]), (LinksBeside, ["link", "code"])])
async def test_a_sender_gets_what_it_can_send(make_service, sender: Any, sent: list[str]) -> None:
    mails = sender()
    service = await make_service(email_sender=mails)
    registration_id = await register(service)
    assert [mail[0] for mail in mails.sent] == sent
    stored = [key for key in service.rt.ephemeral._entries if key.startswith("link:")]
    assert len(stored) == sent.count("link")
    assert await service.registration.confirm_email(EMAIL, mails.sent[-1][2], registration_id=registration_id)


async def test_the_browser_that_registered_confirms_by_its_id(service: Service, mailbox) -> None:
    registration_id = await register(service)
    token = mailbox.last(EMAIL).token
    user_id = await service.registration.confirm_email_link(token, registration_id=registration_id)
    user = await service.users.get(user_id)
    assert user is not None
    assert user.email_verified
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.registration.confirm_email_link(token, registration_id=registration_id)


async def test_another_browser_confirms_by_the_password(service: Service, mailbox) -> None:
    await register(service)
    assert await service.registration.confirm_email_link(mailbox.last(EMAIL).token, password=PASSWORD)


async def test_a_attackers_registration_is_not_confirmed_by_a_click(service: Service, mailbox) -> None:
    """The owner of the mailbox follows the link of a registration with somebody else's password."""
    attackers = await register(service, EMAIL, "mallory", "the attacker's words", ip="198.51.100.1")
    token = mailbox.last(EMAIL).token
    mine = await register(service)
    for proof in ({}, {"registration_id": mine}, {"registration_id": ""}, {"password": PASSWORD}):
        with pytest.raises(errors.CurrentPasswordRequired):
            await service.registration.confirm_email_link(token, **proof)
    assert await service.pool.fetchval("select count(*) from profiles.users") == 0
    assert await service.registration.confirm_email_link(token, registration_id=attackers)


async def test_a_link_bears_as_many_passwords_as_a_code_bears_guesses(service: Service, mailbox) -> None:
    registration_id = await register(service)
    token, hashed = mailbox.last(EMAIL).token, service.hashing.computed
    for _ in range(service.config.max_code_attempts):
        with pytest.raises(errors.CurrentPasswordRequired):
            await service.registration.confirm_email_link(token, password="wrong")
    for password in ("wrong", PASSWORD):
        with pytest.raises(errors.InvalidOrExpiredToken):
            await service.registration.confirm_email_link(token, password=password)
    assert service.hashing.computed == hashed + service.config.max_code_attempts
    assert await service.registration.confirm_email_link(token, registration_id=registration_id)


async def test_code_and_link_are_used_up_together(service: Service, mailbox) -> None:
    registration_id = await register(service)
    mail = mailbox.last(EMAIL)
    await service.registration.confirm_email_link(mail.token, registration_id=registration_id)
    with pytest.raises(errors.AlreadyConfirmed):
        await service.registration.confirm_email(EMAIL, mail.code, registration_id=registration_id)


async def test_a_resend_ends_the_earlier_link(service: Service, mailbox, clock) -> None:
    registration_id = await register(service)
    early = mailbox.last(EMAIL).token
    clock.advance(service.config.code_cooldown)
    await service.registration.resend_email(registration_id)
    await finish_background(service)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.registration.confirm_email_link(early, registration_id=registration_id)
    late = mailbox.last(EMAIL).token
    assert await service.registration.confirm_email_link(late, registration_id=registration_id)


async def test_a_link_outlives_the_code_and_ends_by_the_clock(service: Service, mailbox, clock) -> None:
    registration_id = await register(service)
    clock.advance(service.config.link_ttl - 1)
    token = mailbox.last(EMAIL).token
    with pytest.raises(errors.CurrentPasswordRequired):
        await service.registration.confirm_email_link(token)
    clock.advance(1)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.registration.confirm_email_link(token, registration_id=registration_id)


async def test_tokens_of_other_purposes_do_not_fit(service: Service, mailbox) -> None:
    await verified_user(service, mailbox)
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    reset = mailbox.last(EMAIL).token
    for token in (reset, "x" * 43, "", "\ud800"):
        with pytest.raises(errors.InvalidOrExpiredToken):
            await service.registration.confirm_email_link(token, password=PASSWORD)


async def test_a_registration_by_phone_has_no_link(service: Service, mailbox) -> None:
    await register(service, PHONE)
    assert not [key for key in service.rt.ephemeral._entries if key.startswith("link:")]


async def test_confirming_by_link_inside_a_host_transaction_is_refused(service: Service) -> None:
    async with service.transaction() as tx:
        with pytest.raises(errors.NotJoinable):
            await tx.registration.confirm_email_link("x" * 43)
