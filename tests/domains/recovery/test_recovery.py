"""A user who lost every second factor gets back in after a wait, once."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.sessions.service import TokenPair
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes import passkeys
from fakes.factors import EMAIL, PASSWORD, add_app, events, with_app, with_email_factor
from fakes.mail import Mailbox
from fakes.recovery import (
    DAY,
    DELAY,
    challenge_of,
    everybody,
    let_pass,
    started,
    told,
    wait_out,
)
from fakes.users import finish_background

THIEF = Client(ip="198.51.100.7", user_agent="thief")


# --- the honest user ----------------------------------------------------------------------------------------


async def test_after_the_wait_a_sign_in_goes_on_without_the_factors(
    service: Service, mailbox: Mailbox, ada: str
) -> None:
    state = await service.recovery.start(ada, await challenge_of(service))
    assert (state.completes_at - state.started_at).total_seconds() == DELAY
    assert not state.ready
    await wait_out(service)
    pair = await service.recovery.complete(ada, await challenge_of(service))
    assert pair.user_id == ada
    listed = await service.second_factors.list_for_user(ada)
    assert (listed.enabled, listed.factors, listed.backup_codes_left) == (False, [], 0)
    assert await service.logins.with_password(EMAIL, PASSWORD)
    assert await service.recovery.get(ada) is None


async def test_what_was_open_before_ends_with_the_factors(service: Service, ada: str) -> None:
    await service.sessions.issue(ada, method="test")
    assert service.pool is not None
    await service.pool.execute(
        "insert into profiles.passkeys (id, user_id, credential_id, public_key, sign_count, aaguid, name,"
        " backup_eligible, backed_up) values (gen_random_uuid(), $1::text::uuid, $2, '', 0,"
        " gen_random_uuid(), 'Phone', false, false)",
        ada,
        b"0" * 16,
    )
    await started(service, ada)
    await wait_out(service)
    other = await challenge_of(service)
    pair = await service.recovery.complete(ada, await challenge_of(service))
    (live,) = await service.sessions.list_for_user(ada)
    assert live.id == pair.session_id
    assert await service.passkeys.list_for_user(ada) == []
    with pytest.raises(errors.InvalidChallenge):
        await service.recovery.complete(ada, other)
    ended = await events(service, "session_revoked")
    assert {event["reason"] for event in ended} == {"recovered"}


async def test_a_sign_in_by_passkey_keeps_the_passkeys_which_may_be_its_only_way_in(make_service) -> None:
    service = await make_service(
        **passkeys.SETTINGS, recovery_delay=DELAY, passkey_counts_as_two_factors=False
    )
    user_id, _, _ = await with_app(service, EMAIL)
    authenticator = passkeys.Authenticator()
    await passkeys.add_passkey(service, user_id, authenticator)

    async def sign_in() -> TokenPair:
        begun = await service.passkey_logins.begin_login()
        return await service.passkey_logins.finish_login(authenticator.get(begun))

    for step in (service.recovery.start, service.recovery.complete):
        with pytest.raises(errors.TwoFactorRequired) as required:
            await sign_in()
        await step(user_id, str(required.value.metadata["challenge"]))
        await wait_out(service)
    assert (await sign_in()).user_id == user_id


async def test_a_sign_in_by_a_provider_stays_as_fresh_as_it_was_there(service: Service, ada: str) -> None:
    an_hour_ago = time.time() - 3600

    async def challenge() -> str:
        user = await service.passwords.prove(EMAIL, PASSWORD)
        with pytest.raises(errors.TwoFactorRequired) as required:
            await service.logins.finish(
                dataclasses.replace(user, authenticated_at=an_hour_ago), method="oidc_login", amr=()
            )
        return str(required.value.metadata["challenge"])

    await service.recovery.start(ada, await challenge())
    await wait_out(service)
    pair = await service.recovery.complete(ada, await challenge())
    session = await service.sessions.authenticate(ada, pair.session_id)
    assert session.auth_age >= 3600


async def test_the_challenge_that_started_it_still_takes_a_backup_code(
    service: Service, mailbox: Mailbox
) -> None:
    user_id, backup = await with_email_factor(service, mailbox, password=PASSWORD)
    challenge = await challenge_of(service)
    await service.recovery.start(user_id, challenge)
    assert await service.logins.complete_two_factor(user_id, challenge, backup[0], is_backup=True)


async def test_a_message_that_signs_in_starts_and_completes_it_like_a_password(
    make_service, mailbox: Mailbox
) -> None:
    service = await make_service(recovery_delay=DELAY, passwordless="code", code_cooldown=0.0)
    user_id, _, _ = await with_app(service, EMAIL)

    async def challenge() -> str:
        flow = await service.passwordless.start(EMAIL)
        await finish_background(service)
        code = next(one.code for one in reversed(mailbox.to(EMAIL)) if one.code)
        with pytest.raises(errors.TwoFactorRequired) as required:
            await service.passwordless.confirm_code(flow.flow_id, code)
        return str(required.value.metadata["challenge"])

    await service.recovery.start(user_id, await challenge())
    (event,) = await events(service, "recovery_requested")
    assert event["method"] == "passwordless_login"
    await wait_out(service)
    assert (await service.recovery.complete(user_id, await challenge())).user_id == user_id


@pytest.mark.parametrize("proved", [False, True])
async def test_a_message_of_which_the_factor_is_dropped_is_a_first_proof_of_the_address(
    make_service, mailbox: Mailbox, *, proved: bool
) -> None:
    service = await make_service(recovery_delay=DELAY, passwordless="code", code_cooldown=0.0)
    # Another person may have made the account: an operator's word on the address is no proof by its owner.
    user = await service.users.add(email=EMAIL, username="ada_user", verified=proved)
    await service.users.set_email_verified(user.id, True)
    await service.passwords.store_hash(user.id, await service.passwords.hash(PASSWORD))
    await add_app(service, user.id)

    async def challenge() -> str:
        flow = await service.passwordless.start(EMAIL)
        await finish_background(service)
        with pytest.raises(errors.TwoFactorRequired) as required:
            await service.passwordless.confirm_code(flow.flow_id, mailbox.last(EMAIL).code)
        return str(required.value.metadata["challenge"])

    await service.recovery.start(user.id, await challenge())
    await wait_out(service)
    pair = await service.recovery.complete(user.id, await challenge())
    assert [session.id for session in await service.sessions.list_for_user(user.id)] == [pair.session_id]
    if proved:
        assert await service.logins.with_password(EMAIL, PASSWORD)
    else:
        with pytest.raises(errors.InvalidCredentials):
            await service.logins.with_password(EMAIL, PASSWORD)


async def test_a_policy_that_requires_a_factor_has_the_user_add_one(make_service, mailbox: Mailbox) -> None:
    service = await make_service(recovery_delay=DELAY, two_factor_policy="required")
    user_id, _, _ = await with_app(service, EMAIL, password=PASSWORD)
    await started(service, user_id)
    await wait_out(service)
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await service.recovery.complete(user_id, await challenge_of(service))
    token = str(required.value.metadata["enrollment_token"])
    assert (await service.second_factors.authenticate_enrollment(token)).id == user_id
    assert await service.sessions.list_for_user(user_id) == []


# --- the wait -----------------------------------------------------------------------------------------------


async def test_nothing_completes_before_the_wait_is_over_or_after_the_window(
    service: Service, ada: str
) -> None:
    challenge = await challenge_of(service)
    with pytest.raises(errors.RecoveryNotFound):
        await service.recovery.complete(ada, challenge)
    await service.recovery.start(ada, challenge)
    await finish_background(service)
    await let_pass(service, DELAY - 60)
    await service.recovery.remind()
    with pytest.raises(errors.RecoveryNotReady) as refused:
        await service.recovery.complete(ada, challenge)
    assert refused.value.metadata["completes_at"]
    await let_pass(service, 7 * DAY + 60)
    with pytest.raises(errors.RecoveryNotFound):
        await service.recovery.complete(ada, challenge)
    # A refusal uses no challenge up.
    assert await service.two_factor.verify_challenge(ada, challenge)


async def test_a_wait_without_its_notices_completes_nothing(
    service: Service, mailbox: Mailbox, ada: str
) -> None:
    await started(service, ada)
    await told(service, mailbox)
    await let_pass(service, DELAY)
    challenge = await challenge_of(service)
    with pytest.raises(errors.RecoveryNotReady):
        await service.recovery.complete(ada, challenge)
    await service.recovery.remind()
    assert await told(service, mailbox) == everybody("recovery_waiting")
    assert await service.recovery.complete(ada, challenge)


async def test_maintenance_sends_the_first_notice_if_the_process_ended_before(
    service: Service, mailbox: Mailbox, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ending:
        ending.setattr(service.rt.background, "start", lambda work, name: None)
        await started(service, ada)
    assert await told(service, mailbox) == []
    assert await service.recovery.remind() == 1
    assert await told(service, mailbox) == everybody("recovery_requested")


async def test_the_clock_of_the_process_shortens_no_wait(service: Service, ada: str, clock) -> None:
    await started(service, ada)
    clock.advance(DELAY + 60)
    with pytest.raises(errors.RecoveryNotReady):
        await service.recovery.complete(ada, await challenge_of(service))


async def test_another_start_neither_shortens_nor_prolongs_the_wait(
    service: Service, mailbox: Mailbox, ada: str
) -> None:
    first = await service.recovery.start(ada, await challenge_of(service))
    await told(service, mailbox)
    again = await service.recovery.start(ada, await challenge_of(service), client=THIEF)
    assert again == first
    assert await told(service, mailbox) == []


async def test_parallel_starts_open_one_recovery_and_send_its_notices_once(
    service: Service, mailbox: Mailbox, ada: str
) -> None:
    challenges = [await challenge_of(service) for _ in range(10)]
    mailbox.messages.clear()
    found = await asyncio.gather(*(service.recovery.start(ada, challenge) for challenge in challenges))
    assert len({state.completes_at for state in found}) == 1
    assert await told(service, mailbox) == everybody("recovery_requested")


async def test_no_other_recovery_starts_within_a_day_of_a_start_or_a_cancellation(
    service: Service, ada: str
) -> None:
    await started(service, ada)
    await let_pass(service, 2 * DAY)
    assert await service.recovery.cancel(ada)
    await let_pass(service, DAY - 60)
    with pytest.raises(errors.TooManyRequests) as refused:
        await started(service, ada)
    assert 0 < refused.value.retry_after <= 60
    await service.recovery.remind()
    await let_pass(service, 60)
    await started(service, ada)
    assert await service.recovery.get(ada) is not None


# --- races --------------------------------------------------------------------------------------------------


async def test_of_fifty_parallel_completions_one_succeeds(service: Service, ada: str) -> None:
    await started(service, ada)
    await wait_out(service)
    challenges = [await challenge_of(service) for _ in range(5)]
    found = await asyncio.gather(
        *(service.recovery.complete(ada, challenges[number % 5]) for number in range(50)),
        return_exceptions=True,
    )
    won = [one for one in found if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert {type(one) for one in found} - {type(won[0])} <= {
        errors.InvalidChallenge,
        errors.RecoveryNotFound,
    }
    assert len(await service.sessions.list_for_user(ada)) == 1
    assert len(await events(service, "recovery_completed")) == 1


async def test_a_cancellation_and_a_completion_never_both_succeed(
    make_service, mailbox: Mailbox, rounds
) -> None:
    service = await make_service(recovery_delay=DELAY)
    for number in range(rounds(60)):
        email = f"ada{number}@example.test"
        user_id, _, _ = await with_app(service, email, password=PASSWORD)
        await service.recovery.start(user_id, await challenge_of(service, email))
        await wait_out(service)
        challenge = await challenge_of(service, email)
        cancelled, completed = await asyncio.gather(
            service.recovery.cancel(user_id),
            service.recovery.complete(user_id, challenge),
            return_exceptions=True,
        )
        assert cancelled is isinstance(completed, errors.RecoveryNotFound)
        listed = await service.second_factors.list_for_user(user_id)
        assert listed.enabled is cancelled


# --- what knows of it ---------------------------------------------------------------------------------------


async def test_an_export_an_explanation_and_a_deletion_know_of_it(service: Service, ada: str) -> None:
    assert (await service.users.export(ada))["recovery"] is None
    await started(service, ada)
    exported = (await service.users.export(ada))["recovery"]
    assert exported.keys() == {"started_at", "method", "completes_at", "expires_at", "cancelled_at"}
    explained = await service.admin.explain_user(ada)
    assert "recovery_open" in {finding.code for finding in explained.obstacles}
    assert explained.can_sign_in
    await service.lifecycle.hard_delete(ada)
    assert service.pool is not None
    assert await service.pool.fetchval("select count(*) from profiles.recovery_requests") == 0


async def test_maintenance_sends_the_notices_and_forgets_what_is_over(
    service: Service, mailbox: Mailbox, ada: str
) -> None:
    await started(service, ada)
    await told(service, mailbox)
    await let_pass(service, DAY)
    await service.maintain()
    assert await told(service, mailbox) == everybody("recovery_waiting")
    await let_pass(service, 20 * DAY)
    await service.maintain()
    assert service.pool is not None
    assert await service.pool.fetchval("select count(*) from profiles.recovery_requests") == 0


async def test_without_a_delay_there_is_no_recovery(make_service, mailbox: Mailbox) -> None:
    service = await make_service()
    user_id, _, _ = await with_app(service, EMAIL, password=PASSWORD)
    challenge = await challenge_of(service)
    for method in (service.recovery.start, service.recovery.complete):
        with pytest.raises(errors.RecoveryNotConfigured):
            await method(user_id, challenge)
    assert await service.recovery.remind() == 0


async def test_the_notice_of_a_cancellation_never_names_the_network_of_an_operator(
    service: Service, mailbox: Mailbox
) -> None:
    user_id, *_ = await with_app(service, password=PASSWORD)
    await started(service, user_id)
    await finish_background(service)
    assert await service.recovery.cancel(user_id, actor="operator", client=THIEF)
    await finish_background(service)
    cancelled = mailbox.last(EMAIL)
    assert (cancelled.kind, cancelled.circumstances) == ("recovery_cancelled", None)
