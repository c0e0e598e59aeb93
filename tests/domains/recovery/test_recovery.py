"""A user who lost every second factor gets back in after a wait; a thief of the password does not unseen."""

from __future__ import annotations

import asyncio
import json

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.factors import EMAIL, PASSWORD, app_code, events, let_codes_be_new, with_app, with_email_factor
from fakes.mail import Mailbox
from fakes.recovery import DAY, DELAY, challenge_of, let_pass, wait_out

NUMBER, FACTOR_NUMBER = "+15550100400", "+15550100500"
THIEF = Client(ip="198.51.100.7", user_agent="thief")


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(recovery_delay=DELAY)


@pytest.fixture
async def ada(service: Service, mailbox: Mailbox) -> str:
    """A user with an app, a verified number, and another number that gets codes."""
    user_id, _, _ = await with_app(service, EMAIL, password=PASSWORD)
    assert service.pool is not None
    await service.pool.execute(
        "update profiles.users set phone_number = $2, phone_verified = true where id = $1::text::uuid",
        user_id,
        NUMBER,
    )
    await service.pool.execute(
        "insert into profiles.second_factors (user_id, kind, phone_number)"
        " values ($1::text::uuid, 'sms', $2)",
        user_id,
        FACTOR_NUMBER,
    )
    await service.rt.background.drain(timeout=5)
    mailbox.messages.clear()
    return user_id


async def told(service: Service, mailbox: Mailbox) -> list[tuple[str, str]]:
    """Return to whom which notices of a recovery went since the last call, sorted."""
    await service.rt.background.drain(timeout=5)
    kinds = ("recovery_", "account_recovered")
    found = [(one.to, one.kind) for one in mailbox.messages if one.kind.startswith(kinds)]
    mailbox.messages.clear()
    return sorted(found)


def everybody(kind: str) -> list[tuple[str, str]]:
    return sorted((to, kind) for to in (EMAIL, NUMBER, FACTOR_NUMBER))


async def started(service: Service, user_id: str) -> None:
    await service.recovery.start(user_id, await challenge_of(service))
    await service.rt.background.drain(timeout=5)


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


async def test_the_challenge_that_started_it_still_takes_a_backup_code(
    service: Service, mailbox: Mailbox
) -> None:
    user_id, backup = await with_email_factor(service, mailbox, password=PASSWORD)
    challenge = await challenge_of(service)
    await service.recovery.start(user_id, challenge)
    assert await service.logins.complete_two_factor(user_id, challenge, backup[0], is_backup=True)


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
    await service.rt.background.drain(timeout=5)
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


# --- the victim of a stolen password ------------------------------------------------------------------------


async def test_every_contact_gets_a_notice_at_once_and_every_day(
    service: Service, mailbox: Mailbox, ada: str
) -> None:
    await service.recovery.start(ada, await challenge_of(service), client=THIEF)
    await service.rt.background.drain(timeout=5)
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
    await service.rt.background.drain(timeout=5)
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
    await service.rt.background.drain(timeout=5)
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
