"""The second factor: enrollment, settings, backup codes, and the steps a host may walk itself."""

from __future__ import annotations

import re

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.factors.backup_codes import BackupCodes
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.factors import EMAIL, PHONE, events, new_user, with_email_factor
from fakes.mail import Mailbox
from fakes.users import finish_background

SETTINGS = "select enabled, method, phone_number, backup_codes from profiles.two_factor_settings"


async def test_an_address_is_verified_by_a_code_before_it_counts(service: Service, mailbox: Mailbox) -> None:
    user_id = await new_user(service)
    assert await service.two_factor.get_settings(user_id) is None
    with pytest.raises(errors.EmailNotVerified):
        await service.two_factor.enable(user_id, "email")
    await service.two_factor.send_email_setup_code(user_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.two_factor.enable(user_id, "email", code="no code")
    codes = await service.two_factor.enable(user_id, " EMAIL ", code=mailbox.last(EMAIL).code)
    assert len(set(codes)) == 10
    settings = await service.two_factor.get_settings(user_id)
    assert settings is not None
    assert (settings.enabled, settings.method, settings.phone_number) == (True, "email", None)
    (event,) = await events(service, "two_factor_enabled")
    assert (event["user_id"], event["method"]) == (user_id, "email")
    await finish_background(service)
    assert mailbox.last(EMAIL).kind == "two_factor_enabled"


async def test_a_number_is_verified_first_and_then_enabled(service: Service, mailbox: Mailbox) -> None:
    user_id = await new_user(service)
    with pytest.raises(errors.PhoneNotVerified):
        await service.two_factor.enable(user_id, "sms", PHONE)
    await service.two_factor.send_phone_setup_code(user_id, PHONE)
    sent = mailbox.last(PHONE)
    assert (sent.channel, sent.kind) == ("sms", "verification_code")
    assert not await service.two_factor.verify_phone_setup_code(user_id, "+15550100201", sent.code)
    assert await service.two_factor.verify_phone_setup_code(user_id, PHONE, sent.code)
    assert not await service.two_factor.verify_phone_setup_code(user_id, PHONE, sent.code)
    with pytest.raises(errors.PhoneNotVerified):
        await service.two_factor.enable(user_id, "sms", "+15550100201")
    assert await service.two_factor.enable(user_id, "sms", PHONE)
    settings = await service.two_factor.get_settings(user_id)
    assert settings is not None
    assert (settings.method, settings.phone_number) == ("sms", PHONE)
    with pytest.raises(errors.PhoneNotVerified):
        await service.two_factor.enable(user_id, "sms", PHONE)


async def test_a_verification_counts_for_its_own_user_alone(service: Service, mailbox: Mailbox) -> None:
    ada, eve = await new_user(service), await new_user(service, "eve@example.test")
    await service.two_factor.send_phone_setup_code(ada, PHONE)
    code = mailbox.last(PHONE).code
    await service.two_factor.send_phone_setup_code(eve, "+15550100999")
    assert not await service.two_factor.verify_phone_setup_code(eve, PHONE, code)
    assert await service.two_factor.verify_phone_setup_code(ada, PHONE, code)
    with pytest.raises(errors.PhoneNotVerified):
        await service.two_factor.enable(eve, "sms", PHONE)


async def test_a_verification_is_void_once_the_account_changes(service: Service, mailbox: Mailbox) -> None:
    user_id = await new_user(service)
    await service.two_factor.send_email_setup_code(user_id)
    assert await service.two_factor.verify_email_setup_code(user_id, mailbox.last(EMAIL).code)
    await service.sessions.revoke_all(user_id)
    with pytest.raises(errors.EmailNotVerified):
        await service.two_factor.enable(user_id, "email")


async def test_a_setup_code_dies_when_the_account_moves(service: Service, mailbox: Mailbox) -> None:
    user_id = await new_user(service)
    await service.two_factor.send_email_setup_code(user_id)
    await service.sessions.revoke_all(user_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.two_factor.enable(user_id, "email", code=mailbox.last(EMAIL).code)


async def test_a_user_without_a_destination_or_a_sender_is_not_locked_out(make_service) -> None:
    bare = await make_service(email_sender=None, sms_sender=None)
    without_contact = (await bare.users.create(None, "no_contact")).id
    for method in ("email", "sms"):
        with pytest.raises(errors.TwoFactorMethodUnavailable):
            await bare.two_factor.enable(without_contact, method, PHONE)
    with pytest.raises(errors.SmsUnavailable):
        await bare.two_factor.send_phone_setup_code(without_contact, PHONE)
    service = await make_service()
    with pytest.raises(errors.EmailNotVerified):
        await service.two_factor.enable(without_contact, "email", code="123456")
    with pytest.raises(errors.EmailNotVerified):
        await service.two_factor.send_email_setup_code(without_contact)


@pytest.mark.parametrize("method", ["", "totp", "e-mail", "sms\0"])
async def test_other_methods_are_refused(service: Service, method: str) -> None:
    with pytest.raises(errors.TwoFactorMethodInvalid):
        await service.two_factor.enable(await new_user(service), method, PHONE)


@pytest.mark.parametrize("phone", [None, "", "5550100200", "+0123456", "+1555010020a"])
async def test_a_number_is_e164(service: Service, phone: str | None) -> None:
    with pytest.raises(errors.InvalidPhoneNumber):
        await service.two_factor.enable(await new_user(service), "sms", phone)


async def test_unknown_and_banned_users_enroll_nothing(service: Service) -> None:
    for unknown in ("", "no-id", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(errors.UserNotFound):
            await service.two_factor.send_phone_setup_code(unknown, PHONE)
        with pytest.raises(errors.UserNotFound):
            await service.two_factor.disable(unknown)
        with pytest.raises(errors.UserNotFound):
            await service.two_factor.create_challenge(unknown)
        assert await service.two_factor.get_settings(unknown) is None
    user_id = await new_user(service)
    await service.lifecycle.ban(user_id)
    with pytest.raises(errors.UserBanned):
        await service.two_factor.send_phone_setup_code(user_id, PHONE)


async def test_setup_codes_are_limited_per_user_and_per_number(make_service, clock) -> None:
    service: Service = await make_service(code_cooldown=0, max_codes_per_target_hour=7)
    ada, eve = await new_user(service), await new_user(service, "eve@example.test")
    for _ in range(5):
        await service.two_factor.send_phone_setup_code(ada, PHONE)
    with pytest.raises(errors.TooManyRequests):
        await service.two_factor.send_phone_setup_code(ada, PHONE)
    with pytest.raises(errors.TooManyRequests):
        await service.two_factor.send_phone_setup_code(eve, PHONE)
    clock.advance(3600)
    await service.two_factor.send_phone_setup_code(ada, PHONE)


async def test_a_failed_sending_is_an_error(service: Service, mailbox: Mailbox) -> None:
    user_id = await new_user(service)
    mailbox.failure = RuntimeError("secret words")
    with pytest.raises(errors.SmsDeliveryFailed) as refusal:
        await service.two_factor.send_phone_setup_code(user_id, PHONE)
    assert refusal.value.__cause__ is None
    mailbox.failure = None
    await service.two_factor.send_phone_setup_code(user_id, PHONE)
    with pytest.raises(errors.TooManyRequests):
        await service.two_factor.send_phone_setup_code(user_id, PHONE)


async def test_switching_off_forgets_everything(service: Service, mailbox: Mailbox) -> None:
    user_id, codes = await with_email_factor(service, mailbox)
    challenge = await service.two_factor.create_challenge(user_id)
    await service.two_factor.require_for_login(user_id)
    code = mailbox.last(EMAIL).code
    await service.two_factor.disable(user_id, client=Client(ip="192.0.2.1"))
    assert service.pool is not None
    row = await service.pool.fetchrow(SETTINGS)
    assert tuple(row) == (False, "email", None, [])
    assert not await service.two_factor.verify_challenge(user_id, challenge)
    assert not await service.two_factor.verify_code(user_id, code)
    with pytest.raises(errors.TwoFactorNotEnabled):
        await service.two_factor.verify_backup_code(user_id, codes[0])
    with pytest.raises(errors.TwoFactorNotEnabled):
        await service.two_factor.regenerate_backup_codes(user_id)
    with pytest.raises(errors.TwoFactorNotEnabled):
        await service.two_factor.require_for_login(user_id)
    assert await service.two_factor.admin_disable(user_id, actor="op") is False
    await service.two_factor.disable(user_id)
    (event,) = await events(service, "two_factor_disabled")
    assert (event["user_id"], event["actor"]) == (user_id, None)


async def test_an_operator_disables_a_lost_second_factor(service: Service, mailbox: Mailbox) -> None:
    user_id, _ = await with_email_factor(service, mailbox)
    operator = await new_user(service, "operator@example.test")
    for unstorable in ("lost\x00phone", "\ud800"):
        with pytest.raises(errors.Invalid):
            await service.two_factor.admin_disable(user_id, actor=operator, reason=unstorable)
    assert await service.two_factor.admin_disable(user_id, actor=operator, reason="lost phone") is True
    settings = await service.two_factor.get_settings(user_id)
    assert settings is not None
    assert not settings.enabled
    (event,) = await events(service, "two_factor_disabled")
    assert (event["user_id"], event["actor"], event["reason"]) == (user_id, operator, "lost phone")
    await finish_background(service)
    assert mailbox.last(EMAIL).kind == "two_factor_disabled"


async def test_backup_codes_are_sixty_five_bits_in_three_groups_and_stored_under_the_key(
    service: Service, mailbox: Mailbox, key_source
) -> None:
    user_id, codes = await with_email_factor(service, mailbox)
    assert all(re.fullmatch(r"(?:[A-HJ-NP-Z2-9]{4}-){2}[A-HJ-NP-Z2-9]{5}", code) for code in codes)
    assert service.pool is not None
    stored = await service.pool.fetchval("select backup_codes from profiles.two_factor_settings")
    assert len(stored) == 10
    active = key_source.current().active_secret
    assert all(re.fullmatch(rf"{active}:[0-9a-f]{{64}}", digest) for digest in stored)
    settings = await service.two_factor.get_settings(user_id)
    assert all(text not in repr(settings) for text in [*codes, *stored])


async def test_a_backup_code_works_once_however_it_is_typed(service: Service, mailbox: Mailbox) -> None:
    user_id, codes = await with_email_factor(service, mailbox)
    typed = f" {codes[3].lower().replace('-', ' ')} "
    assert await service.two_factor.verify_backup_code(user_id, typed)
    assert not await service.two_factor.verify_backup_code(user_id, codes[3])
    settings = await service.two_factor.get_settings(user_id)
    assert settings is not None
    assert len(settings.backup_codes) == 9
    (event,) = await events(service, "two_factor_backup_code_used")
    assert event["data"] == '{"left": 9}'
    await finish_background(service)
    assert mailbox.last(EMAIL).kind == "two_factor_backup_code_used"


async def test_a_backup_code_of_an_older_set_still_works(service: Service, mailbox: Mailbox) -> None:
    user_id, _ = await with_email_factor(service, mailbox)
    digest = BackupCodes(service.rt).digests(user_id, ["ABCD-EFGH-JKLM"])
    await service.pool.execute("update profiles.two_factor_settings set backup_codes = $1", digest)
    assert await service.two_factor.verify_backup_code(user_id, "abcd efgh jklm")


async def test_a_backup_code_is_one_users(service: Service, mailbox: Mailbox) -> None:
    _, codes = await with_email_factor(service, mailbox)
    eve, _ = await with_email_factor(service, mailbox, "eve@example.test")
    assert not await service.two_factor.verify_backup_code(eve, codes[0])


async def test_after_five_tries_not_even_a_right_backup_code_helps_for_a_while(
    service: Service, mailbox: Mailbox, clock
) -> None:
    user_id, codes = await with_email_factor(service, mailbox)
    for _ in range(5):
        assert not await service.two_factor.verify_backup_code(user_id, "AAAA-AAAA-AAAA")
    assert not await service.two_factor.verify_backup_code(user_id, codes[0])
    clock.advance(601)
    assert await service.two_factor.verify_backup_code(user_id, codes[0])


async def test_fresh_backup_codes_replace_the_old_ones(service: Service, mailbox: Mailbox) -> None:
    user_id, old = await with_email_factor(service, mailbox)
    new = await service.two_factor.regenerate_backup_codes(user_id)
    assert not set(old) & set(new)
    assert not await service.two_factor.verify_backup_code(user_id, old[0])
    assert await service.two_factor.verify_backup_code(user_id, new[0])
    assert len(await events(service, "two_factor_backup_codes_made")) == 1


async def test_backup_codes_outlive_a_rotation_of_the_key(
    service: Service, mailbox: Mailbox, make_service, key_source
) -> None:
    import dataclasses
    import os

    from authkit_issuer.keys import StaticKeys

    user_id, codes = await with_email_factor(service, mailbox)
    keys = key_source.current()
    rotated = dataclasses.replace(
        keys, refresh_secrets={**keys.refresh_secrets, 2: os.urandom(32)}, active_secret=2
    )
    later: Service = await make_service(keys=StaticKeys(rotated))
    assert await later.two_factor.verify_backup_code(user_id, codes[0])


async def test_the_steps_of_a_host(service: Service, mailbox: Mailbox, clock) -> None:
    user_id, _ = await with_email_factor(service, mailbox)
    clock.advance(60)
    assert await service.two_factor.require_for_login(user_id) == EMAIL
    code = mailbox.last(EMAIL).code
    assert mailbox.last(EMAIL).kind == "login_code"
    with pytest.raises(errors.TooManyRequests):
        await service.two_factor.require_for_login(user_id)
    challenge = await service.two_factor.create_challenge(user_id)
    other = await service.two_factor.create_challenge(user_id)
    assert len(challenge) == 43
    assert await service.two_factor.verify_challenge(user_id, challenge)
    assert await service.two_factor.verify_challenge(user_id, other)
    eve, _ = await with_email_factor(service, mailbox, "eve@example.test")
    assert not await service.two_factor.verify_challenge(eve, challenge)
    assert not await service.two_factor.verify_challenge(user_id, challenge[:-1])
    assert not await service.two_factor.verify_code(user_id, "wrong")
    assert not await service.two_factor.verify_code(eve, code)
    assert await service.two_factor.verify_code(user_id, code)
    assert not await service.two_factor.verify_code(user_id, code)
    await service.two_factor.clear_challenge(user_id)
    assert not await service.two_factor.verify_challenge(user_id, challenge)
    assert not await service.two_factor.verify_challenge(user_id, other)
    assert await service.two_factor.verify_challenge(
        user_id, await service.two_factor.create_challenge(user_id)
    )


async def test_a_hosts_challenge_is_met_by_the_users_code(service: Service, mailbox: Mailbox) -> None:
    user_id, codes = await with_email_factor(service, mailbox)
    challenge = await service.two_factor.create_challenge(user_id)
    await service.two_factor.require_for_login(user_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.two_factor.complete_login(user_id, challenge, "wrong")
    await service.two_factor.complete_login(user_id, challenge, mailbox.last(EMAIL).code)
    with pytest.raises(errors.InvalidChallenge):
        await service.two_factor.complete_login(user_id, challenge, mailbox.last(EMAIL).code)
    challenge = await service.two_factor.create_challenge(user_id)
    await service.two_factor.complete_login(user_id, challenge, codes[0], True)
    challenge = await service.two_factor.create_challenge(user_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.two_factor.complete_login(user_id, challenge, codes[0], is_backup=True)


async def test_what_counts_tries_refuses_to_join_a_transaction(service: Service) -> None:
    from authkit_issuer.errors import NotJoinable

    user_id = await new_user(service)
    async with service.transaction() as tx:
        for call in (
            tx.two_factor.enable(user_id, "email", code="123456"),
            tx.two_factor.verify_code(user_id, "123456"),
            tx.two_factor.verify_backup_code(user_id, "x"),
            tx.two_factor.complete_login(user_id, "x", "123456"),
            tx.two_factor.verify_phone_setup_code(user_id, PHONE, "123456"),
            tx.two_factor.verify_email_setup_code(user_id, "123456"),
        ):
            with pytest.raises(NotJoinable):
                await call


async def test_no_message_leaves_inside_a_host_transaction(service: Service, mailbox, clock) -> None:
    from authkit_issuer.errors import NotJoinable

    user_id, _ = await with_email_factor(service, mailbox)
    clock.advance(service.config.code_cooldown + 1)
    sent = len(mailbox.messages)
    async with service.transaction() as tx:
        for call in (
            tx.two_factor.send_phone_setup_code(user_id, PHONE),
            tx.two_factor.send_email_setup_code(user_id),
            tx.two_factor.require_for_login(user_id),
            tx.two_factor.begin(user_id, auth_epoch=1, method="wallet", amr=("pop",)),
        ):
            with pytest.raises(NotJoinable):
                await call
    assert len(mailbox.messages) == sent
