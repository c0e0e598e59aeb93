"""A passkey as the second factor of a sign-in by another first one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes import passkeys
from fakes.factors import EMAIL, PASSWORD, new_user, with_email_factor
from fakes.passkeys import Authenticator, add_passkey


@pytest.fixture
async def user_id(service: Service, mailbox) -> str:
    """A user with a password and a second factor by email."""
    return (await with_email_factor(service, mailbox, password=PASSWORD))[0]


async def waiting(service: Service, email: str = EMAIL) -> dict[str, Any]:
    """Sign in by password, and return what the second factor is asked with."""
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.logins.with_password(email, PASSWORD)
    return required.value.metadata


async def answer(service: Service, authenticator: Authenticator, asked: dict[str, Any], **lies: Any):
    options = await service.passkey_logins.begin_second_factor(asked["user_id"], asked["challenge"])
    return await service.passkey_logins.finish_second_factor(
        asked["user_id"], asked["challenge"], authenticator.get(options, **lies)
    )


async def test_a_passkey_is_among_the_methods_and_finishes_the_sign_in(service, user_id, authenticator):
    added = await add_passkey(service, user_id, authenticator, name="Phone")
    asked = await waiting(service)
    assert {"id": added.id, "kind": "passkey", "hint": "Phone"} in asked["methods"]
    pair = await answer(service, authenticator, asked, handle=None)
    claims = await service.tokens.verify(pair.access_token)
    assert list(claims.raw["amr"]) == ["pwd", "hwk", "user", "mfa"]
    with pytest.raises(errors.InvalidChallenge):
        await service.passkey_logins.begin_second_factor(user_id, asked["challenge"])


async def test_the_passkeys_of_a_user_show_only_after_a_right_first_factor(service, user_id, authenticator):
    await add_passkey(service, user_id, authenticator)
    for challenge in ("", "x" * 43):
        with pytest.raises(errors.InvalidChallenge):
            await service.passkey_logins.begin_second_factor(user_id, challenge)
    asked = await waiting(service)
    bob = await new_user(service, "bob@example.test")
    with pytest.raises(errors.InvalidChallenge):
        await service.passkey_logins.begin_second_factor(bob, asked["challenge"])


async def test_without_a_passkey_there_is_none_to_ask_for(service, user_id, authenticator, shared_pool):
    asked = await waiting(service)
    with pytest.raises(errors.PasskeyNotFound):
        await service.passkey_logins.begin_second_factor(user_id, asked["challenge"])
    await add_passkey(service, user_id, authenticator)
    await shared_pool.execute("update profiles.passkeys set frozen_at = now()")
    assert [method["kind"] for method in (await waiting(service))["methods"]] == ["email"]


@pytest.mark.parametrize("lies", [{"signed": b"x"}, {"flags": 1}, {"rp_id": "evil.test"}], ids=str)
async def test_a_wrong_response_leaves_the_sign_in_waiting(service, user_id, authenticator, lies):
    await add_passkey(service, user_id, authenticator)
    asked = await waiting(service)
    with pytest.raises(errors.PasskeyInvalid):
        await answer(service, authenticator, asked, **lies)
    assert await service.sessions.list_for_user(user_id) == []
    assert await answer(service, authenticator, asked)


async def test_the_passkey_of_another_user_is_no_second_factor(service, user_id, authenticator):
    bob, bobs = await new_user(service, "bob@example.test"), Authenticator()
    await add_passkey(service, user_id, authenticator)
    await add_passkey(service, bob, bobs)
    asked = await waiting(service)
    options = await service.passkey_logins.begin_second_factor(user_id, asked["challenge"])
    response = bobs.get(options | {"allowCredentials": []}, handle=None)
    with pytest.raises(errors.PasskeyInvalid):
        await service.passkey_logins.finish_second_factor(user_id, asked["challenge"], response)


async def test_the_challenge_of_a_sign_in_by_passkey_is_none_of_a_second_factor(
    service, user_id, authenticator
):
    await add_passkey(service, user_id, authenticator)
    asked, options = await waiting(service), await service.passkey_logins.begin_login()
    with pytest.raises(errors.PasskeyChallengeExpired):
        await service.passkey_logins.finish_second_factor(
            user_id, asked["challenge"], authenticator.get(options)
        )


async def test_of_parallel_responses_to_one_sign_in_one_opens_a_session(service, user_id, authenticator):
    await add_passkey(service, user_id, authenticator)
    asked = await waiting(service)
    answers = await asyncio.gather(
        *(answer(service, authenticator, asked) for _ in range(10)), return_exceptions=True
    )
    assert sum(not isinstance(found, Exception) for found in answers) == 1
    assert len(await service.sessions.list_for_user(user_id)) == 1


async def test_a_device_that_remembers_the_passkey_skips_the_second_factor(make_service, mailbox):
    service = await make_service(**passkeys.SETTINGS, two_factor_remember=3600)
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    authenticator = Authenticator()
    await add_passkey(service, user_id, authenticator)
    asked = await waiting(service)
    options = await service.passkey_logins.begin_second_factor(user_id, asked["challenge"])
    pair = await service.passkey_logins.finish_second_factor(
        user_id, asked["challenge"], authenticator.get(options), remember_device=True
    )
    assert pair.device


@pytest.mark.parametrize("by", ["owner", "operator"])
async def test_two_factor_ends_with_the_passkey_that_was_the_last_factor(service, user_id, authenticator, by):
    passkey = await add_passkey(service, user_id, authenticator)
    (email,) = [method for method in (await waiting(service))["methods"] if method["kind"] == "email"]
    await service.second_factors.remove(user_id, email["id"])
    assert [method["kind"] for method in (await waiting(service))["methods"]] == ["passkey"]
    if by == "owner":
        await service.passkeys.remove(user_id, passkey.id)
    else:
        await service.passkeys.admin_remove(user_id, passkey.id, actor="operator")
    listed = await service.second_factors.list_for_user(user_id)
    assert (listed.enabled, listed.factors, listed.backup_codes_left) == (False, [], 0)
    assert await service.logins.with_password(EMAIL, PASSWORD)
    (event,) = await service.events.list_session_events(user_id, "two_factor_disabled")
    assert event.actor == (None if by == "owner" else "operator")


async def test_a_passkey_is_no_second_factor_after_itself(make_service, mailbox, authenticator):
    service = await make_service(**passkeys.SETTINGS, passkey_counts_as_two_factors=False)
    user_id, codes = await with_email_factor(service, mailbox, password=PASSWORD)
    for used in (authenticator, Authenticator()):
        await add_passkey(service, user_id, used)
    options = await service.passkey_logins.begin_login()
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.passkey_logins.finish_login(authenticator.get(options))
    asked = required.value.metadata
    assert [method["kind"] for method in asked["methods"]] == ["email"]
    with pytest.raises(errors.PasskeyNotFound):
        await service.passkey_logins.begin_second_factor(user_id, asked["challenge"])
    (listed, _) = [
        factor
        for factor in (await service.second_factors.list_for_user(user_id)).factors
        if factor.kind == "passkey"
    ]
    with pytest.raises(errors.TwoFactorMethodUnavailable):
        await service.second_factors.select(user_id, asked["challenge"], listed.id)
    # The challenge of another sign-in, by password, gives the response that this one must not take.
    by_password = await waiting(service)
    options = await service.passkey_logins.begin_second_factor(user_id, by_password["challenge"])
    with pytest.raises(errors.InvalidChallenge):
        await service.passkey_logins.finish_second_factor(
            user_id, asked["challenge"], authenticator.get(options)
        )
    assert await service.sessions.list_for_user(user_id) == []
    assert await service.logins.complete_two_factor(user_id, asked["challenge"], codes[0], is_backup=True)


async def test_backup_codes_remain_to_a_user_whose_last_factor_was_suspended(service, mailbox, authenticator):
    user_id, codes = await with_email_factor(service, mailbox, password=PASSWORD)
    await add_passkey(service, user_id, authenticator)
    (email,) = [method for method in (await waiting(service))["methods"] if method["kind"] == "email"]
    await service.second_factors.remove(user_id, email["id"])
    await service.pool.execute("update profiles.passkeys set suspended_at = now()")
    with pytest.raises(errors.TwoFactorMethodUnavailable) as refused:
        await service.logins.with_password(EMAIL, PASSWORD)
    challenge = refused.value.metadata["challenge"]
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.complete_two_factor(user_id, challenge, "ABCD-EFGH-JKLMN", is_backup=True)
    assert await service.logins.complete_two_factor(user_id, challenge, codes[0], is_backup=True)
