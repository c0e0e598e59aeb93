"""A thief of the password starts a recovery: the owner hears of it, and ends it in many ways."""

from __future__ import annotations

import asyncio
import json

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.base.messages import NOTICE_LIFE
from authkit_issuer.ports import Client, SendFailure, TemporarySendFailure
from authkit_issuer.service import Service
from fakes.factors import (
    EMAIL,
    PASSWORD,
    add_app,
    app_code,
    events,
    let_codes_be_new,
    with_app,
    with_email_factor,
)
from fakes.mail import Mailbox
from fakes.recovery import (
    DAY,
    DELAY,
    FACTOR_NUMBER,
    NUMBER,
    challenge_of,
    everybody,
    let_pass,
    started,
    told,
    wait_out,
)
from fakes.users import finish_background

THIEF = Client(ip="198.51.100.7", user_agent="thief")


# --- the victim of a stolen password ------------------------------------------------------------------------


async def test_every_contact_gets_a_notice_at_once_and_every_day(
    service: Service, mailbox: Mailbox, ada: str
) -> None:
    await service.recovery.start(ada, await challenge_of(service), client=THIEF)
    await finish_background(service)
    mail = mailbox.last(EMAIL)
    assert mail.circumstances is not None
    assert mail.circumstances.network == "198.51.100.7"
    assert await told(service, mailbox) == everybody("recovery_requested")
    for _ in range(3):
        await let_pass(service, DAY - 60)
        assert await service.recovery.remind() == 0
        await let_pass(service, 60)
        assert await service.recovery.remind() == 1
        assert await told(service, mailbox) == everybody("recovery_waiting")
    await service.recovery.cancel(ada)
    assert await told(service, mailbox) == everybody("recovery_cancelled")
    await let_pass(service, DAY)
    await service.recovery.remind()
    assert await told(service, mailbox) == []


async def test_a_thief_who_uses_up_the_sms_of_a_number_makes_no_silent_wait(
    make_service, mailbox: Mailbox, clock
) -> None:
    service = await make_service(recovery_delay=DELAY, sms_max_per_number_hour=1)
    user = await service.users.add(phone=NUMBER, username="ada_user", verified=True)
    await service.passwords.store_hash(user.id, await service.passwords.hash(PASSWORD))
    await add_app(service, user.id)
    await service.passwords.request_phone_reset(NUMBER, client=THIEF)
    await finish_background(service)
    await service.recovery.start(user.id, await challenge_of(service, NUMBER))
    await wait_out(service)
    assert await told(service, mailbox) == []
    challenge = await challenge_of(service, NUMBER)
    with pytest.raises(errors.RecoveryNotReady):
        await service.recovery.complete(user.id, challenge)
    clock.advance(3600)
    await let_pass(service, NOTICE_LIFE)
    assert await service.recovery.remind() == 1
    assert await told(service, mailbox) == [(NUMBER, "recovery_requested")]
    # The owner has heard of it only now, and has the whole wait.
    for _ in range(3):
        with pytest.raises(errors.RecoveryNotReady):
            await service.recovery.complete(user.id, await challenge_of(service, NUMBER))
        clock.advance(DAY)
        await let_pass(service, DAY)
        assert await service.recovery.remind() == 1
        assert await told(service, mailbox) == [(NUMBER, "recovery_waiting")]
    assert await service.recovery.complete(user.id, await challenge_of(service, NUMBER))


@pytest.mark.parametrize("failure", [SendFailure("no such mailbox"), TemporarySendFailure("greylisted")])
async def test_a_wait_whose_notices_the_sender_refused_completes_nothing(
    service: Service, mailbox: Mailbox, ada: str, failure: Exception
) -> None:
    mailbox.failure = failure
    await started(service, ada)
    await wait_out(service)
    mailbox.failure = None
    with pytest.raises(errors.RecoveryNotReady):
        await service.recovery.complete(ada, await challenge_of(service))


@pytest.mark.parametrize(
    ("failure", "ready"), [(SendFailure("no such number"), True), (TemporarySendFailure("busy"), False)]
)
async def test_a_contact_that_is_gone_for_good_is_not_waited_for(
    service, mailbox, ada, monkeypatch, failure, ready
):
    async def refuse(phone: str, notice: object) -> None:
        raise failure

    monkeypatch.setattr(mailbox.texts, "send_recovery_text", refuse)
    await started(service, ada)
    await wait_out(service)
    found = await service.recovery.get(ada)
    assert found is not None
    assert found.ready is ready


async def test_of_many_processes_one_sends_the_notices_of_a_day(
    service: Service, mailbox: Mailbox, ada: str
) -> None:
    await started(service, ada)
    await told(service, mailbox)
    await let_pass(service, DAY)
    assert sum(await asyncio.gather(*(service.recovery.remind() for _ in range(8)))) == 1
    assert await told(service, mailbox) == everybody("recovery_waiting")


@pytest.mark.parametrize("reader", [EMAIL, NUMBER, FACTOR_NUMBER])
@pytest.mark.parametrize("notice", ["recovery_requested", "recovery_waiting"])
async def test_the_token_of_each_notice_cancels_without_a_sign_in(
    service: Service, mailbox: Mailbox, ada: str, reader: str, notice: str
) -> None:
    await started(service, ada)
    await let_pass(service, DAY)
    await service.recovery.remind()
    await finish_background(service)
    token = next(one.token for one in mailbox.to(reader) if one.kind == notice)
    await service.recovery.cancel_by_token(token)
    await service.recovery.cancel_by_token(token)
    await wait_out(service)
    with pytest.raises(errors.RecoveryNotFound):
        await service.recovery.complete(ada, await challenge_of(service))
    (event,) = await events(service, "recovery_cancelled")
    assert event["method"] == "notice"


async def test_the_token_of_a_notice_does_nothing_else(service: Service, mailbox: Mailbox, ada: str) -> None:
    await started(service, ada)
    await finish_background(service)
    token = mailbox.last(EMAIL).token
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwords.confirm_reset(token, "another horse battery")
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.verification.confirm_email_link(token)
    with pytest.raises(errors.InvalidChallenge):
        await service.recovery.complete(ada, token)
    with pytest.raises(errors.InvalidChallenge):
        await service.recovery.start(ada, token)
    assert await service.recovery.get(ada) is not None
    stored = json.dumps(await service.users.export(ada), default=str)
    assert token not in stored


@pytest.mark.parametrize("token", ["", "x", "\x00", "\ud800", "a" * 5000])
async def test_a_token_of_no_recovery_is_refused(service: Service, ada: str, token: str) -> None:
    await started(service, ada)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.recovery.cancel_by_token(token)
    assert await service.recovery.get(ada) is not None


async def test_a_proof_of_a_second_factor_ends_it(service: Service, mailbox: Mailbox) -> None:
    user_id, secret, _ = await with_app(service, EMAIL, password=PASSWORD)
    await started(service, user_id)
    await told(service, mailbox)
    await let_codes_be_new(service)
    await service.logins.complete_two_factor(user_id, await challenge_of(service), app_code(secret))
    assert await service.recovery.get(user_id) is None
    await service.recovery.remind()
    assert await told(service, mailbox) == [(EMAIL, "recovery_cancelled")]
    (event,) = await events(service, "recovery_cancelled")
    assert event["method"] == "second_factor"
    await wait_out(service)
    with pytest.raises(errors.RecoveryNotFound):
        await service.recovery.complete(user_id, await challenge_of(service))


CHANGES = {
    "a new password": lambda service, user: service.passwords.admin_set(
        user, "another horse battery", must_change=False, actor=user
    ),
    "a sign-out everywhere": lambda service, user: service.sessions.revoke_all(user),
    "a ban": lambda service, user: service.lifecycle.ban(user),
    "a deletion": lambda service, user: service.lifecycle.soft_delete(user),
    "a change of the factors": lambda service, user: service.two_factor.admin_disable(user, actor="op"),
    "another address": lambda service, user: service.users.update_email(user, "new@example.test", actor="op"),
    "a recovery by an operator": lambda service, user: service.lifecycle.recover(
        user, email="found@example.test", actor="op", reason="asked in person"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_of_the_account_ends_it(service: Service, ada: str, change: str) -> None:
    await started(service, ada)
    await CHANGES[change](service, ada)
    assert await service.recovery.get(ada) is None
    await let_pass(service, DAY)
    assert await service.recovery.remind() == 0


async def test_a_new_contact_of_the_owner_ends_it(service: Service, mailbox: Mailbox, ada: str) -> None:
    await started(service, ada)
    await service.contact_changes.request_phone(ada, "+15550100600")
    code = mailbox.last("+15550100600").code
    await service.contact_changes.confirm_phone(ada, "+15550100600", code)
    assert await service.recovery.get(ada) is None


async def test_it_ends_when_its_owner_can_no_longer_hear_of_it(service: Service, mailbox: Mailbox) -> None:
    user_id, _, _ = await with_app(service, EMAIL, password=PASSWORD)
    await started(service, user_id)
    await service.users.set_email_verified(user_id, False)
    await let_pass(service, DAY)
    await service.recovery.remind()
    assert await service.recovery.get(user_id) is None
    (event,) = await events(service, "recovery_cancelled")
    assert event["method"] == "unreachable"


async def test_a_remembered_device_and_a_refresh_prove_no_factor(make_service, mailbox: Mailbox) -> None:
    service = await make_service(recovery_delay=DELAY, two_factor_remember=30 * DAY)
    user_id, secret, _ = await with_app(service, EMAIL, password=PASSWORD)
    await let_codes_be_new(service)
    pair = await service.logins.complete_two_factor(
        user_id, await challenge_of(service), app_code(secret), remember_device=True
    )
    await started(service, user_id)
    await service.logins.with_password(EMAIL, PASSWORD, client=Client(device=pair.device))
    await service.sessions.exchange(pair.refresh_token)
    assert await service.recovery.get(user_id) is not None


async def test_a_ban_that_was_lifted_brings_no_recovery_back(service: Service, ada: str) -> None:
    await started(service, ada)
    await service.lifecycle.ban(ada)
    await service.lifecycle.unban(ada)
    await wait_out(service)
    with pytest.raises(errors.RecoveryNotFound):
        await service.recovery.complete(ada, await challenge_of(service))


async def test_an_account_without_a_verified_contact_is_not_recovered(service: Service, ada: str) -> None:
    assert service.pool is not None
    await service.pool.execute("update profiles.users set email_verified = false, phone_verified = false")
    await service.pool.execute("delete from profiles.second_factors where kind = 'sms'")
    await service.pool.execute("update profiles.users set email_verified = false")
    user = await service.users.get(ada)
    assert user is not None
    challenge = await service.two_factor.create_challenge(ada)
    with pytest.raises(errors.RecoveryUnavailable):
        await service.recovery.start(ada, challenge)


async def test_a_challenge_of_another_user_starts_and_completes_nothing(
    service: Service, mailbox: Mailbox, ada: str
) -> None:
    eve, _ = await with_email_factor(service, mailbox, "eve@example.test", password=PASSWORD)
    await started(service, ada)
    await wait_out(service)
    challenge = await challenge_of(service, "eve@example.test")
    for method in (service.recovery.start, service.recovery.complete):
        with pytest.raises(errors.InvalidChallenge):
            await method(ada, challenge)
    with pytest.raises(errors.RecoveryNotFound):
        await service.recovery.complete(eve, challenge)
