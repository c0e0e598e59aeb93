"""``admin.explain_user`` says what logins really do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from authkit_issuer import ProviderConfig, Service, errors

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


async def test_a_password_that_must_be_replaced_opens_nothing_and_other_ways_stay(service: Service) -> None:
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


async def test_an_unproved_contact_stands_in_the_way_of_the_password(service: Service) -> None:
    user = await ada(service, verified=False)
    assert not await signs_in(service)
    assert await explained(service, user) == (False, ["not_verified"])


async def test_who_registered_before_proofs_were_asked_for_is_not_said_to_lack_one(make_service) -> None:
    service = await make_service(verification_enforced_since=datetime.now(UTC) + timedelta(days=1))
    user = await ada(service, verified=False)
    assert await signs_in(service)
    assert await explained(service, user) == (True, [])


async def test_who_has_no_contact_is_not_asked_for_a_proof(service: Service) -> None:
    user = await ada(service, verified=False, email=None)
    assert await signs_in(service, "ada_l")
    assert await explained(service, user) == (True, [])


async def test_a_lapsed_ban_does_not_stand_in_the_way(service: Service, age) -> None:
    user = await ada(service)
    await service.lifecycle.ban(user, until=datetime.now(UTC) + timedelta(hours=1))
    assert await explained(service, user) == (False, ["banned"])
    await age("users", user, banned_until=7200)
    assert await signs_in(service)
    assert await explained(service, user) == (True, [])
