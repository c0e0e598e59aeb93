"""Sign-ins that are asked for a second factor: none gets past it, none disturbs another."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.factors.delivery import masked
from authkit_issuer.domains.factors.service import TwoFactor
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.factors import EMAIL, PASSWORD, PHONE, events, new_user, with_email_factor
from fakes.mail import Mailbox

CLIENT = Client(ip="192.0.2.7", user_agent="Browser")


async def begin(service: Service, **more: Any) -> dict[str, Any]:
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD, client=CLIENT, **more)
    return required.value.metadata


def claims(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


async def test_a_password_alone_opens_nothing(service: Service, mailbox: Mailbox) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    asked = await begin(service)
    assert asked["user_id"] == user_id
    assert (asked["method"], asked["destination"]) == ("email", "a***@e***.test")
    assert await service.sessions.list_for_user(user_id) == []
    with pytest.raises(errors.TwoFactorRequired):
        await service.passwords.login(EMAIL, PASSWORD)
    assert await events(service, "session_failed") == []


async def test_the_code_opens_the_session_and_the_token_says_how(service: Service, mailbox: Mailbox) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    asked = await begin(service)
    code = mailbox.last(EMAIL).code
    pair = await service.logins.complete_two_factor(user_id, asked["challenge"], code, client=CLIENT)
    said = claims(pair.access_token)
    assert (said["sub"], said["sid"]) == (user_id, pair.session_id)
    assert said["amr"] == ["pwd", "otp", "mfa"]
    (session,) = await service.sessions.list_for_user(user_id)
    assert (session.ip, session.user_agent) == ("192.0.2.7", "Browser")
    (event,) = await events(service, "session_created")
    assert event["method"] == "password_login_2fa"
    for again in (code, "123456"):
        with pytest.raises(errors.InvalidChallenge):
            await service.logins.complete_two_factor(user_id, asked["challenge"], again)


async def test_two_sign_ins_wait_side_by_side_each_for_its_own_code(
    service: Service, mailbox: Mailbox
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    first, code_of_first = await begin(service), mailbox.last(EMAIL).code
    second, code_of_second = await begin(service), mailbox.last(EMAIL).code
    assert code_of_first != code_of_second
    for asked, code in ((first, code_of_second), (second, code_of_first)):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.logins.complete_two_factor(user_id, asked["challenge"], code)
    for asked, code in ((first, code_of_first), (second, code_of_second)):
        assert await service.logins.complete_two_factor(user_id, asked["challenge"], code)


async def test_five_wrong_codes_end_code_and_challenge(service: Service, mailbox: Mailbox) -> None:
    user_id, backup = await with_email_factor(service, mailbox, password=PASSWORD)
    asked, code = await begin(service), mailbox.last(EMAIL).code
    for number in range(5):
        assert await service.two_factor.verify_challenge(user_id, asked["challenge"])
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.logins.complete_two_factor(
                user_id, asked["challenge"], "wrong", is_backup=number % 2 == 0, client=CLIENT
            )
    assert not await service.two_factor.verify_challenge(user_id, asked["challenge"])
    for right, is_backup in ((code, False), (backup[0], True)):
        with pytest.raises(errors.InvalidChallenge):
            await service.logins.complete_two_factor(user_id, asked["challenge"], right, is_backup=is_backup)
    assert await service.sessions.list_for_user(user_id) == []
    reasons = [event["reason"] for event in await events(service, "session_failed")]
    assert reasons == ["invalid_or_expired_code"] * 5 + ["invalid_challenge"] * 2


async def test_a_challenge_is_one_users_and_ends_by_the_clock(
    service: Service, mailbox: Mailbox, clock
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    eve, _ = await with_email_factor(service, mailbox, "eve@example.test")
    asked, code = await begin(service), mailbox.last(EMAIL).code
    for somebody in (eve, "", "no-id"):
        with pytest.raises(errors.InvalidChallenge):
            await service.logins.complete_two_factor(somebody, asked["challenge"], code)
    clock.advance(600)
    with pytest.raises(errors.InvalidChallenge):
        await service.logins.complete_two_factor(user_id, asked["challenge"], code)


async def test_a_backup_code_meets_the_challenge_and_is_gone(service: Service, mailbox: Mailbox) -> None:
    user_id, codes = await with_email_factor(service, mailbox, password=PASSWORD)
    asked = await begin(service)
    pair = await service.logins.complete_two_factor(
        user_id, asked["challenge"], codes[0], is_backup=True, client=CLIENT
    )
    assert claims(pair.access_token)["amr"] == ["pwd", "otp", "mfa"]
    again = await begin(service)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.complete_two_factor(user_id, again["challenge"], codes[0], is_backup=True)
    assert await service.logins.complete_two_factor(user_id, again["challenge"], codes[1], is_backup=True)


@pytest.mark.parametrize("change", ["revoke_all", "ban", "disable", "enable", "email"])
async def test_a_challenge_dies_with_what_it_was_made_for(
    service: Service, mailbox: Mailbox, clock, change: str
) -> None:
    user_id, backup = await with_email_factor(service, mailbox, password=PASSWORD)
    asked, code = await begin(service), mailbox.last(EMAIL).code
    clock.advance(60)
    if change == "revoke_all":
        await service.sessions.revoke_all(user_id)
    elif change == "ban":
        await service.lifecycle.ban(user_id)
    elif change == "disable":
        await service.two_factor.disable(user_id)
    elif change == "enable":
        await service.two_factor.send_phone_setup_code(user_id, PHONE)
        await service.two_factor.enable(user_id, "sms", PHONE, code=mailbox.last(PHONE).code)
    else:
        assert service.pool is not None
        await service.pool.execute("update profiles.users set email = 'new@example.test'")
    for right, is_backup in ((code, False), (backup[0], True)):
        with pytest.raises(errors.InvalidChallenge):
            await service.logins.complete_two_factor(user_id, asked["challenge"], right, is_backup=is_backup)
    assert await service.sessions.list_for_user(user_id) == []


async def test_a_first_factor_from_before_the_second_was_enabled_opens_nothing(
    service: Service, mailbox: Mailbox
) -> None:
    user_id = await new_user(service, password=PASSWORD)
    proof = await service.passwords.prove(EMAIL, PASSWORD)
    await service.two_factor.send_email_setup_code(user_id)
    await service.two_factor.enable(user_id, "email", code=mailbox.last(EMAIL).code)
    assert not proof.two_factor
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.finish(proof, method="password_login", amr=("pwd",))
    assert await service.sessions.list_for_user(user_id) == []


async def test_a_failed_sending_is_an_error_that_leaves_the_backup_codes_usable(
    service: Service, mailbox: Mailbox
) -> None:
    user_id, codes = await with_email_factor(service, mailbox, password=PASSWORD)
    mailbox.failure = RuntimeError("no route")
    with pytest.raises(errors.EmailDeliveryFailed) as refusal:
        await service.logins.with_password(EMAIL, PASSWORD)
    challenge = str(refusal.value.metadata["challenge"])
    mailbox.failure = None
    assert await service.logins.complete_two_factor(user_id, challenge, codes[0], is_backup=True)


async def test_an_address_that_is_no_longer_verified_is_not_sent_to(
    service: Service, mailbox: Mailbox
) -> None:
    user_id, codes = await with_email_factor(service, mailbox, password=PASSWORD)
    assert service.pool is not None
    await service.pool.execute("update profiles.users set email_verified = false")
    mailbox.messages.clear()
    epoch = await service.pool.fetchval("select auth_epoch from profiles.users")
    proof = FirstFactor(user_id=user_id, auth_epoch=epoch, two_factor=True)
    with pytest.raises(errors.TwoFactorMethodUnavailable) as refusal:
        await service.logins.finish(proof, method="solana_login", amr=("pop",))
    assert mailbox.messages == []
    challenge = str(refusal.value.metadata["challenge"])
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.complete_two_factor(user_id, challenge, "123456")
    assert await service.logins.complete_two_factor(user_id, challenge, codes[0], is_backup=True)


async def test_codes_of_sign_ins_are_limited(service: Service, mailbox: Mailbox) -> None:
    await with_email_factor(service, mailbox, password=PASSWORD)
    mailbox.messages.clear()
    for _ in range(5):
        assert (await begin(service))["code_sent"] is True
    assert (await begin(service))["code_sent"] is False
    assert len(mailbox.to(EMAIL)) == 5


async def test_every_first_factor_requires_a_second_unless_its_method_is_exempt(
    make_service, mailbox: Mailbox
) -> None:
    service: Service = await make_service(two_factor_exempt_methods=("passkey",))
    user_id, _ = await with_email_factor(service, mailbox)
    assert service.pool is not None
    epoch = await service.pool.fetchval("select auth_epoch from profiles.users")
    proof = FirstFactor(user_id=user_id, auth_epoch=epoch, two_factor=True)
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.logins.finish(
            proof, method="oidc_login", amr=("fed",), client=CLIENT, extra={"provider": "example"}
        )
    pair = await service.logins.complete_two_factor(
        user_id, str(required.value.metadata["challenge"]), mailbox.last(EMAIL).code
    )
    assert claims(pair.access_token)["provider"] == "example"
    exempt = await service.logins.finish(proof, method="passkey", amr=("hwk",))
    assert claims(exempt.access_token)["amr"] == ["hwk"]
    with pytest.raises(errors.ReservedClaim):
        await service.logins.finish(proof, method="passkey", amr=("hwk",), extra={"roles": ["admin"]})


async def test_a_failing_query_never_skips_the_second_factor(service: Service, mailbox: Mailbox) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    assert service.pool is not None
    await service.pool.execute("alter table profiles.two_factor_settings rename to gone")
    try:
        for call in (
            service.logins.with_password(EMAIL, PASSWORD),
            service.passwords.login(EMAIL, PASSWORD),
            service.two_factor.get_settings(user_id),
            service.two_factor.require_for_login(user_id),
            service.two_factor.create_challenge(user_id),
            service.two_factor.verify_backup_code(user_id, "AAAA-AAAA-AAAA"),
        ):
            with pytest.raises(Exception, match="two_factor_settings"):
                await call
    finally:
        await service.pool.execute("alter table profiles.gone rename to two_factor_settings")
    assert await service.sessions.list_for_user(user_id) == []


async def test_without_the_store_nothing_is_opened_and_nothing_is_off(
    make_service, mailbox: Mailbox, own_redis
) -> None:
    service: Service = await make_service(redis_url=own_redis.url)
    user_id, codes = await with_email_factor(service, mailbox, password=PASSWORD)
    asked, code = await begin(service), mailbox.last(EMAIL).code
    own_redis.stop()
    two_factor = service.two_factor
    for call in (
        service.logins.with_password(EMAIL, PASSWORD),
        service.logins.complete_two_factor(user_id, asked["challenge"], code),
        two_factor.complete_login(user_id, asked["challenge"], codes[0], is_backup=True),
        two_factor.verify_challenge(user_id, asked["challenge"]),
        two_factor.verify_code(user_id, code),
        two_factor.verify_backup_code(user_id, codes[0]),
        two_factor.require_for_login(user_id),
        two_factor.create_challenge(user_id),
        two_factor.clear_challenge(user_id),
        two_factor.send_email_setup_code(user_id),
        two_factor.enable(user_id, "email", code="123456"),
    ):
        with pytest.raises(errors.EphemeralStoreUnavailable):
            await call
    settings = await two_factor.get_settings(user_id)
    assert settings is not None
    assert settings.enabled
    assert len(settings.backup_codes) == 10
    await two_factor.admin_disable(user_id, actor="operator")


async def test_nothing_secret_is_logged_or_shown(
    service: Service, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    user_id, backup = await with_email_factor(service, mailbox, password=PASSWORD)
    challenged = await TwoFactor(service.rt).begin(
        user_id, auth_epoch=1, method="password_login", amr=("pwd",)
    )
    code = mailbox.last(EMAIL).code
    redeemed = await service.two_factor.redeem(user_id, challenged.challenge, code)
    with pytest.raises(errors.InvalidChallenge) as refusal:
        await service.logins.complete_two_factor(user_id, challenged.challenge, code)
    shown = f"{caplog.text} {challenged!r} {redeemed!r} {refusal.value!r} {service!r}"
    assert all(secret not in shown for secret in (code, challenged.challenge, *backup, EMAIL))


async def test_the_store_holds_keyed_digests_and_no_code(service: Service, mailbox: Mailbox) -> None:
    await with_email_factor(service, mailbox, password=PASSWORD)
    asked = await begin(service)
    await service.two_factor.require_for_login(asked["user_id"])
    stored = repr(service.rt.ephemeral._entries)  # type: ignore[attr-defined]
    assert asked["challenge"] not in stored
    codes = [message.code for message in mailbox.messages if message.code]
    assert len(codes) == 3
    for code in codes:
        assert f'"{code}"' not in stored
        assert hashlib.sha256(code.encode()).hexdigest() not in stored


@pytest.mark.parametrize(
    ("whole", "shown"),
    [
        ("ada@example.test", "a***@e***.test"),
        ("a@b.co.uk", "a***@b***.uk"),
        ("+4915112345612", "+49*********12"),
        ("+123456", "+******"),
        ("+12", "+**"),
    ],
)
def test_a_destination_is_masked_by_its_kind(whole: str, shown: str) -> None:
    assert masked(whole) == shown
