"""Proving a contact of an account that exists: it marks the contact and opens nothing."""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.users import EMAIL, PHONE, finish_background, unverified_user

UNKNOWN, UNKNOWN_PHONE = "unknown@example.test", "+4915199999999"


async def ask(service: Service, target: str = EMAIL, ip: str = "192.0.2.1") -> str:
    verification = service.verification
    request = verification.request_phone if target.startswith("+") else verification.request_email
    request_id = await request(target, client=Client(ip=ip))
    await finish_background(service)
    return request_id


async def test_a_code_marks_the_address_and_signs_no_user_in(service: Service, mailbox) -> None:
    user_id = await unverified_user(service)
    request_id = await ask(service, " ADA@Example.test")
    mail = mailbox.last(EMAIL)
    assert (mail.kind, mail.username) == ("email_verification_code", "ada_l")
    confirmed = await service.verification.confirm_email(EMAIL, mail.code, request_id=request_id)
    assert confirmed == user_id
    user = await service.users.get(user_id)
    assert user is not None
    assert user.email_verified
    assert user.updated_at > user.created_at
    assert await service.sessions.list_for_user(user_id) == []
    with pytest.raises(errors.AlreadyConfirmed):
        await service.verification.confirm_email(EMAIL, mail.code, request_id=request_id)
    events = await service.pool.fetch(
        "select method from profiles.session_events where event = 'contact_verified' and user_id = $1",
        user_id,
    )
    assert [row["method"] for row in events] == ["email"]


async def test_a_link_marks_the_address_once(service: Service, mailbox) -> None:
    user_id = await unverified_user(service)
    await ask(service)
    token = mailbox.last(EMAIL).token
    assert await service.verification.confirm_email_link(token) == user_id
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.verification.confirm_email_link(token)


async def test_a_code_marks_the_number(service: Service, mailbox) -> None:
    user_id = await unverified_user(service, None, phone=PHONE)
    request_id = await ask(service, PHONE)
    code = mailbox.last(PHONE).code
    assert await service.verification.confirm_phone(PHONE, code, request_id=request_id) is None
    user = await service.users.get(user_id)
    assert user is not None
    assert user.phone_verified
    assert not user.email_verified


async def test_a_code_fits_only_its_request_its_contact_and_its_purpose(service: Service, mailbox) -> None:
    user_id = await unverified_user(service, phone=PHONE)
    by_mail, by_phone = await ask(service), await ask(service, PHONE)
    code, digits = mailbox.last(EMAIL).code, mailbox.last(PHONE).code
    for wrong in (None, "", "x" * 22, by_phone, user_id):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.verification.confirm_email(EMAIL, code, request_id=wrong)
    for address in (UNKNOWN, "no address", PHONE):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.verification.confirm_email(address, code, request_id=by_mail)
    for refused in (
        service.registration.confirm_email(EMAIL, code, registration_id=by_mail),
        service.registration.confirm_phone(PHONE, digits, registration_id=by_phone),
        service.contact_changes.confirm_email(user_id, code),
        service.contact_changes.confirm_phone(user_id, PHONE, digits),
    ):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await refused
    assert await service.verification.confirm_email(EMAIL, code, request_id=by_mail)


async def test_an_attacker_can_neither_burn_nor_replace_a_request(service: Service, mailbox) -> None:
    await unverified_user(service)
    mine = await ask(service, ip="192.0.2.1")
    code = mailbox.last(EMAIL).code
    theirs = await ask(service, ip="198.51.100.1")
    for guess in range(10):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.verification.confirm_email(EMAIL, f"{guess:06d}", request_id=theirs)
    assert await service.verification.confirm_email(EMAIL, code, request_id=mine)


async def test_a_second_request_within_the_pause_is_confirmed_by_the_mail_that_came(
    service: Service, mailbox
) -> None:
    await unverified_user(service)
    await ask(service)
    again = await ask(service)
    (mail,) = mailbox.to(EMAIL)
    assert await service.verification.confirm_email(EMAIL, mail.code, request_id=again)


async def test_unknown_proved_and_barred_accounts_get_an_id_and_no_message(service: Service, mailbox) -> None:
    proved = await unverified_user(service, "proved@example.test", "proved")
    await service.users.set_email_verified(proved, True)
    banned = await unverified_user(service, "banned@example.test", "banned")
    await service.lifecycle.ban(banned)
    deleted = await unverified_user(service, "deleted@example.test", "deleted")
    await service.lifecycle.soft_delete(deleted)
    await finish_background(service)
    mailbox.messages.clear()
    for target in ("proved@example.test", "banned@example.test", "deleted@example.test", UNKNOWN):
        assert len(await ask(service, target)) == 22
    assert len(await ask(service, UNKNOWN_PHONE)) == 22
    assert mailbox.messages == []


async def test_what_changed_since_ends_the_proof(service: Service, mailbox) -> None:
    """Another address, a ban, an epoch that moved: the code is of an account that is no more."""

    async def moved(user_id: str) -> None:
        await service.users.update_email(user_id, "other@example.test")

    async def banned(user_id: str) -> None:
        await service.lifecycle.ban(user_id)

    async def signed_out_everywhere(user_id: str) -> None:
        await service.sessions.revoke_all(user_id)

    for number, change in enumerate((moved, banned, signed_out_everywhere)):
        email = f"ada{number}@example.test"
        user_id = await unverified_user(service, email, f"ada_{number}")
        request_id = await ask(service, email)
        mail = mailbox.last(email)
        await change(user_id)
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.verification.confirm_email(email, mail.code, request_id=request_id)
        user = await service.users.get(user_id)
        assert user is not None
        assert not user.email_verified


async def test_the_link_an_operators_change_sends_is_taken_here(service: Service, mailbox) -> None:
    user_id = await unverified_user(service)
    await service.users.update_email(user_id, "new@example.test")
    await finish_background(service)
    assert await service.verification.confirm_email_link(mailbox.last("new@example.test").token) == user_id


async def test_the_time_to_live_may_be_given(service: Service, mailbox, clock) -> None:
    await unverified_user(service)
    request_id = await service.verification.request_email(EMAIL, 30)
    await finish_background(service)
    mail = mailbox.last(EMAIL)
    clock.advance(30)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.verification.confirm_email(EMAIL, mail.code, request_id=request_id)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.verification.confirm_email_link(mail.token)


async def test_a_signed_in_user_sends_a_code_to_their_own_number_and_hears_of_failures(
    service: Service, mailbox, clock
) -> None:
    user_id = await unverified_user(service, phone=PHONE)
    other = await unverified_user(service, "eve@example.test", "eve_1")
    for wrong in (other, "no id", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(errors.UserNotFound):
            await service.verification.send_phone(PHONE, wrong)
    with pytest.raises(errors.UserNotFound):
        await service.verification.send_phone(UNKNOWN_PHONE, user_id)
    mailbox.failure = RuntimeError("code 123456 refused")
    with pytest.raises(errors.SmsDeliveryFailed) as failed:
        await service.verification.send_phone(PHONE, user_id)
    assert failed.value.__cause__ is None
    mailbox.failure = None
    request_id = await service.verification.send_phone(PHONE, user_id)
    with pytest.raises(errors.TooManyRequests):
        await service.verification.send_phone(PHONE, user_id)
    await service.verification.confirm_phone(PHONE, mailbox.last(PHONE).code, request_id=request_id)
    clock.advance(service.config.code_cooldown)
    assert await service.verification.send_phone(PHONE, user_id)
    assert len(mailbox.to(PHONE)) == 1


async def test_a_sending_that_hangs_ends_by_its_deadline(make_service, mailbox, monkeypatch) -> None:
    monkeypatch.setattr("authkit_issuer.domains.base.messages.RETRY_AFTER", (0.0, 0.0))
    service = await make_service(send_timeout=0.01)
    user_id = await unverified_user(service, phone=PHONE)
    mailbox.open.clear()
    with pytest.raises(errors.SmsDeliveryFailed):
        await service.verification.send_phone(PHONE, user_id)
    await service.verification.request_email(EMAIL)
    await finish_background(service)
    assert service.rt.background.failures == 1


async def test_without_a_sender_it_says_so_before_any_look_up(make_service) -> None:
    service = await make_service(email_sender=None, sms_sender=None)
    user_id = await unverified_user(service, phone=PHONE)
    for email in (EMAIL, UNKNOWN, "no address"):
        with pytest.raises(errors.EmailUnavailable):
            await service.verification.request_email(email)
    for phone in (PHONE, UNKNOWN_PHONE, "no number"):
        with pytest.raises(errors.SmsUnavailable):
            await service.verification.request_phone(phone)
    with pytest.raises(errors.SmsUnavailable):
        await service.verification.send_phone(PHONE, user_id)


async def test_nothing_of_it_joins_a_host_transaction(service: Service) -> None:
    async with service.transaction() as tx:
        for refused in (
            tx.verification.request_email(EMAIL),
            tx.verification.request_phone(PHONE),
            tx.verification.send_phone(PHONE, "x"),
            tx.verification.confirm_email(EMAIL, "123456", request_id="x"),
            tx.verification.confirm_email_link("x"),
            tx.verification.confirm_phone(PHONE, "123456", request_id="x"),
        ):
            with pytest.raises(errors.NotJoinable):
                await refused
