"""Registration by phone number: everything a registration by mail promises."""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.users import EMAIL, PASSWORD, PHONE, finish_background, register, verified_user

OTHER = "+4915199999999"
ATTACKERS = "a password of the attacker"


async def test_a_confirmed_registration_is_an_account_with_a_verified_number_and_no_address(
    service: Service, mailbox
) -> None:
    user_id = await verified_user(service, mailbox, PHONE)
    user = await service.users.get_by_phone(PHONE)
    assert user is not None
    assert (user.id, user.email, user.username, user.phone_verified) == (user_id, None, "ada_l", True)
    assert await service.passwords.verify(user_id, PASSWORD)
    assert [message.channel for message in mailbox.messages] == ["sms"]


async def test_signing_in_with_the_code_opens_a_session_of_its_own_method(service: Service, mailbox) -> None:
    registration_id = await register(service, PHONE)
    pair = await service.logins.with_registration_code(
        PHONE, mailbox.last(PHONE).code, registration_id=registration_id
    )
    row = await service.pool.fetchrow("select id::text, auth_method from profiles.refresh_sessions")
    assert tuple(row) == (pair.session_id, "phone_verification")
    assert await service.logins.with_password(PHONE, PASSWORD)


async def test_a_code_works_only_with_its_number_and_its_registration(service: Service, mailbox) -> None:
    registration_id = await register(service, PHONE)
    code = mailbox.last(PHONE).code
    for number, wrong in ((OTHER, registration_id), (PHONE, "x" * 22), (PHONE, None), ("+", registration_id)):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.registration.confirm_phone(number, code, registration_id=wrong)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.registration.confirm_email(EMAIL, code, registration_id=registration_id)
    assert await service.registration.confirm_phone(f" {PHONE} ", code, registration_id=registration_id)


async def test_a_pending_registration_can_be_looked_up_by_its_number(service: Service, mailbox) -> None:
    registration_id = await register(service, PHONE)
    pending = await service.registration.get_pending_by_phone(PHONE)
    assert pending is not None
    assert (pending.email, pending.phone, pending.username) == (None, PHONE, "ada_l")
    assert pending.registration_id == registration_id
    assert await service.registration.get_pending_by_phone(OTHER) is None
    assert await service.registration.get_pending_by_phone("no number") is None
    assert await service.registration.verify_pending_password(PHONE, PASSWORD)


async def test_a_pending_registration_lives_a_quarter_of_an_hour(service: Service, mailbox, clock) -> None:
    await register(service, PHONE)
    clock.advance(service.config.pending_phone_ttl)
    assert await service.registration.get_pending_by_phone(PHONE) is None


async def test_a_name_is_free_until_an_account_has_it(service: Service, mailbox) -> None:
    await register(service, EMAIL, "ada_l")
    assert await service.registration.check_phone_conflict(PHONE, "ada_l") == (False, False)
    await service.users.create("first@example.test", "ada_l")
    assert await service.registration.check_phone_conflict(PHONE, "ada_l") == (False, True)
    with pytest.raises(errors.UsernameInUse):
        await register(service, PHONE, "ADA_L")


async def test_an_abandoned_name_is_free_for_others(service: Service, mailbox, clock) -> None:
    await register(service, PHONE, "ada_l")
    clock.advance(service.config.code_cooldown)
    await register(service, PHONE, "ada_2")
    clock.advance(service.config.pending_phone_ttl - 1)
    assert await service.registration.check_phone_conflict(OTHER, "ada_l") == (False, False)


async def test_a_taken_number_answers_like_a_free_one_and_gets_no_code(service: Service, mailbox) -> None:
    await verified_user(service, mailbox, PHONE)
    mailbox.messages.clear()
    answers = []
    for number, name in ((PHONE, "stranger1"), (OTHER, "stranger2")):
        registration_id = await register(service, number, name, ATTACKERS, ip="198.51.100.1")
        with pytest.raises(errors.PhoneNotVerified) as refused:
            await service.logins.with_password(number, ATTACKERS)
        assert refused.value.metadata == {"registration_id": registration_id}
        answers.append((len(registration_id), refused.value.code))
    await finish_background(service)
    assert answers[0] == answers[1]
    assert {message.to for message in mailbox.messages} == {OTHER}


async def test_without_a_sender_it_says_so_before_any_look_up(make_service) -> None:
    service = await make_service(sms_sender=None)
    await service.users.add(phone=PHONE, username="ada_l")
    for number in (PHONE, OTHER):
        with pytest.raises(errors.SmsUnavailable):
            await service.registration.register(number, "ada_2", PASSWORD)


async def test_without_required_verification_the_account_is_made_at_once(make_service) -> None:
    service = await make_service(verification_required=False, sms_sender=None)
    await service.registration.register(PHONE, "ada_l", PASSWORD)
    user = await service.users.get_by_phone(PHONE)
    assert user is not None
    assert not user.phone_verified
    with pytest.raises(errors.PhoneInUse):
        await service.registration.register(PHONE, "ada_2", PASSWORD)


async def test_without_privacy_a_taken_number_a_failed_message_and_the_pause_are_said(
    make_service, mailbox
) -> None:
    service = await make_service(private_registration=False)
    await service.users.add(phone=PHONE, username="ada_l")
    with pytest.raises(errors.PhoneInUse):
        await service.registration.register(PHONE, "ada_2", PASSWORD)
    mailbox.failure = RuntimeError("down")
    with pytest.raises(errors.SmsDeliveryFailed):
        await service.registration.register(OTHER, "ada_3", PASSWORD)
    mailbox.failure = None
    await service.registration.register(OTHER, "ada_3", PASSWORD)
    with pytest.raises(errors.TooManyRequests) as paused:
        await service.registration.register(OTHER, "ada_3", PASSWORD)
    assert paused.value.retry_after == service.config.code_cooldown


async def test_a_number_taken_meanwhile_is_said_to_who_proved_it(service: Service, mailbox) -> None:
    first = await register(service, PHONE, "ada_1", ip="192.0.2.1")
    code = mailbox.last(PHONE).code
    second = await register(service, PHONE, "ada_2", ip="192.0.2.2")
    other = mailbox.last(PHONE).code
    await service.registration.confirm_phone(PHONE, code, registration_id=first)
    with pytest.raises(errors.PhoneInUse):
        await service.registration.confirm_phone(PHONE, other, registration_id=second)
    assert await service.pool.fetchval("select count(*) from profiles.users") == 1


async def test_a_host_may_register_with_a_hash_of_its_own(service: Service, mailbox) -> None:
    hashed = await service.passwords.hash(PASSWORD)
    code = await service.registration.create_pending_phone(PHONE, "ada_l", hashed, client=Client())
    assert await service.registration.confirm_phone(PHONE, code, registration_id=code.registration_id)
    with pytest.raises(errors.InvalidPasswordHash):
        await service.registration.create_pending_phone(OTHER, "ada_2", "plain text")
