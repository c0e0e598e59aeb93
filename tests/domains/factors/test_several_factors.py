"""Several second factors side by side: choosing at sign-in, adding, removing, the default, notices."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.factors import (
    EMAIL,
    PASSWORD,
    PHONE,
    add_app,
    app_code,
    events,
    let_codes_be_new,
    new_user,
    with_app,
    with_email_factor,
)
from fakes.mail import Mailbox
from fakes.users import finish_background

OTHER_PHONE = "+15550100201"


async def begin(service: Service, client: Client | None = None) -> dict[str, Any]:
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD, client=client)
    return required.value.metadata


async def add_phone(service: Service, mailbox: Mailbox, user_id: str, phone: str = PHONE) -> str:
    await service.two_factor.send_phone_setup_code(user_id, phone)
    code = mailbox.last(phone).code
    return (await service.second_factors.add(user_id, "sms", phone_number=phone, code=code)).id


async def kinds(service: Service, user_id: str) -> list[str]:
    return [factor.kind for factor in (await service.second_factors.list_for_user(user_id)).factors]


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(code_cooldown=0.0)


@pytest.fixture
async def all_kinds(service: Service, mailbox: Mailbox) -> tuple[str, str, list[str]]:
    """A user with an email factor, the default, a number and an app; the secret and the backup codes."""
    user_id, backup = await with_email_factor(service, mailbox, password=PASSWORD)
    await add_phone(service, mailbox, user_id)
    secret, more = await add_app(service, user_id, name="Phone")
    assert more is None
    return user_id, secret, backup


async def test_every_method_is_offered_the_default_first(service: Service, all_kinds) -> None:
    asked = await begin(service)
    assert [(method["kind"], method["hint"]) for method in asked["methods"]] == [
        ("email", "a***@e***.test"),
        ("sms", "+15*******00"),
        ("totp", "Phone"),
    ]
    assert asked["factor_id"] == asked["methods"][0]["id"]


@pytest.mark.parametrize("chosen", ["email", "sms", "totp"])
async def test_a_sign_in_goes_on_with_the_method_of_choice(
    service: Service, mailbox: Mailbox, all_kinds, chosen: str
) -> None:
    user_id, secret, _ = all_kinds
    asked = await begin(service)
    first = mailbox.last(EMAIL).code
    method = next(one for one in asked["methods"] if one["kind"] == chosen)
    selected = await service.second_factors.select(user_id, asked["challenge"], method["id"])
    assert selected.challenge == asked["challenge"]
    assert (selected.method, selected.factor_id, selected.challenge) == (
        chosen,
        method["id"],
        asked["challenge"],
    )
    assert selected.code_sent is (chosen != "totp")
    codes = {"email": mailbox.last(EMAIL).code, "sms": mailbox.last(PHONE).code, "totp": app_code(secret)}
    if first != codes[chosen]:
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.logins.complete_two_factor(user_id, asked["challenge"], first)
    pair = await service.logins.complete_two_factor(user_id, asked["challenge"], codes[chosen])
    session = await service.sessions.authenticate(user_id, pair.session_id)
    assert sorted(session.amr) == sorted({"pwd", "mfa", "sms" if chosen == "sms" else "otp"})


async def test_switching_brings_neither_tries_nor_time(service: Service, all_kinds, clock) -> None:
    user_id, secret, backup = all_kinds
    asked = await begin(service)
    challenge = asked["challenge"]
    clock.advance(300)
    for number in range(5):
        method = asked["methods"][number % 3]
        await service.second_factors.select(user_id, challenge, method["id"])
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.logins.complete_two_factor(user_id, challenge, "000000x")
    for call in (
        service.second_factors.select(user_id, challenge, method["id"]),
        service.logins.complete_two_factor(user_id, challenge, backup[0], is_backup=True),
    ):
        with pytest.raises(errors.InvalidChallenge):
            await call
    other = await begin(service)
    clock.advance(300)
    await service.second_factors.select(user_id, other["challenge"], other["methods"][2]["id"])
    clock.advance(301)
    with pytest.raises(errors.InvalidChallenge):
        await service.logins.complete_two_factor(user_id, other["challenge"], app_code(secret))


async def test_a_challenge_switches_for_its_user_and_to_factors_of_its_user_alone(
    service: Service, mailbox: Mailbox, all_kinds
) -> None:
    user_id, _, _ = all_kinds
    eve, _, _ = await with_app(service, "eve@example.test")
    hers = (await service.second_factors.list_for_user(eve)).factors[0].id
    asked = await begin(service)
    for factor_id in (hers, "", "no id", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(errors.SecondFactorNotFound):
            await service.second_factors.select(user_id, asked["challenge"], factor_id)
    for user, challenge in ((eve, asked["challenge"]), (user_id, "x" * 43), ("", "")):
        with pytest.raises(errors.InvalidChallenge):
            await service.second_factors.select(user, challenge, asked["methods"][1]["id"])


async def test_beyond_the_limits_a_code_of_another_address_does_not_count(
    make_service, mailbox: Mailbox
) -> None:
    service: Service = await make_service(code_cooldown=0.0, max_codes_per_hour=3)
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    await add_phone(service, mailbox, user_id)
    asked = await begin(service)
    await service.second_factors.select(user_id, asked["challenge"], asked["methods"][1]["id"])
    await service.second_factors.select(user_id, asked["challenge"], asked["methods"][1]["id"])
    texted = mailbox.last(PHONE).code
    beyond = await service.second_factors.select(user_id, asked["challenge"], asked["methods"][0]["id"])
    assert (beyond.method, beyond.code_sent) == ("email", False)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.complete_two_factor(user_id, asked["challenge"], texted)


async def test_a_sender_that_is_down_locks_out_no_user_with_an_app(
    service: Service, mailbox: Mailbox, all_kinds
) -> None:
    user_id, secret, _ = all_kinds
    mailbox.failure = RuntimeError("down")
    with pytest.raises(errors.EmailDeliveryFailed) as refusal:
        await service.logins.with_password(EMAIL, PASSWORD)
    asked = refusal.value.metadata
    app = next(one for one in asked["methods"] if one["kind"] == "totp")
    await service.second_factors.select(user_id, asked["challenge"], app["id"])
    assert await service.logins.complete_two_factor(user_id, asked["challenge"], app_code(secret))


async def test_an_unverified_address_is_passed_over(service: Service, all_kinds) -> None:
    user_id, _, _ = all_kinds
    await service.pool.execute("update profiles.users set email_verified = false")
    await service.pool.execute("update profiles.two_factor_settings set enabled = true")
    found = await service.two_factor.begin(
        user_id, auth_epoch=await service.pool.fetchval("select auth_epoch from profiles.users"),
        method="password_login", amr=("pwd",),
    )  # fmt: skip
    assert found.method == "sms"
    assert [method["kind"] for method in found.methods] == ["sms", "totp"]


async def test_factors_are_removed_one_by_one_and_the_last_one_is_the_end(
    service: Service, mailbox: Mailbox, all_kinds
) -> None:
    user_id, _, backup = all_kinds
    for kind, left in (("email", ["sms", "totp"]), ("sms", ["totp"])):
        found = await service.second_factors.list_for_user(user_id)
        factor = next(one for one in found.factors if one.kind == kind)
        waiting = await begin(service)
        await service.second_factors.remove(user_id, factor.id)
        assert await kinds(service, user_id) == left
        with pytest.raises(errors.InvalidChallenge):
            await service.logins.complete_two_factor(user_id, waiting["challenge"], backup[0], is_backup=True)
        with pytest.raises(errors.SecondFactorNotFound):
            await service.second_factors.remove(user_id, factor.id)
        assert (await begin(service))["method"] == left[0]
    (app,) = (await service.second_factors.list_for_user(user_id)).factors
    assert app.default
    await service.second_factors.remove(user_id, app.id)
    assert await service.logins.with_password(EMAIL, PASSWORD)
    settings = await service.two_factor.get_settings(user_id)
    assert settings is not None
    assert (settings.enabled, settings.backup_codes) == (False, [])
    assert len(await events(service, "second_factor_removed")) == 2
    assert len(await events(service, "two_factor_disabled")) == 1
    await finish_background(service)
    assert [mail.kind for mail in mailbox.to(EMAIL)][-1:] == ["two_factor_disabled"]


async def test_another_factor_becomes_the_default(service: Service, mailbox: Mailbox, all_kinds) -> None:
    user_id, _, _ = all_kinds
    app = (await service.second_factors.list_for_user(user_id)).factors[-1]
    await service.second_factors.update(user_id, app.id, name=" Work ", default=True)
    asked = await begin(service)
    assert (asked["method"], asked["methods"][0]["hint"]) == ("totp", "Work")
    settings = await service.two_factor.get_settings(user_id)
    assert settings is not None
    assert settings.method == "totp"
    with pytest.raises(errors.SecondFactorNotFound):
        await service.second_factors.update(user_id, user_id, name="x")


async def test_enabling_by_the_short_form_replaces_what_is_sent_and_leaves_the_app(
    service: Service, mailbox: Mailbox, all_kinds
) -> None:
    user_id, _, backup = all_kinds
    await service.two_factor.send_phone_setup_code(user_id, OTHER_PHONE)
    new = await service.two_factor.enable(user_id, "sms", OTHER_PHONE, code=mailbox.last(OTHER_PHONE).code)
    assert await kinds(service, user_id) == ["sms", "totp"]
    asked = await begin(service)
    assert asked["methods"][0]["hint"] == "+15*******01"
    assert not set(new) & set(backup)


async def test_one_address_and_three_numbers_are_the_most(service: Service, mailbox: Mailbox) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    await service.two_factor.send_email_setup_code(user_id)
    with pytest.raises(errors.TooManySecondFactors):
        await service.second_factors.add(user_id, "email", code=mailbox.last(EMAIL).code)
    await add_phone(service, mailbox, user_id)
    with pytest.raises(errors.SecondFactorExists):
        await add_phone(service, mailbox, user_id)


async def test_the_last_but_two_backup_codes_tell_the_owner(
    service: Service, mailbox: Mailbox, clock
) -> None:
    user_id, backup = await with_email_factor(service, mailbox, password=PASSWORD)
    for code in backup[:8]:
        assert await service.two_factor.verify_backup_code(user_id, code)
        clock.advance(601)
    await finish_background(service)
    assert mailbox.last(EMAIL).kind == "two_factor_backup_codes_low"
    assert [mail.kind for mail in mailbox.to(EMAIL)].count("two_factor_backup_code_used") == 7


async def test_no_frozen_factor_comes_back_beside_a_new_one(
    service: Service, mailbox: Mailbox, all_kinds
) -> None:
    user_id, old, backup = all_kinds
    await service.pool.execute("update profiles.two_factor_settings set frozen_at = now()")
    found = await service.second_factors.list_for_user(user_id)
    assert (found.enabled, found.frozen, found.backup_codes_left) == (False, True, 0)
    secret, codes = await add_app(service, user_id)
    assert codes is not None
    assert await kinds(service, user_id) == ["totp"]
    assert not await service.two_factor.verify_backup_code(user_id, backup[0])
    challenge = (await begin(service))["challenge"]
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.complete_two_factor(user_id, challenge, app_code(old))
    await let_codes_be_new(service)
    assert await service.logins.complete_two_factor(user_id, challenge, app_code(secret))


async def test_devices_are_forgotten_all_at_once(make_service, mailbox: Mailbox) -> None:
    from authkit_issuer.ports import Client

    service: Service = await make_service(two_factor_remember=86_400)
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    challenge = (await begin(service))["challenge"]
    pair = await service.logins.complete_two_factor(
        user_id, challenge, app_code(secret), remember_device=True
    )
    device = Client(device=pair.device)
    assert await service.logins.with_password(EMAIL, PASSWORD, client=device)
    await service.second_factors.forget_devices(user_id)
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.with_password(EMAIL, PASSWORD, client=device)
    assert len(await events(service, "devices_forgotten")) == 1


async def test_a_changed_address_moves_the_factor_that_is_not_the_default_as_well(
    service: Service, mailbox: Mailbox, all_kinds
) -> None:
    user_id, _, _ = all_kinds
    app = (await service.second_factors.list_for_user(user_id)).factors[-1]
    await service.second_factors.update(user_id, app.id, default=True)
    epoch = await service.pool.fetchval("select auth_epoch from profiles.users")
    await service.users.update_email(user_id, "new@example.test")
    assert await service.pool.fetchval("select auth_epoch from profiles.users") == epoch + 1


async def test_unknown_users_have_no_factors(service: Service) -> None:
    for unknown in ("", "no-id", "00000000-0000-4000-8000-000000000000"):
        for call in (
            service.second_factors.list_for_user(unknown),
            service.second_factors.forget_devices(unknown),
            service.second_factors.remove(unknown, "00000000-0000-4000-8000-000000000000"),
            service.totp.begin(unknown),
            service.totp.complete(unknown, "123456"),
        ):
            with pytest.raises(errors.UserNotFound):
                await call
    user_id = await new_user(service)
    found = await service.second_factors.list_for_user(user_id)
    assert (found.enabled, found.factors) == (False, [])


@pytest.mark.parametrize("to", ["email", "totp"])
async def test_an_attacker_with_the_password_cannot_take_the_code_that_was_sent_last(
    make_service, mailbox, to
):
    service = await make_service(max_codes_per_target_hour=2)
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    await add_app(service, user_id)
    for number in range(2):
        attacker = Client(ip=f"203.0.113.{number}")
        asked = await begin(service, attacker)
        assert asked["code_sent"]
    (chosen,) = [method["id"] for method in asked["methods"] if method["kind"] == to]
    for _ in range(2):
        await service.second_factors.select(user_id, asked["challenge"], chosen, client=attacker)
    owned = await begin(service, Client(ip="198.51.100.1"))
    assert not owned["code_sent"]
    code = mailbox.last(EMAIL).code
    assert await service.logins.complete_two_factor(user_id, owned["challenge"], code)
    with pytest.raises((errors.InvalidChallenge, errors.InvalidOrExpiredCode)):
        await service.logins.complete_two_factor(user_id, asked["challenge"], code)
