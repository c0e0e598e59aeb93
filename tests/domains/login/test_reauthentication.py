"""Stepping up: a fresh proof in a live session, by the strongest means the user has."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.factors import EMAIL, PASSWORD, events, new_user, with_email_factor
from fakes.mail import Mailbox
from fakes.wallets import Wallet

DOMAIN = "app.example.test"


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(solana_domains=(DOMAIN,))


def claims(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


async def old_session(service: Service, user_id: str, age) -> str:
    session_id = (await service.sessions.issue(user_id, amr=("pwd",))).session_id
    await age("refresh_sessions", session_id, auth_time=3600)
    return session_id


async def test_the_password_makes_an_old_session_fresh(service: Service, age, clock) -> None:
    user_id = await new_user(service, password=PASSWORD)
    session_id = await old_session(service, user_id, age)
    before = await service.sessions.authenticate(user_id, session_id)
    access = await service.logins.step_up_password(user_id, session_id, PASSWORD)
    after = await service.sessions.authenticate(user_id, session_id)
    assert (after.auth_time - before.auth_time).total_seconds() > 3000
    said = claims(access.token)
    assert (said["sid"], said["amr"]) == (session_id, ["pwd"])
    assert said["auth_time"] == int(after.auth_time.timestamp())
    (event,) = await events(service, "session_stepped_up")
    assert (event["user_id"], event["session_id"], event["method"]) == (user_id, session_id, "password")
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.step_up_password(user_id, session_id, "wrong password")


async def test_a_wrong_password_of_a_signed_in_user_leaves_an_event(service: Service) -> None:
    user_id = await new_user(service, password=PASSWORD)
    session_id = (await service.sessions.issue(user_id)).session_id
    client = Client(ip="203.0.113.7")
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.step_up_password(user_id, session_id, "wrong password", client=client)
    with pytest.raises(errors.InvalidCredentials):
        await service.passwords.change(user_id, "wrong password", "another horse battery", client=client)
    assert not await service.passwords.verify(user_id, "wrong password", client=client)
    assert not await service.passwords.verify("no-id", "wrong password", client=client)
    found = await events(service, "session_failed")
    assert [(event["user_id"], event["method"], event["reason"]) for event in found] == [
        (whose, "reauthentication", "invalid_credentials") for whose in (user_id, user_id, user_id, "")
    ]


async def test_only_ones_own_live_session_is_stepped_up(service: Service, age) -> None:
    ada = await new_user(service, password=PASSWORD)
    eve = await new_user(service, "eve@example.test", password=PASSWORD)
    session_id = await old_session(service, eve, age)
    for of_whom, session in ((ada, session_id), (ada, "no-id"), ("no-id", session_id)):
        with pytest.raises(errors.SessionEnded):
            await service.logins.step_up_password(of_whom, session, PASSWORD)
    await service.sessions.revoke(session_id)
    with pytest.raises(errors.SessionEnded):
        await service.logins.step_up_password(eve, session_id, PASSWORD)
    await service.lifecycle.ban(eve)
    with pytest.raises(errors.UserDisabled):
        await service.logins.step_up_password(eve, session_id, PASSWORD)


async def test_who_has_a_second_factor_must_use_it(service: Service, mailbox: Mailbox, age) -> None:
    user_id, backup = await with_email_factor(service, mailbox, password=PASSWORD)
    session_id = await old_session(service, user_id, age)
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.step_up_password(user_id, session_id, PASSWORD)
    sent = await service.logins.step_up_send_code(user_id, session_id)
    assert sent.masked_destination == "a***@e***.test"
    code = mailbox.last(EMAIL).code
    other = await old_session(service, user_id, age)
    for session, shown in ((session_id, "wrong"), (other, code)):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.logins.step_up_two_factor(user_id, session, shown)
    access = await service.logins.step_up_two_factor(user_id, session_id, code)
    assert claims(access.token)["amr"] == ["otp", "mfa"]
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.step_up_two_factor(user_id, session_id, code)
    access = await service.logins.step_up_two_factor(user_id, other, backup[0], is_backup=True)
    assert claims(access.token)["amr"] == ["otp", "mfa"]
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.step_up_two_factor(user_id, other, backup[0], is_backup=True)


async def test_a_backup_code_is_not_spent_on_a_session_that_has_ended(
    service: Service, mailbox: Mailbox, age
) -> None:
    user_id, backup = await with_email_factor(service, mailbox, password=PASSWORD)
    ended, live = [await old_session(service, user_id, age) for _ in range(2)]
    await service.sessions.revoke(ended)
    with pytest.raises(errors.SessionEnded):
        await service.logins.step_up_two_factor(user_id, ended, backup[0], is_backup=True)
    assert await events(service, "two_factor_backup_code_used") == []
    assert await service.logins.step_up_two_factor(user_id, live, backup[0], is_backup=True)
    outcomes = await asyncio.gather(
        *(service.logins.step_up_two_factor(user_id, live, backup[1], is_backup=True) for _ in range(3)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, errors.InvalidOrExpiredCode) for outcome in outcomes) == 2
    assert len(await events(service, "session_stepped_up")) == 2


async def test_who_has_nothing_else_is_sent_a_code_to_the_verified_contact(
    service: Service, mailbox: Mailbox, age
) -> None:
    user_id = await new_user(service)
    session_id = await old_session(service, user_id, age)
    await service.logins.step_up_send_code(user_id, session_id)
    access = await service.logins.step_up_two_factor(user_id, session_id, mailbox.last(EMAIL).code)
    assert claims(access.token)["amr"] == ["otp"]


async def test_no_code_goes_out_to_who_has_a_password_or_no_verified_contact(
    service: Service, mailbox: Mailbox, age
) -> None:
    ada = await new_user(service, password=PASSWORD)
    bob = (await service.users.create("bob@example.test", "bob_b")).id
    for user_id in (ada, bob):
        session_id = await old_session(service, user_id, age)
        with pytest.raises(errors.TwoFactorMethodUnavailable):
            await service.logins.step_up_send_code(user_id, session_id)
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.logins.step_up_two_factor(user_id, session_id, "123456")
    assert mailbox.messages == []


async def test_a_step_up_code_dies_with_the_address_it_was_sent_to(
    service: Service, mailbox: Mailbox, age
) -> None:
    user_id, _ = await with_email_factor(service, mailbox)
    session_id = await old_session(service, user_id, age)
    await service.logins.step_up_send_code(user_id, session_id)
    code = mailbox.last(EMAIL).code
    assert service.pool is not None
    await service.pool.execute("update profiles.users set email = 'new@example.test'")
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.step_up_two_factor(user_id, session_id, code)


async def test_step_up_codes_are_limited(service: Service, age) -> None:
    user_id = await new_user(service)
    session_id = await old_session(service, user_id, age)
    await service.logins.step_up_send_code(user_id, session_id)
    with pytest.raises(errors.TooManyRequests):
        await service.logins.step_up_send_code(user_id, session_id)


async def test_the_wallet_steps_its_own_user_up(service: Service, mailbox: Mailbox, age) -> None:
    wallet, foreign = Wallet(), Wallet()

    async def answer(whose: Wallet) -> Any:
        return whose.sign(await service.solana.generate_challenge(DOMAIN, whose.address))

    signed_in = await service.solana.verify_and_login(await answer(wallet))
    await service.solana.verify_and_login(await answer(foreign))
    user_id, session_id = signed_in.user_id, signed_in.session_id
    access = await service.solana.step_up(user_id, session_id, await answer(wallet))
    assert claims(access.token)["amr"] == ["pop"]
    for somebody in (foreign, Wallet()):
        with pytest.raises(errors.SiwsAddressMismatch):
            await service.solana.step_up(user_id, session_id, await answer(somebody))
    ada, _ = await with_email_factor(service, mailbox)
    mine = Wallet()
    await service.solana.link_wallet(ada, await answer(mine))
    session_id = await old_session(service, ada, age)
    with pytest.raises(errors.TwoFactorRequired):
        await service.solana.step_up(ada, session_id, await answer(mine))


async def test_one_step_up_code_is_good_for_one_of_fifty(service: Service, mailbox: Mailbox, age) -> None:
    user_id = await new_user(service)
    session_id = await old_session(service, user_id, age)
    await service.logins.step_up_send_code(user_id, session_id)
    code = mailbox.last(EMAIL).code
    outcomes = await asyncio.gather(
        *(service.logins.step_up_two_factor(user_id, session_id, code) for _ in range(50)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, errors.InvalidOrExpiredCode)]
    assert len(refused) == 49
