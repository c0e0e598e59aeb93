"""``admin.explain_user`` says what logins really do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from authkit_issuer import Client, ProviderConfig, Service, errors

EMAIL, PASSWORD = "ada@example.test", "correct horse battery"


async def ada(service: Service, *, verified: bool = True, password: bool = True, **contacts) -> str:
    given = {"email": EMAIL} | contacts
    user = (await service.users.add(username="ada_l", verified=verified, **given)).id
    if password:
        await service.passwords.store_hash(user, await service.passwords.hash(PASSWORD))
    return user


async def explained(service: Service, user: str) -> tuple[bool, list[str]]:
    answer = await service.admin.explain_user(user)
    return answer.can_sign_in, [finding.code for finding in answer.obstacles]


async def signs_in(service: Service, identifier: str = EMAIL) -> bool:
    try:
        await service.logins.with_password(identifier, PASSWORD)
    except errors.Unauthenticated:
        return False
    return True


@pytest.mark.parametrize("offered", [True, False])
async def test_only_a_login_of_a_provider_that_is_offered_is_a_way_in(make_service, *, offered: bool) -> None:
    config = ProviderConfig(client_id="x", issuer="https://p.example")
    service = await make_service(providers={"p": config} if offered else {})
    user = await ada(service, password=False)
    await service.providers.link_by_issuer(user, "https://p.example", "p", "subject")
    assert await explained(service, user) == ((True, []) if offered else (False, ["no_way_to_sign_in"]))


async def test_a_password_that_must_be_replaced_opens_nothing_and_other_ways_stay(make_service) -> None:
    service = await make_service(solana_domains=("app.example.test",))
    user = await ada(service)
    await service.pool.execute("update profiles.user_passwords set must_change = true")
    assert not await signs_in(service)
    assert await explained(service, user) == (False, ["password_reset_required"])
    await service.providers.link_by_issuer(user, "solana:mainnet", "solana", "address")
    assert await explained(service, user) == (True, ["password_reset_required"])


async def test_an_imported_account_has_a_password_to_replace(service: Service) -> None:
    user = await ada(service)
    await service.pool.execute("update profiles.user_passwords set hash_algo = 'legacy-reset-required'")
    assert await explained(service, user) == (False, ["password_reset_required"])


async def test_an_unverified_contact_refuses_the_password(service: Service) -> None:
    user = await ada(service, verified=False)
    assert not await signs_in(service)
    assert await explained(service, user) == (False, ["not_verified"])


async def test_an_account_from_before_required_verification_is_not_reported_unverified(
    make_service,
) -> None:
    service = await make_service(verification_enforced_since=datetime.now(UTC) + timedelta(days=1))
    user = await ada(service, verified=False)
    assert await signs_in(service)
    assert await explained(service, user) == (True, [])


async def test_an_account_without_a_contact_needs_no_verification(service: Service) -> None:
    user = await ada(service, verified=False, email=None)
    assert await signs_in(service, "ada_l")
    assert await explained(service, user) == (True, [])


async def test_a_lapsed_ban_is_not_an_obstacle(service: Service, age) -> None:
    user = await ada(service)
    await service.lifecycle.ban(user, until=datetime.now(UTC) + timedelta(hours=1))
    assert await explained(service, user) == (False, ["banned"])
    await age("users", user, banned_until=7200)
    assert await signs_in(service)
    assert await explained(service, user) == (True, [])


STATES = {
    "nothing": "select",
    "deleted": "update profiles.users set deleted_at = now()",
    "banned": "update profiles.users set banned_at = now()",
    "banned and deleted": "update profiles.users set banned_at = now(), deleted_at = now()",
    "a lapsed ban": "update profiles.users set banned_at = now(), banned_until = now() - interval '1 second'",
    "a password to replace": "update profiles.user_passwords set must_change = true",
    "an imported password": "update profiles.user_passwords set hash_algo = 'legacy-reset-required'",
    "the email address unverified": "update profiles.users set email_verified = false",
    "the phone number unverified": "update profiles.users set phone_verified = false",
    "no contact verified": "update profiles.users set email_verified = false, phone_verified = false",
    "one contact, unverified": """
        update profiles.users set email = null, email_verified = false, phone_verified = false
    """,
    "no contact": """
        update profiles.users
        set email = null, email_verified = false, phone_number = null, phone_verified = false
    """,
    "a ban and no contact verified": """
        update profiles.users set banned_at = now(), email_verified = false, phone_verified = false
    """,
}
CODES = {
    errors.UserBanned: {"banned"},
    errors.UserDeleted: {"soft_deleted", "banned"},
    errors.PasswordResetRequired: {"password_reset_required"},
    errors.EmailNotVerified: {"not_verified", "identifier_not_verified: email address"},
    errors.PhoneNotVerified: {"not_verified", "identifier_not_verified: phone number"},
}
"""The findings that explain each refusal of the right password."""
IDENTIFIERS = {"email": EMAIL, "phone_number": "+4915112345678", "username": "ada_l"}


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("state", STATES)
async def test_a_login_and_the_explanation_agree_about_every_state_of_an_account(
    make_service, state: str, *, required: bool
) -> None:
    service = await make_service(verification_required=required)
    user = await ada(service, phone=IDENTIFIERS["phone_number"])
    await service.pool.execute(STATES[state])
    row = await service.pool.fetchrow("select email, phone_number, username from profiles.users")
    answer = await service.admin.explain_user(user)
    found = {
        finding.code + (f": {name}" if finding.code == "identifier_not_verified" else "")
        for finding in answer.obstacles
        for name in ("email address", "phone number")
        if finding.code != "identifier_not_verified" or name in finding.sentence
    }
    signed_in, refusals = False, []
    for column, identifier in IDENTIFIERS.items():
        if row[column] is None:
            continue
        try:
            await service.logins.with_password(identifier, PASSWORD)
        except errors.Unauthenticated as refusal:
            refusals.append(type(refusal))
        else:
            signed_in = True
    for refusal in refusals:
        assert found & CODES[refusal], refusal
    # A login reports the first obstacle alone: of a banned account, not that its contacts are unverified.
    reported = found - {"not_verified"} if {errors.UserBanned, errors.UserDeleted} & {*refusals} else found
    assert reported <= set().union(*(CODES[refusal] for refusal in refusals))
    assert answer.can_sign_in == signed_in


async def guess(service: Service, identifier: str, times: int, clock) -> None:
    """Try wrong passwords, each as soon as it is looked at."""
    for _ in range(times):
        try:
            await service.passwords.prove(identifier, "wrong horse battery")
        except errors.TooManyRequests as refusal:
            clock.advance(refusal.retry_after)
            with pytest.raises(errors.InvalidCredentials):
                await service.passwords.prove(identifier, "wrong horse battery")
        except errors.InvalidCredentials:
            pass


async def waiting(service: Service, user: str) -> list[str]:
    answer = await service.admin.explain_user(user)
    assert answer.can_sign_in
    return [found.sentence.split("; ")[0] for found in answer.obstacles if found.code == "failed_logins"]


async def test_an_identifier_that_waits_after_wrong_passwords_is_named_until_it_is_over(
    service: Service, clock
) -> None:
    user = await ada(service, phone="+4915112345678")
    await guess(service, EMAIL.upper(), 4, clock)
    assert await waiting(service, user) == []
    await guess(service, EMAIL, 3, clock)
    await guess(service, "+4915112345678", 5, clock)
    by_phone = "Passwords are not checked for another 1 s with this phone number"
    account = "For 900 s at most even the right password is refused"
    by_mail = "Passwords are not checked for another 4 s with this email address"
    assert await waiting(service, user) == [by_mail, by_phone, account]
    clock.advance(3.5)
    assert await waiting(service, user) == [by_mail.replace(" 4 s", " 1 s"), account]
    clock.advance(900)
    assert await waiting(service, user) == []
    assert await signs_in(service)


async def test_an_account_refuses_the_right_password_exactly_when_that_is_said(
    service: Service, clock
) -> None:
    user = await ada(service, phone="+4915112345678")
    for identifier, times in ((EMAIL, 4), ("ada_l", 4), ("+4915112345678", 1)):
        await guess(service, identifier, times, clock)
    for _ in range(3):
        assert await waiting(service, user) == []
    await guess(service, "+4915112345678", 1, clock)
    assert await waiting(service, user) == ["For 900 s at most even the right password is refused"]
    assert not await signs_in(service)


async def test_asking_counts_no_try(service: Service, clock) -> None:
    user = await ada(service)
    await guess(service, EMAIL, 9, clock)
    clock.advance(60)
    for _ in range(20):
        await service.admin.explain_user(user)
    assert await signs_in(service)


async def test_guesses_from_elsewhere_do_not_keep_known_devices_out_as_it_says(
    service: Service, clock
) -> None:
    user = await ada(service)
    pair = await service.logins.with_password(EMAIL, PASSWORD)
    await guess(service, EMAIL, 10, clock)
    found = (await service.admin.explain_user(user)).obstacles
    assert [finding.code for finding in found] == ["failed_logins"] * 2
    assert all(finding.sentence.endswith("; known devices are let in.") for finding in found)
    here = Client(device=pair.device)
    assert (await service.logins.with_password(EMAIL, PASSWORD, client=here)).user_id == user


async def test_counters_that_cannot_be_read_are_not_said_to_be_empty(make_service, own_redis) -> None:
    service = await make_service(redis_url=own_redis.url)
    user = await ada(service)
    assert await explained(service, user) == (True, [])
    own_redis.stop()
    assert await explained(service, user) == (True, ["failed_logins_unknown"])


async def test_the_counters_of_a_deleted_account_are_not_read(make_service, own_redis) -> None:
    service = await make_service(redis_url=own_redis.url)
    user = await ada(service)
    await service.lifecycle.hard_delete(user)
    own_redis.stop()
    assert await explained(service, user) == (False, ["deleted_for_good"])
