"""Asking again: by the button for it, by a second submission, by signing in."""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.security import codes
from authkit_issuer.service import Service
from fakes.users import EMAIL, PASSWORD, PHONE, finish_background, register, verified_user

HERE = Client(ip="192.0.2.1")


async def confirm(service: Service, code: str, registration_id: str) -> str:
    return await service.registration.confirm_email(EMAIL, code, registration_id=registration_id)


async def test_a_double_click_leaves_two_ids_and_the_one_mail_fits_either(service: Service, mailbox) -> None:
    for chosen in (0, 1):
        email, name = f"ada{chosen}@example.test", f"ada_{chosen}"
        ids = [await register(service, email, name) for _ in range(2)]
        (mail,) = mailbox.to(email)
        user_id = await service.registration.confirm_email(email, mail.code, registration_id=ids[chosen])
        with pytest.raises((errors.EmailInUse, errors.InvalidOrExpiredCode)):
            await service.registration.confirm_email(email, mail.code, registration_id=ids[1 - chosen])
        assert await service.passwords.verify(user_id, PASSWORD)


async def test_a_corrected_form_within_the_pause_is_what_gets_confirmed(service: Service, mailbox) -> None:
    await register(service, EMAIL, "ada_typo", "the wrong password")
    corrected = await register(service, EMAIL, "ada_l", PASSWORD)
    (mail,) = mailbox.to(EMAIL)
    user = await service.users.get(await confirm(service, mail.code, corrected))
    assert user is not None
    assert user.username == "ada_l"
    assert await service.passwords.verify(user.id, PASSWORD)


async def test_many_submissions_do_not_buy_more_guesses(service: Service, mailbox, clock) -> None:
    """However many ids lean on one code, together they have ten guesses; the next code cannot be guessed."""
    first = await register(service)
    code = mailbox.last(EMAIL).code
    leaning = [await register(service, EMAIL, f"ada_{number}") for number in range(10)]
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for registration_id in leaning:
        with pytest.raises(errors.InvalidOrExpiredCode):
            await confirm(service, wrong, registration_id)
    for registration_id in (first, *leaning):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await confirm(service, code, registration_id)
    clock.advance(service.config.code_cooldown)
    await service.registration.resend_email(first, client=HERE)
    await finish_background(service)
    assert len(mailbox.last(EMAIL).code) == 15
    assert await confirm(service, mailbox.last(EMAIL).code, first)


async def test_no_submission_uses_up_the_tries_of_another(service: Service, mailbox) -> None:
    await register(service)
    code = mailbox.last(EMAIL).code
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    attackers, owners = [await register(service, EMAIL, f"ada_{number}") for number in range(2)]
    for _ in range(6):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await confirm(service, wrong, attackers)
    assert await confirm(service, code, owners)


async def test_a_submission_that_sends_nothing_and_leans_on_nothing_cannot_be_guessed(
    service: Service, mailbox, clock, monkeypatch
) -> None:
    """Beyond the hourly limit ids cost nothing: a code of its own for each would buy five guesses."""
    monkeypatch.setattr(codes, "new_code", lambda _: "123456")
    for number in range(service.config.max_codes_per_hour):
        await register(service, EMAIL, f"ada_{number}")
        clock.advance(service.config.code_cooldown + 1)
    clock.advance(service.config.code_ttl)
    unsent = await register(service, EMAIL, "ada_late")
    assert len(mailbox.to(EMAIL)) == service.config.max_codes_per_hour
    with pytest.raises(errors.InvalidOrExpiredCode):
        await confirm(service, "123456", unsent)
    clock.advance(3600)
    await service.registration.resend_email(unsent, client=HERE)
    await finish_background(service)
    assert await confirm(service, mailbox.last(EMAIL).code, unsent)


async def test_a_second_submission_for_a_taken_address_can_not_be_confirmed_either(
    service: Service, mailbox
) -> None:
    await verified_user(service, mailbox)
    code = mailbox.last(EMAIL).code
    for name in ("stranger_1", "stranger_2"):
        registration_id = await register(service, EMAIL, name, ip="198.51.100.1")
        with pytest.raises(errors.InvalidOrExpiredCode):
            await confirm(service, code, registration_id)


async def test_a_leaning_id_gets_a_code_of_its_own_by_resending(service: Service, mailbox, clock) -> None:
    first = await register(service)
    early = mailbox.last(EMAIL).code
    second = await register(service, EMAIL, "ada_2")
    clock.advance(service.config.code_cooldown)
    await service.registration.resend_email(second, client=HERE)
    await finish_background(service)
    late = mailbox.last(EMAIL).code
    assert late != early
    with pytest.raises(errors.InvalidOrExpiredCode):
        await confirm(service, early, second)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await confirm(service, late, first)
    assert await confirm(service, late, second)


async def test_a_leaning_id_ends_with_the_code_it_leans_on(service: Service, mailbox, clock) -> None:
    await register(service)
    clock.advance(service.config.code_cooldown - 1)
    second = await register(service, EMAIL, "ada_2")
    clock.advance(service.config.code_ttl - service.config.code_cooldown + 1)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await confirm(service, mailbox.last(EMAIL).code, second)


@pytest.mark.parametrize("target", [EMAIL, PHONE])
async def test_resending_replaces_the_code_keeps_the_id_and_starts_the_time_afresh(
    service: Service, mailbox, clock, target: str
) -> None:
    registration_id = await register(service, target)
    early = mailbox.last(target).code
    resend = service.registration.resend_email if target == EMAIL else service.registration.resend_phone
    with pytest.raises(errors.TooManyRequests):
        await resend(registration_id, client=HERE)
    await finish_background(service)
    assert len(mailbox.to(target)) == 1
    clock.advance(service.config.code_ttl)
    await resend(registration_id, client=HERE)
    await finish_background(service)
    late = mailbox.last(target).code
    assert len(mailbox.to(target)) == 2
    clock.advance(service.config.code_ttl - 1)
    for code in {early} - {late}:
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.registration.redeem(target, code, registration_id=registration_id)
    assert await service.registration.redeem(target, late, registration_id=registration_id)


async def test_a_new_code_has_its_own_tries(service: Service, mailbox, clock) -> None:
    registration_id = await register(service)
    for guess in range(service.config.max_code_attempts):
        wrong = f"{(int(mailbox.last(EMAIL).code) + guess + 1) % 1_000_000:06d}"
        with pytest.raises(errors.InvalidOrExpiredCode):
            await confirm(service, wrong, registration_id)
    clock.advance(service.config.code_cooldown)
    await service.registration.resend_email(registration_id, client=HERE)
    await finish_background(service)
    assert await confirm(service, mailbox.last(EMAIL).code, registration_id)


async def test_resending_answers_alike_for_everything(service: Service, mailbox, clock) -> None:
    await verified_user(service, mailbox)
    taken = await register(service, EMAIL, "mallory", ip="198.51.100.1")
    clock.advance(service.config.code_cooldown)
    mailbox.messages.clear()
    for registration_id in (taken, "x" * 22, "", "ü"):
        assert await service.registration.resend_email(registration_id) is None
        assert await service.registration.resend_phone(registration_id) is None
    await finish_background(service)
    assert [(message.to, message.kind) for message in mailbox.messages] == [(EMAIL, "registration_attempt")]


async def test_a_resend_does_not_bring_back_a_registration_that_was_just_confirmed(
    service: Service, mailbox, monkeypatch: pytest.MonkeyPatch, clock
) -> None:
    registration_id = await register(service)
    code = mailbox.last(EMAIL).code
    clock.advance(service.config.code_cooldown)
    store = service.rt.ephemeral
    original = store.incr

    async def confirmed_meanwhile(key: str, ttl: float) -> int:
        monkeypatch.setattr(store, "incr", original)
        await confirm(service, code, registration_id)
        return await original(key, ttl)

    monkeypatch.setattr(store, "incr", confirmed_meanwhile)
    await service.registration.resend_email(registration_id, client=HERE)
    await finish_background(service)
    assert len(mailbox.to(EMAIL)) == 1
    assert await service.registration.get_pending_by_email(EMAIL) is None


async def test_signing_in_before_confirming_sends_a_new_code_for_the_same_id(
    service: Service, mailbox, clock
) -> None:
    registration_id = await register(service)
    clock.advance(service.config.code_cooldown)
    with pytest.raises(errors.EmailNotVerified) as refused:
        await service.logins.with_password(EMAIL, PASSWORD, client=HERE)
    await finish_background(service)
    assert refused.value.metadata == {"registration_id": registration_id}
    assert len(mailbox.to(EMAIL)) == 2
    assert await confirm(service, mailbox.last(EMAIL).code, registration_id)


async def test_without_privacy_the_pause_between_two_codes_is_said(make_service, mailbox) -> None:
    service = await make_service(private_registration=False)
    registration_id = await register(service)
    with pytest.raises(errors.TooManyRequests) as paused:
        await service.registration.resend_email(registration_id, client=HERE)
    assert paused.value.retry_after == service.config.code_cooldown


async def test_without_a_sender_resending_says_so(make_service) -> None:
    service = await make_service(email_sender=None, sms_sender=None)
    with pytest.raises(errors.EmailUnavailable):
        await service.registration.resend_email("x" * 22)
    with pytest.raises(errors.SmsUnavailable):
        await service.registration.resend_phone("x" * 22)
