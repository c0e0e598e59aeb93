"""Passkeys where a second factor is required: they count in sessions that they opened, and nowhere else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.factors import EMAIL, PASSWORD, new_user
from fakes.passkeys import SETTINGS, Authenticator, add_passkey


async def with_passkey(service: Service) -> tuple[str, Authenticator]:
    """Return a user with a password and a passkey, and the authenticator."""
    user_id, authenticator = await new_user(service, password=PASSWORD), Authenticator()
    await add_passkey(service, user_id, authenticator)
    return user_id, authenticator


async def by_passkey(service: Service, authenticator: Authenticator, **options: Any):
    begun = await service.passkey_logins.begin_login()
    return await service.passkey_logins.finish_login(authenticator.get(begun), **options)


async def roles_of(service: Service, access_token: str) -> list[tuple[str, ...]]:
    """Return the roles of a token by its own word, by introspection, and by the session behind it."""
    claims = await service.tokens.verify(access_token)
    introspected = await service.sessions.claims_of(access_token)
    assert introspected is not None
    assert claims.session_id is not None
    session = await service.sessions.authenticate(claims.user_id, claims.session_id)
    return [claims.roles, tuple(introspected["roles"]), tuple(session.roles)]


async def test_a_password_gives_no_role_that_requires_a_second_factor_to_an_account_with_a_passkey(
    make_service,
) -> None:
    service: Service = await make_service(**SETTINGS, two_factor_required_roles=("admin",))
    user_id, authenticator = await with_passkey(service)
    await service.roles.assign(user_id, "admin")
    pair = await service.logins.with_password(EMAIL, PASSWORD)
    assert await roles_of(service, pair.access_token) == [()] * 3
    pair = await service.sessions.exchange(pair.refresh_token)
    assert await roles_of(service, pair.access_token) == [()] * 3
    token = await service.passwords.login(EMAIL, PASSWORD)
    assert (await service.tokens.verify(token.token)).roles == ()
    # These know of no session, and so of no passkey that was used.
    assert (await service.enrichment().enrich(user_id)).roles == ()
    assert (await service.tokens.verify((await service.tokens.issue_access(user_id)).token)).roles == ()

    pair = await by_passkey(service, authenticator)
    assert await roles_of(service, pair.access_token) == [("admin",)] * 3
    pair = await service.sessions.exchange(pair.refresh_token)
    assert await roles_of(service, pair.access_token) == [("admin",)] * 3


async def test_a_step_up_by_passkey_brings_the_role_and_one_by_password_takes_it(make_service) -> None:
    service: Service = await make_service(**SETTINGS, two_factor_required_roles=("admin",))
    user_id, authenticator = await with_passkey(service)
    await service.roles.assign(user_id, "admin")
    pair = await service.logins.with_password(EMAIL, PASSWORD)
    options = await service.passkey_logins.begin_step_up(user_id)
    stepped = await service.passkey_logins.finish_step_up(
        user_id, pair.session_id, authenticator.get(options)
    )
    assert await roles_of(service, stepped.token) == [("admin",)] * 3
    stepped = await service.logins.step_up_password(user_id, pair.session_id, PASSWORD)
    assert await roles_of(service, stepped.token) == [()] * 3


async def test_a_password_gives_no_token_of_an_organization_that_requires_a_second_factor(
    make_service,
) -> None:
    service: Service = await make_service(**SETTINGS, org_mode="multi")
    user_id, authenticator = await with_passkey(service)
    await service.orgs.create("acme", owner_user_id=user_id)
    before = await service.logins.with_password(EMAIL, PASSWORD, org="acme")
    await service.orgs.require_two_factor("acme", required=True, actor=user_id)
    assert await service.sessions.claims_of(before.access_token) is None
    for call in (
        lambda: service.logins.with_password(EMAIL, PASSWORD, org="acme"),
        lambda: service.sessions.exchange(before.refresh_token, org="acme"),
        lambda: service.tokens.issue_org_access(user_id, "", "acme", amr=("pwd",)),
        lambda: service.tokens.issue_org_access(user_id, "", "acme"),
    ):
        with pytest.raises(errors.TwoFactorRequiredByOrg):
            await call()
    pair = await by_passkey(service, authenticator, org="acme")
    assert await service.sessions.claims_of(pair.access_token) is not None
    pair = await service.sessions.exchange(pair.refresh_token, org="acme")
    assert await service.sessions.claims_of(pair.access_token) is not None


async def test_a_stricter_policy_reaches_the_session_of_a_password_beside_a_passkey(make_service) -> None:
    service: Service = await make_service(**SETTINGS)
    _, authenticator = await with_passkey(service)
    password = await service.logins.with_password(EMAIL, PASSWORD)
    passkey = await by_passkey(service, authenticator)
    strict: Service = await make_service(**SETTINGS, two_factor_policy="required")
    with pytest.raises(errors.TwoFactorEnrollmentRequired):
        await strict.sessions.exchange(password.refresh_token)
    assert await strict.sessions.exchange(passkey.refresh_token)


async def test_a_passkey_that_is_one_factor_enrolls_the_second_one_and_is_none_itself(make_service) -> None:
    settings = {**SETTINGS, "passkey_counts_as_two_factors": False}
    open_service: Service = await make_service(**settings, two_factor_required_roles=("admin",))
    user_id, authenticator = await with_passkey(open_service)
    await open_service.roles.assign(user_id, "admin")
    pair = await by_passkey(open_service, authenticator)
    assert await roles_of(open_service, pair.access_token) == [()] * 3
    strict: Service = await make_service(**settings, two_factor_policy="required")
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await by_passkey(strict, authenticator)
    token = str(required.value.metadata["enrollment_token"])
    assert (await strict.second_factors.authenticate_enrollment(token)).id == user_id


async def test_an_enrollment_token_of_a_password_ends_with_a_passkey(make_service) -> None:
    service: Service = await make_service(**SETTINGS, two_factor_policy="required")
    user_id = await new_user(service, password=PASSWORD)
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD)
    token = str(required.value.metadata["enrollment_token"])
    assert await service.second_factors.authenticate_enrollment(token)
    await add_passkey(service, user_id, Authenticator())
    with pytest.raises(errors.SessionEnded):
        await service.second_factors.authenticate_enrollment(token)


async def test_of_parallel_enrollments_one_adds_its_passkey(make_service) -> None:
    service: Service = await make_service(**SETTINGS, two_factor_policy="required")
    user_id, authenticator = await new_user(service, password=PASSWORD), Authenticator()
    begun = [await service.passkeys.begin_registration(user_id) for _ in range(6)]
    made = [authenticator.create(options) for options in begun]
    outcomes = await asyncio.gather(
        *(service.passkeys.finish_registration(user_id, each, enrolling=True) for each in made),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, errors.PasskeyChallengeExpired)]
    assert (len(outcomes), len(refused)) == (6, 5)
    assert len(await service.passkeys.list_for_user(user_id)) == 1


async def test_an_enrollment_adds_no_passkey_beside_one_of_a_session(make_service) -> None:
    service: Service = await make_service(**SETTINGS, two_factor_policy="required")
    user_id, authenticator = await new_user(service, password=PASSWORD), Authenticator()
    enrolling = authenticator.create(await service.passkeys.begin_registration(user_id))
    await add_passkey(service, user_id, authenticator)
    with pytest.raises(errors.PasskeyChallengeExpired):
        await service.passkeys.finish_registration(user_id, enrolling, enrolling=True)


async def test_a_passkey_of_an_enrollment_ends_the_sign_ins_in_progress(make_service) -> None:
    service: Service = await make_service(**SETTINGS, two_factor_policy="required")
    user_id, authenticator = await new_user(service, password=PASSWORD), Authenticator()
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD)
    token = str(required.value.metadata["enrollment_token"])
    response = authenticator.create(await service.passkeys.begin_registration(user_id))
    passkey = await service.passkeys.finish_registration(user_id, response, enrolling=True)
    await service.passkeys.admin_remove(user_id, passkey.id, actor="operator")
    with pytest.raises(errors.SessionEnded):
        await service.second_factors.authenticate_enrollment(token)


async def test_a_copy_that_was_used_does_not_make_the_password_enough(make_service) -> None:
    service: Service = await make_service(**SETTINGS, two_factor_policy="required")
    user_id, authenticator = await new_user(service, password=PASSWORD), Authenticator(counts=True)
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD)
    token = str(required.value.metadata["enrollment_token"])
    passkey = await add_passkey(service, user_id, authenticator)
    await by_passkey(service, authenticator)
    authenticator.credentials[0].count = 0
    with pytest.raises(errors.PasskeySuspended):
        await by_passkey(service, authenticator)
    with pytest.raises(errors.SessionEnded):
        await service.second_factors.authenticate_enrollment(token)
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD)
    assert required.value.metadata == {"methods": ["passkey"]}
    await service.passkeys.admin_remove(user_id, passkey.id, actor="operator")
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD)
    assert "enrollment_token" in required.value.metadata


async def test_a_frozen_passkey_keeps_its_owner_from_nothing(make_service) -> None:
    service: Service = await make_service(**SETTINGS, two_factor_policy="required")
    user_id = await new_user(service, password=PASSWORD)
    await add_passkey(service, user_id, Authenticator())
    await service.pool.execute("update profiles.passkeys set frozen_at = now()")
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD)
    assert "enrollment_token" in required.value.metadata


async def test_a_passkey_of_before_bars_no_user_where_passkeys_are_off(make_service) -> None:
    user_id, _ = await with_passkey(await make_service(**SETTINGS))
    off: Service = await make_service(two_factor_policy="required")
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await off.logins.with_password(EMAIL, PASSWORD)
    token = str(required.value.metadata["enrollment_token"])
    assert (await off.second_factors.authenticate_enrollment(token)).id == user_id


async def test_where_a_second_factor_is_required_the_passkey_that_is_it_is_proved_again(make_service) -> None:
    service: Service = await make_service(**SETTINGS, two_factor_policy="required")
    user_id, authenticator = await with_passkey(service)
    pair = await by_passkey(service, authenticator)
    assert await service.logins.step_up_methods(user_id) == ["passkey"]
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.step_up_password(user_id, pair.session_id, PASSWORD)
    with pytest.raises(errors.TwoFactorMethodUnavailable):
        await service.logins.step_up_send_code(user_id, pair.session_id)
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.step_up_vouched(
            user_id, pair.session_id, auth_epoch=0, method="solana_login", amr=("swk",)
        )
    options = await service.passkey_logins.begin_step_up(user_id)
    assert await service.passkey_logins.finish_step_up(user_id, pair.session_id, authenticator.get(options))
    assert await service.sessions.exchange(pair.refresh_token)
