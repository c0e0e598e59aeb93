"""Authenticator apps: enrollment, sign-in, tries, and what the database holds."""

from __future__ import annotations

import base64
import dataclasses
import os
import re

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.factors.totp_codes import MAX_MISSES
from authkit_issuer.keys import StaticKeys
from authkit_issuer.security import sealed_secret
from authkit_issuer.service import Service
from fakes.factors import (
    EMAIL,
    PASSWORD,
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
from fakes.work_counter import WorkCounter

FACTORS = "select id::text, user_id::text, secret, secret_key_id, tries from profiles.second_factors"


async def begin(service: Service) -> dict[str, object]:
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD)
    return required.value.metadata


async def sign_in(service: Service, user_id: str, code: str):
    return await service.logins.complete_two_factor(user_id, str((await begin(service))["challenge"]), code)


async def test_an_app_is_added_by_a_code_of_it_and_signs_in_without_a_message(
    service: Service, mailbox: Mailbox
) -> None:
    user_id = await new_user(service, password=PASSWORD)
    begun = await service.totp.begin(user_id)
    assert len(base64.b32decode(begun.secret)) == 20
    assert begun.secret in begun.otpauth_uri
    assert re.match(r"<svg xmlns=", begun.qr_svg)
    assert "script" not in begun.qr_svg
    assert await service.pool.fetchval("select count(*) from profiles.second_factors") == 0
    assert await service.logins.with_password(EMAIL, PASSWORD)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.totp.complete(user_id, "no code")
    added = await service.totp.complete(user_id, app_code(begun.secret, 0), name=" My  phone ")
    assert added.backup_codes is not None
    assert len(added.backup_codes) == 10
    settings = await service.two_factor.get_settings(user_id)
    assert settings is not None
    assert (settings.enabled, settings.method, settings.phone_number) == (True, "totp", None)
    await finish_background(service)
    assert mailbox.last(EMAIL).kind == "two_factor_enabled"
    sent = len(mailbox.messages)
    asked = await begin(service)
    assert (asked["method"], asked["destination"], asked["code_sent"]) == ("totp", "", False)
    assert asked["methods"] == [{"id": added.id, "kind": "totp", "hint": "My phone"}]
    pair = await service.logins.complete_two_factor(user_id, str(asked["challenge"]), app_code(begun.secret))
    assert len(mailbox.messages) == sent
    (session,) = [one for one in await service.sessions.list_for_user(user_id) if one.id == pair.session_id]
    assert session
    (_, event) = await events(service, "session_created")
    assert event["method"] == "password_login_2fa"


async def test_a_code_signs_in_once_and_an_older_one_never(service: Service) -> None:
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    # The code of the enrollment is used.
    with pytest.raises(errors.InvalidOrExpiredCode):
        await sign_in(service, user_id, app_code(secret, 0))
    asked = await begin(service)
    code = app_code(secret)
    assert await service.logins.complete_two_factor(user_id, str(asked["challenge"]), code)
    with pytest.raises(errors.InvalidChallenge):
        await service.logins.complete_two_factor(user_id, str(asked["challenge"]), code)
    again = await begin(service)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.complete_two_factor(user_id, str(again["challenge"]), code)
    # The challenge is still good: the next code of the app answers it.
    await let_codes_be_new(service)
    assert await service.logins.complete_two_factor(user_id, str(again["challenge"]), code)


@pytest.mark.parametrize("ahead", [-3, 3])
async def test_a_code_of_another_time_is_refused(service: Service, ahead: int) -> None:
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    await let_codes_be_new(service)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await sign_in(service, user_id, app_code(secret, ahead))


async def test_the_clock_is_the_databases(service: Service, clock) -> None:
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    clock.advance(5 * 86_400)
    assert await sign_in(service, user_id, app_code(secret))


async def test_ten_wrong_codes_in_ten_minutes_over_all_challenges_are_the_end(
    service: Service, clock
) -> None:
    user_id, secret, backup = await with_app(service, password=PASSWORD)
    first = str((await begin(service))["challenge"])
    for _ in range(5):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.logins.complete_two_factor(user_id, first, "000000x")
    with pytest.raises(errors.InvalidChallenge):
        await service.logins.complete_two_factor(user_id, first, app_code(secret))
    for _ in range(5):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await sign_in(service, user_id, "000000x")
    last = str((await begin(service))["challenge"])
    with pytest.raises(errors.TooManyRequests):
        await service.logins.complete_two_factor(user_id, last, app_code(secret))
    assert await service.logins.complete_two_factor(user_id, last, backup[0], is_backup=True)
    assert [event["data"] for event in await events(service, "codes_guessed")] == ['{"tries": 10}']


async def test_after_a_hundred_wrong_codes_in_a_row_an_app_waits_for_another_proof(service: Service) -> None:
    user_id, secret, backup = await with_app(service, password=PASSWORD)
    await service.pool.execute("update profiles.second_factors set tries = $1", MAX_MISSES)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await sign_in(service, user_id, app_code(secret))
    challenge = str((await begin(service))["challenge"])
    await service.logins.complete_two_factor(user_id, challenge, backup[0], is_backup=True)
    assert await sign_in(service, user_id, app_code(secret))


@pytest.mark.parametrize("at", ["sign-in", "step-up"])
async def test_a_code_that_was_sent_lets_an_app_take_codes_again(service: Service, mailbox, at: str) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    await add_app(service, user_id)
    asked = await begin(service)
    challenge, code = str(asked["challenge"]), mailbox.last(EMAIL).code
    if at == "step-up":
        pair = await service.logins.complete_two_factor(user_id, challenge, code)
        await service.logins.step_up_send_code(user_id, pair.session_id)
        code = mailbox.last(EMAIL).code
    await service.pool.execute(
        "update profiles.second_factors set tries = $1 where kind = 'totp'", MAX_MISSES
    )
    if at == "step-up":
        await service.logins.step_up_two_factor(user_id, pair.session_id, code)
    else:
        await service.logins.complete_two_factor(user_id, challenge, code)
    assert await service.pool.fetchval("select max(tries) from profiles.second_factors") == 0


async def test_a_right_code_begins_the_count_again(service: Service) -> None:
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(errors.InvalidOrExpiredCode):
                await sign_in(service, user_id, "000000x")
        await let_codes_be_new(service)
        assert await sign_in(service, user_id, app_code(secret))
    assert (await service.pool.fetchrow(FACTORS))["tries"] == 0


async def test_a_dump_of_the_database_yields_no_code(service: Service, key_source) -> None:
    user_id, secret, _ = await with_app(service)
    row = await service.pool.fetchrow(FACTORS)
    plain = base64.b32decode(secret)
    assert plain not in row["secret"]
    assert secret.encode() not in row["secret"]
    bound = {"factor_id": row["id"], "user_id": user_id}
    keys = key_source.current()
    assert sealed_secret.unseal(keys, row["secret_key_id"], row["secret"], **bound) == plain
    # Neither in another row nor under another key.
    others = dataclasses.replace(keys, sealing_keys={row["secret_key_id"]: os.urandom(32)})
    assert sealed_secret.unseal(others, row["secret_key_id"], row["secret"], **bound) is None
    for moved in (bound | {"factor_id": user_id}, bound | {"user_id": row["id"]}):
        assert sealed_secret.unseal(keys, row["secret_key_id"], row["secret"], **moved) is None
    shown = repr(await service.second_factors.list_for_user(user_id)) + repr(
        await service.users.export(user_id)
    )
    assert row["secret"].hex() not in shown
    assert "secret" not in shown


async def test_the_store_holds_no_secret_that_is_not_sealed(service: Service) -> None:
    user_id = await new_user(service, password=PASSWORD)
    begun = await service.totp.begin(user_id)
    stored = repr(service.rt.ephemeral._entries)  # type: ignore[attr-defined]
    plain = base64.b32decode(begun.secret)
    assert begun.secret not in stored
    assert plain.hex() not in stored
    assert begun.secret not in repr(begun)


async def test_secrets_are_sealed_anew_under_a_newer_key(service: Service, make_service, key_source) -> None:
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    await add_app(service, user_id)
    keys = key_source.current()
    both = dataclasses.replace(keys, sealing_keys={**keys.sealing_keys, 2: os.urandom(32)})
    later: Service = await make_service(keys=StaticKeys(both))
    assert await sign_in(later, user_id, app_code(secret))
    assert await later.totp.reseal() == 2
    assert await later.totp.reseal() == 0
    assert {row["secret_key_id"] for row in await service.pool.fetch(FACTORS)} == {2}
    newest = dataclasses.replace(keys, sealing_keys={2: both.sealing_keys[2]})
    after: Service = await make_service(keys=StaticKeys(newest))
    await let_codes_be_new(service)
    assert await sign_in(after, user_id, app_code(secret))


async def test_without_its_key_an_app_is_passed_over_and_never_wrong(
    service: Service, mailbox: Mailbox, make_service, key_source
) -> None:
    user_id, secret, backup = await with_app(service, password=PASSWORD)
    other = dataclasses.replace(key_source.current(), sealing_keys={7: os.urandom(32)})
    later: Service = await make_service(keys=StaticKeys(other))
    with pytest.raises(errors.TwoFactorMethodUnavailable):
        await sign_in(later, user_id, app_code(secret))
    none = dataclasses.replace(key_source.current(), sealing_keys={})
    without: Service = await make_service(keys=StaticKeys(none))
    assert not without.totp.available
    with pytest.raises(errors.TwoFactorMethodUnavailable):
        await without.totp.begin(user_id)
    with pytest.raises(errors.TwoFactorMethodUnavailable) as refusal:
        await without.logins.with_password(EMAIL, PASSWORD)
    challenge = str(refusal.value.metadata["challenge"])
    assert await without.logins.complete_two_factor(user_id, challenge, backup[0], is_backup=True)


async def test_a_login_with_an_app_runs_two_statements_more(service: Service, monkeypatch) -> None:
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    await new_user(service, "eve@example.test", password=PASSWORD)
    counter = WorkCounter(service, monkeypatch)
    async with counter.foreground() as plain:
        await service.logins.with_password("eve@example.test", PASSWORD)
    await counter.finish()
    async with counter.foreground() as asked:
        challenge = str((await begin(service))["challenge"])
    async with counter.foreground() as finished:
        await service.logins.complete_two_factor(user_id, challenge, app_code(secret))
    await counter.finish()
    more = len(asked.queries) + len(finished.queries) - len(plain.queries)
    assert more <= 2, (plain, asked, finished)


async def test_an_enrollment_ends_with_its_time_with_another_one_and_with_the_epoch(
    service: Service, clock
) -> None:
    user_id = await new_user(service)
    first = await service.totp.begin(user_id)
    second = await service.totp.begin(user_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.totp.complete(user_id, app_code(first.secret, 0))
    await service.sessions.revoke_all(user_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.totp.complete(user_id, app_code(second.secret, 0))
    third = await service.totp.begin(user_id)
    clock.advance(601)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.totp.complete(user_id, app_code(third.secret, 0))
    fourth = await service.totp.begin(user_id)
    for _ in range(5):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.totp.complete(user_id, "000000x")
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.totp.complete(user_id, app_code(fourth.secret, 0))


async def test_a_user_has_five_apps_at_most(service: Service) -> None:
    user_id, _, _ = await with_app(service)
    for _ in range(4):
        await add_app(service, user_id)
    with pytest.raises(errors.TooManySecondFactors):
        await add_app(service, user_id)


@pytest.mark.parametrize("name", ["x" * 61, "a\nb\x00", "\u202e" * 2])
async def test_a_name_is_short_and_printable(service: Service, name: str) -> None:
    user_id = await new_user(service)
    begun = await service.totp.begin(user_id)
    with pytest.raises(errors.InvalidFactorName):
        await service.totp.complete(user_id, app_code(begun.secret, 0), name=name)


async def test_the_session_is_proved_again_by_an_app(service: Service) -> None:
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    pair = await sign_in(service, user_id, app_code(secret))
    asked = await service.logins.step_up_send_code(user_id, pair.session_id)
    assert (asked.kind, asked.masked_destination) == ("totp", "")
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.step_up_two_factor(user_id, pair.session_id, app_code(secret))
    await let_codes_be_new(service)
    assert await service.logins.step_up_two_factor(user_id, pair.session_id, app_code(secret))


async def test_a_host_that_walks_the_steps_itself_accepts_an_app(service: Service) -> None:
    user_id, secret, _ = await with_app(service)
    challenge = await service.two_factor.create_challenge(user_id)
    with pytest.raises(errors.TwoFactorMethodUnavailable):
        await service.two_factor.require_for_login(user_id)
    await service.two_factor.complete_login(user_id, challenge, app_code(secret))
    with pytest.raises(errors.InvalidChallenge):
        await service.two_factor.complete_login(user_id, challenge, app_code(secret))
