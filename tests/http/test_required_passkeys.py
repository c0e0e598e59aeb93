"""Where a role or an organization requires a second factor, a password beside a passkey changes nothing."""

from __future__ import annotations

import dataclasses

import pytest

from fakes.calls import NEW, PASSWORD, assert_tokens, bearer, log_in, me, refusal
from fakes.factors import EMAIL, app_code, new_user
from fakes.passkeys import SETTINGS, Authenticator, add_passkey


@pytest.fixture
def config(config):
    return dataclasses.replace(
        config, **SETTINGS, two_factor_required_roles=("admin",), org_mode="multi", new_device_notices=False
    )


@pytest.fixture(params=["role", "organization"])
async def ada(request, service) -> tuple[str, Authenticator]:
    """A user with a password and a passkey, and what requires a second factor."""
    user_id, authenticator = await new_user(service, password=PASSWORD), Authenticator()
    await add_passkey(service, user_id, authenticator)
    if request.param == "role":
        await service.roles.assign(user_id, "admin")
    else:
        await service.orgs.create("acme", owner_user_id=user_id)
        await service.orgs.require_two_factor("acme", required=True, actor=user_id)
    return user_id, authenticator


async def by_password(api):
    return assert_tokens(await log_in(api, EMAIL))


async def test_a_password_adds_no_factor_removes_no_passkey_and_changes_no_way_in(api, service, ada):
    tokens = await by_password(api)
    (passkey,) = await service.passkeys.list_for_user(ada[0])
    for method, path, body in (
        ("POST", "/auth/user/2fa/totp/begin", {}),
        ("POST", "/auth/passkeys/register/begin", {}),
        ("DELETE", f"/auth/passkeys/{passkey.id}", {}),
        ("POST", "/auth/user/password", {"current_password": PASSWORD, "new_password": NEW}),
        ("POST", "/auth/user/email/change/request", {"new_email": "eve@example.test", "password": PASSWORD}),
        ("DELETE", "/auth/user", {}),
    ):
        answer = await api.request(method, path, json=body, headers=bearer(tokens))
        assert refusal(answer) == (403, "step_up_required"), path
        assert answer.json()["metadata"]["methods"] == ["passkey"]
    stepped = await api.post("/auth/step-up/password", json={"password": PASSWORD}, headers=bearer(tokens))
    assert stepped.status_code == 200, stepped.text
    answer = await api.post("/auth/user/2fa/totp/begin", headers=bearer(tokens))
    assert refusal(answer) == (403, "step_up_required")


async def test_the_passkey_proved_again_opens_all_of_it(api, service, ada):
    tokens, authenticator = await by_password(api), ada[1]
    begun = await api.post("/auth/step-up/passkey/begin", headers=bearer(tokens))
    proof = {"credential": authenticator.get(begun.json()["options"])}
    stepped = await api.post("/auth/step-up/passkey/finish", json=proof, headers=bearer(tokens))
    begun = await api.post("/auth/user/2fa/totp/begin", headers=bearer(stepped.json()))
    assert begun.status_code == 200, begun.text
    added = await api.post(
        "/auth/user/2fa/totp/confirm",
        json={"code": app_code(begun.json()["secret"], 0)},
        headers=bearer(stepped.json()),
    )
    assert added.status_code == 200, added.text


@pytest.mark.parametrize(
    "settings",
    [{"webauthn_rp_id": None, "webauthn_origins": ()}, {"passkey_counts_as_two_factors": False}],
)
async def test_a_passkey_that_counts_for_no_second_factor_is_not_asked_for(
    make_service, serve, service, ada, settings
):
    other = await make_service(**settings)
    async with serve(other) as api:
        tokens = await by_password(api)
        assert (await api.post("/auth/user/2fa/totp/begin", headers=bearer(tokens))).status_code == 200


async def test_without_such_a_role_or_organization_a_password_is_enough(api, service):
    user_id = await new_user(service, password=PASSWORD)
    await add_passkey(service, user_id, Authenticator())
    tokens = await by_password(api)
    assert (await me(api, tokens))["id"] == user_id
    assert (await api.post("/auth/user/2fa/totp/begin", headers=bearer(tokens))).status_code == 200
