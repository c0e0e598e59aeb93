"""Signing in, and authenticating again, with a passkey."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes import passkeys
from fakes.factors import EMAIL, PASSWORD, events, new_user, with_email_factor
from fakes.passkeys import BE, BS, PRESENT, UP, UV, Authenticator, add_passkey
from fakes.users import finish_background
from fakes.work_counter import WorkCounter

CLIENT = Client(ip="192.0.2.9", user_agent="Browser/1")


async def sign_in(service: Service, authenticator: Authenticator, **lies):
    options = await service.passkey_logins.begin_login()
    return await service.passkey_logins.finish_login(authenticator.get(options, **lies), client=CLIENT)


async def step_up(service: Service, authenticator: Authenticator, user_id: str, session_id: str):
    options = await service.passkey_logins.begin_step_up(user_id)
    return await service.passkey_logins.finish_step_up(user_id, session_id, authenticator.get(options))


async def amr_of(service: Service, token: str) -> list[str]:
    return list((await service.tokens.verify(token)).raw["amr"])


async def test_the_options_name_no_account(service, user_id, authenticator):
    await add_passkey(service, user_id, authenticator)
    options = await service.passkey_logins.begin_login()
    assert options["allowCredentials"] == []
    assert options["userVerification"] == "required"
    assert options["rpId"] == passkeys.RP_ID


@pytest.mark.parametrize(
    ("flags", "key"), [(PRESENT, "hwk"), (PRESENT | BE, "swk"), (PRESENT | BE | BS, "swk")]
)
async def test_a_passkey_signs_in_and_says_how(service, user_id, flags, key):
    authenticator = Authenticator(flags=flags)
    await add_passkey(service, user_id, authenticator)
    pair = await sign_in(service, authenticator)
    assert pair.user_id == user_id
    assert await amr_of(service, pair.access_token) == [key, "user", "mfa"]
    created = [event for event in await events(service, "session_created") if event["method"] == "passkey"]
    assert [event["session_id"] for event in created] == [pair.session_id]
    (found,) = await service.passkeys.list_for_user(user_id)
    assert found.last_used_at is not None


async def test_a_passkey_counts_as_two_factors_unless_that_is_off(make_service, mailbox):
    for counts in (True, False):
        service = await make_service(**passkeys.SETTINGS, passkey_counts_as_two_factors=counts)
        email = f"ada-{counts}@example.test".lower()
        (user_id, _), authenticator = await with_email_factor(service, mailbox, email), Authenticator()
        await add_passkey(service, user_id, authenticator)
        if counts:
            assert await sign_in(service, authenticator)
            continue
        with pytest.raises(errors.TwoFactorRequired) as required:
            await sign_in(service, authenticator)
        pair = await service.logins.complete_two_factor(
            user_id, str(required.value.metadata["challenge"]), mailbox.last(email).code
        )
        assert await amr_of(service, pair.access_token) == ["hwk", "user", "otp", "mfa"]


async def test_without_a_second_factor_a_passkey_that_counts_as_one_says_so(make_service, authenticator):
    service = await make_service(**passkeys.SETTINGS, passkey_counts_as_two_factors=False)
    await add_passkey(service, await new_user(service), authenticator)
    assert await amr_of(service, (await sign_in(service, authenticator)).access_token) == ["hwk", "user"]


async def test_a_passkey_that_is_one_factor_leads_to_the_second_one_where_it_is_required(
    make_service, authenticator
):
    service = await make_service(
        **passkeys.SETTINGS, passkey_counts_as_two_factors=False, two_factor_policy="required"
    )
    await add_passkey(service, await new_user(service), authenticator)
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await sign_in(service, authenticator)
    assert required.value.metadata.keys() == {"enrollment_token", "expires_in"}


async def test_fifty_responses_to_one_challenge_open_one_session(service, user_id, authenticator):
    await add_passkey(service, user_id, authenticator)
    options = await service.passkey_logins.begin_login()
    responses = [authenticator.get(options) for _ in range(50)]
    answers = await asyncio.gather(
        *(service.passkey_logins.finish_login(response) for response in responses), return_exceptions=True
    )
    assert sum(not isinstance(answer, Exception) for answer in answers) == 1
    assert {type(answer) for answer in answers if isinstance(answer, Exception)} == {
        errors.PasskeyChallengeExpired
    }
    assert len(await service.sessions.list_for_user(user_id)) == 1


@pytest.mark.parametrize("spoil", ["used", "late", "step_up", "register", "made_up"])
async def test_a_challenge_is_good_once_for_its_purpose_and_five_minutes(
    service, user_id, authenticator, clock, spoil
):
    await add_passkey(service, user_id, authenticator)
    options = await service.passkey_logins.begin_login()
    if spoil == "used":
        await service.passkey_logins.finish_login(authenticator.get(options))
    elif spoil == "late":
        clock.advance(301)
    elif spoil == "step_up":
        options["challenge"] = (await service.passkey_logins.begin_step_up(user_id))["challenge"]
    elif spoil == "register":
        options["challenge"] = (await service.passkeys.begin_registration(user_id))["challenge"]
    else:
        options["challenge"] = passkeys.b64(bytes(32))
    with pytest.raises(errors.PasskeyChallengeExpired):
        await service.passkey_logins.finish_login(authenticator.get(options))


LIES = [
    {"flags": UP},
    {"flags": UV},
    {"flags": 0},
    {"flags": PRESENT | BS},
    {"flags": PRESENT | BE},
    {"flags": PRESENT | passkeys.AT},
    {"flags": PRESENT | passkeys.ED},
    {"rp_id": "evil.test"},
    {"client": {"type": "webauthn.create"}},
    {"client": {"origin": "https://evil.test"}},
    {"client": {"origin": ""}},
    {"client": {"crossOrigin": True}},
    {"client": {"crossOrigin": True, "topOrigin": "https://evil.test"}},
    {"client": {"topOrigin": passkeys.ORIGIN}},
    {"client": {"challenge": 5}},
    {"client_data": b"{}"},
    {"client_data": b"null"},
    {"handle": None},
    {"handle": b""},
    {"handle": bytes(64)},
    {"signed": b"something else"},
    {"signature": b""},
    {"signature": b"\x30\x00"},
    {"data": b""},
    {"data": bytes(37)},
    {"extensions": b"\xa0"},
    {"extensions": bytes(2000)},
]


@pytest.mark.parametrize("lies", LIES, ids=str)
async def test_a_response_with_one_lie_opens_nothing(service, user_id, authenticator, lies):
    await add_passkey(service, user_id, authenticator)
    with pytest.raises((errors.PasskeyInvalid, errors.PasskeyChallengeExpired)) as refused:
        await sign_in(service, authenticator, **lies)
    assert refused.type is not errors.PasskeyUnknown
    assert await service.sessions.list_for_user(user_id) == []
    assert await sign_in(service, authenticator)


async def test_extension_data_of_an_authenticator_is_ignored(service, user_id, authenticator):
    await add_passkey(service, user_id, authenticator)
    assert await sign_in(service, authenticator, flags=PRESENT | passkeys.ED, extensions=b"\xa1\x61a\x01")


async def test_an_unknown_credential_differs_from_a_wrong_signature_by_its_code_alone(
    service, user_id, authenticator
):
    await add_passkey(service, user_id, authenticator)
    unknown = passkeys.Credential(id=bytes(32), key=passkeys.new_key(), handle=bytes(64))
    with pytest.raises(errors.PasskeyUnknown) as missing:
        await sign_in(service, authenticator, credential=unknown)
    with pytest.raises(errors.PasskeyInvalid) as wrong:
        await sign_in(service, authenticator, signed=b"x")
    assert str(missing.value) == str(wrong.value)
    assert missing.value.metadata == wrong.value.metadata == {}
    assert (missing.value.code, wrong.value.code) == ("passkey_unknown", "passkey_invalid")


async def test_the_passkey_of_another_user_is_refused_with_ones_own_handle(service, user_id, authenticator):
    bob, mallory = Authenticator(), await new_user(service, "mallory@example.test")
    await add_passkey(service, user_id, authenticator)
    await add_passkey(service, mallory, bob)
    with pytest.raises(errors.PasskeyInvalid):
        await sign_in(service, bob, handle=authenticator.credentials[0].handle)
    with pytest.raises(errors.PasskeyInvalid):
        await sign_in(service, authenticator, handle=bob.credentials[0].handle)


async def test_a_counter_that_does_not_rise_suspends_the_passkey(service, user_id, mailbox):
    for count in (2, 1, 0):
        authenticator = Authenticator(counts=True)
        added = await add_passkey(service, user_id, authenticator)
        await sign_in(service, authenticator)
        proof = await service.passwords.prove(EMAIL, PASSWORD)
        with pytest.raises(errors.PasskeySuspended):
            await sign_in(service, authenticator, count=count)
        with pytest.raises(errors.PasskeySuspended):
            await sign_in(service, authenticator)
        event = (await events(service, "passkey_counter_regressed"))[-1]
        assert (event["user_id"], event["target"]) == (user_id, added.id)
        await finish_background(service)
        assert mailbox.last(EMAIL).kind == "passkey_suspended"
        with pytest.raises(errors.InvalidCredentials):
            await service.logins.finish(proof, method="password_login", amr=("pwd",))
        found = await service.passkeys.accepted_for_user(user_id)
        assert next(entry.suspended for entry in found.passkeys if entry.id == added.id)
        assert added.credential_id not in found.accepted
    assert len(await events(service, "passkey_counter_regressed")) == 3


async def test_of_two_parallel_responses_with_one_count_one_signs_in(service, user_id):
    authenticator = Authenticator(counts=True)
    await add_passkey(service, user_id, authenticator)
    options = [await service.passkey_logins.begin_login() for _ in range(10)]
    responses = [authenticator.get(given, count=9) for given in options]
    answers = await asyncio.gather(
        *(service.passkey_logins.finish_login(response) for response in responses), return_exceptions=True
    )
    assert sum(not isinstance(answer, Exception) for answer in answers) <= 1
    assert len(await events(service, "passkey_counter_regressed")) == 1


async def test_the_zero_counter_of_a_synced_passkey_stays_zero(service, user_id, authenticator):
    authenticator.flags = PRESENT | BE
    await add_passkey(service, user_id, authenticator)
    for _ in range(3):
        assert await sign_in(service, authenticator)
    assert (await service.passkeys.list_for_user(user_id))[0].backed_up is False
    assert await sign_in(service, authenticator, flags=PRESENT | BE | BS)
    assert (await service.passkeys.list_for_user(user_id))[0].backed_up is True


async def test_a_user_who_may_not_act_is_refused_after_a_right_response(service, user_id, authenticator):
    await add_passkey(service, user_id, authenticator)
    await service.lifecycle.ban(user_id, actor="", reason="test")
    with pytest.raises(errors.PasskeyInvalid):
        await sign_in(service, authenticator, signed=b"x")
    with pytest.raises(errors.UserBanned):
        await sign_in(service, authenticator)


async def test_a_refused_passkey_is_in_the_audit_trail(service, user_id, authenticator):
    await add_passkey(service, user_id, authenticator)
    with pytest.raises(errors.PasskeyInvalid):
        await sign_in(service, authenticator, signed=b"x")
    (event,) = await events(service, "session_failed")
    assert (event["reason"], event["user_id"]) == ("passkey_invalid", "")


async def test_a_sign_in_under_way_ends_with_its_passkey(service, user_id, authenticator, monkeypatch):
    added = await add_passkey(service, user_id, authenticator)
    finish = Logins.finish

    async def overtaken(self, *args, **options):
        await service.passkeys.remove(user_id, added.id)
        return await finish(self, *args, **options)

    monkeypatch.setattr(Logins, "finish", overtaken)
    with pytest.raises(errors.InvalidCredentials):
        await sign_in(service, authenticator)
    assert await service.sessions.list_for_user(user_id) == []


async def test_an_outage_of_the_database_leaves_the_challenge_to_the_next_try(
    service, user_id, authenticator, monkeypatch
):
    from authkit_issuer.domains.passkeys import assertions
    from authkit_issuer.runtime import Runtime

    await add_passkey(service, user_id, authenticator)
    options = await service.passkey_logins.begin_login()
    response, maybe = authenticator.get(options), Runtime.maybe

    async def down(self, query, *args):
        if query is assertions.PRESENTED:
            raise errors.DatabaseUnavailable
        return await maybe(self, query, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Runtime, "maybe", down)
        with pytest.raises(errors.DatabaseUnavailable):
            await service.passkey_logins.finish_login(response)
    assert await service.passkey_logins.finish_login(response)


async def test_a_sign_in_costs_at_most_two_statements_more_than_by_password_and_no_mail(
    service, user_id, authenticator, mailbox, monkeypatch
):
    await add_passkey(service, user_id, authenticator)
    await finish_background(service)
    counter, before = WorkCounter(service, monkeypatch), len(mailbox.messages)
    async with counter.foreground() as password:
        await service.logins.with_password(EMAIL, PASSWORD, client=CLIENT)
    async with counter.foreground() as passkey:
        await sign_in(service, authenticator)
    await counter.finish()
    assert len(passkey.queries) <= len(password.queries) + 2
    assert len(mailbox.messages) == before


async def test_an_unknown_credential_takes_the_work_of_a_wrong_signature(
    service, user_id, authenticator, monkeypatch
):
    await add_passkey(service, user_id, authenticator)
    unknown = passkeys.Credential(id=bytes(32), key=passkeys.new_key(), handle=bytes(64))
    counter = WorkCounter(service, monkeypatch)
    works = []
    for lies in ({"credential": unknown}, {"signed": b"x"}):
        async with counter.foreground() as work:
            with pytest.raises(errors.PasskeyInvalid):
                await sign_in(service, authenticator, **lies)
        works.append(work.steps)
        await counter.finish()
    assert works[0] == works[1]


# --- step-up ----------------------------------------------------------------------------------------------


async def test_a_passkey_is_a_fresh_proof_for_a_live_session(service, user_id, authenticator, age):
    await add_passkey(service, user_id, authenticator)
    session = (await sign_in(service, authenticator)).session_id
    await age("refresh_sessions", session, auth_time=7200)
    assert "passkey" in await service.logins.step_up_methods(user_id)
    stepped = await step_up(service, authenticator, user_id, session)
    assert await amr_of(service, stepped.token) == ["hwk", "user", "mfa"]
    assert (await service.sessions.authenticate(user_id, session)).auth_age < 60
    (event,) = await events(service, "session_stepped_up")
    assert (event["method"], event["session_id"]) == ("passkey", session)


async def test_a_step_up_names_the_passkeys_of_its_user_and_needs_no_handle(service, user_id, authenticator):
    session = (await service.sessions.issue(user_id)).session_id
    with pytest.raises(errors.PasskeyNotFound):
        await service.passkey_logins.begin_step_up(user_id)
    added = await add_passkey(service, user_id, authenticator)
    options = await service.passkey_logins.begin_step_up(user_id)
    assert [entry["id"] for entry in options["allowCredentials"]] == [passkeys.b64(added.credential_id)]
    response = authenticator.get(options, handle=None)
    assert await service.passkey_logins.finish_step_up(user_id, session, response)


async def test_the_passkey_of_another_user_proves_nothing(service, user_id, authenticator):
    bob, bobs = await new_user(service, "bob@example.test"), Authenticator()
    await add_passkey(service, user_id, authenticator)
    await add_passkey(service, bob, bobs)
    session = (await service.sessions.issue(user_id)).session_id
    options = await service.passkey_logins.begin_step_up(user_id)
    with pytest.raises(errors.PasskeyInvalid):
        await service.passkey_logins.finish_step_up(
            user_id, session, bobs.get(options | {"allowCredentials": []}, handle=None)
        )
    theirs = await service.passkey_logins.begin_step_up(bob)
    with pytest.raises(errors.PasskeyChallengeExpired):
        await service.passkey_logins.finish_step_up(
            user_id, session, authenticator.get(theirs | {"allowCredentials": []})
        )
    assert await events(service, "session_stepped_up") == []


async def test_a_step_up_ends_with_a_change_of_the_account_and_with_its_session(
    service, user_id, authenticator
):
    await add_passkey(service, user_id, authenticator)
    session = (await service.sessions.issue(user_id)).session_id
    options = await service.passkey_logins.begin_step_up(user_id)
    await service.sessions.revoke_all(user_id)
    with pytest.raises(errors.PasskeyChallengeExpired):
        await service.passkey_logins.finish_step_up(user_id, session, authenticator.get(options))
    with pytest.raises(errors.SessionEnded):
        await step_up(service, authenticator, user_id, session)


async def test_a_step_up_stands_in_for_the_second_factor_if_it_counts_as_two(make_service, mailbox):
    for counts in (True, False):
        service = await make_service(**passkeys.SETTINGS, passkey_counts_as_two_factors=counts)
        email = f"ada-{counts}@example.test".lower()
        (user_id, _), authenticator = await with_email_factor(service, mailbox, email), Authenticator()
        await add_passkey(service, user_id, authenticator)
        session = (await service.sessions.issue(user_id)).session_id
        methods = await service.logins.step_up_methods(user_id)
        if counts:
            assert methods == ["passkey", "2fa"]
            assert await step_up(service, authenticator, user_id, session)
            continue
        assert methods == ["2fa"]
        with pytest.raises(errors.TwoFactorRequired):
            await step_up(service, authenticator, user_id, session)


async def test_a_key_that_was_replaced_in_storage_by_another_opens_nothing(service, user_id, authenticator):
    """The row has the algorithm and the key, whatever the response says."""
    await add_passkey(service, user_id, authenticator)
    other = dataclasses.replace(authenticator.credentials[0], key=passkeys.new_key(-257))
    with pytest.raises(errors.PasskeyInvalid):
        await sign_in(service, authenticator, credential=other)
