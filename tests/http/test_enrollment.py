"""Enrollment tokens over HTTP: what they open, and the policies of services and organizations."""

from __future__ import annotations

import pytest

from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.operations import Auth
from fakes.calls import assert_tokens, bearer, log_in, refusal
from fakes.factors import PASSWORD, app_code, new_user
from fakes.passkeys import SETTINGS as PASSKEYS
from fakes.passkeys import Authenticator, add_passkey

EMAIL = "ada_l@example.test"


@pytest.fixture
async def strict(make_service):
    return await make_service(two_factor_policy="required")


async def enrollment(api) -> dict[str, str]:
    answer = await log_in(api, EMAIL)
    assert refusal(answer) == (401, "two_factor_enrollment_required")
    assert answer.headers["cache-control"] == "no-store"
    return {"authorization": f"Bearer {answer.json()['metadata']['enrollment_token']}"}


@pytest.fixture
async def enrolling(make_service, serve, sign_up, strict):
    """The API of a strict service, where a user without a second factor is registered."""
    async with serve(await make_service()) as open_api:
        await sign_up(open_api)
    async with serve(strict) as api:
        yield api


async def test_a_user_adds_an_app_and_signs_in_with_it(enrolling):
    api = enrolling
    token = await enrollment(api)
    begun = await api.post("/auth/user/2fa/totp/begin", headers=token)
    assert begun.status_code == 200, begun.text
    body = {"code": app_code(begun.json()["secret"], 0)}
    added = await api.post("/auth/user/2fa/totp/confirm", json=body, headers=token)
    assert len(added.json()["backup_codes"]) == 10
    again = await api.post("/auth/user/2fa/totp/begin", headers=token)
    assert again.status_code == 401
    asked = (await log_in(api, EMAIL)).json()["metadata"]
    answer = {"user_id": asked["user_id"], "challenge": asked["challenge"]}
    answer["code"] = app_code(begun.json()["secret"])
    assert_tokens(await api.post("/auth/2fa/verify", json=answer))


async def test_a_user_adds_the_email_address(enrolling, mailbox):
    api = enrolling
    token = await enrollment(api)
    assert (await api.post("/auth/user/2fa/start-email", headers=token)).status_code == 200
    body = {"kind": "email", "code": mailbox.last(EMAIL).code}
    added = await api.post("/auth/user/2fa/factors", json=body, headers=token)
    assert added.status_code == 200, added.text
    assert (await log_in(api, EMAIL)).json()["error"] == "two_factor_required"


async def test_the_token_opens_what_adds_a_factor_and_nothing_else(enrolling):
    api = enrolling
    token = await enrollment(api)
    tried = 0
    for operation in OPERATIONS:
        if not operation.auth.takes_token or operation.enrolls:
            continue
        path = operation.path
        for name in ("user_id", "session_id", "org", "role", "provider", "invite_id", "id", "passkey_id"):
            path = path.replace(f"{{{name}}}", "00000000-0000-4000-8000-000000000000")
        body = {} if operation.method != "GET" else None
        answer = await api.request(operation.method, path, json=body, headers=token)
        assert answer.status_code in {401, 404}, (operation.method, path, answer.text)
        tried += answer.status_code == 401
    assert tried > 40
    enrolls = {operation.path for operation in OPERATIONS if operation.enrolls}
    assert enrolls == {
        "/auth/user/2fa/totp/begin",
        "/auth/user/2fa/totp/confirm",
        "/auth/user/2fa/start-email",
        "/auth/user/2fa/start-phone",
        "/auth/user/2fa/factors",
        "/auth/user/2fa/enable",
        "/auth/passkeys/register/begin",
        "/auth/passkeys/register/finish",
    }
    assert all(operation.auth is Auth.USER for operation in OPERATIONS if operation.enrolls)


async def test_a_user_adds_a_passkey_and_signs_in_with_it(make_service, serve, sign_up):
    async with serve(await make_service()) as open_api:
        await sign_up(open_api)
    strict = await make_service(two_factor_policy="required", **PASSKEYS)
    authenticator = Authenticator()
    async with serve(strict) as api:
        token = await enrollment(api)
        begun = await api.post("/auth/passkeys/register/begin", json={}, headers=token)
        assert begun.status_code == 200, begun.text
        body = {"credential": authenticator.create(begun.json()["options"]), "end_other_sessions": True}
        added = await api.post("/auth/passkeys/register/finish", json=body, headers=token)
        assert added.status_code == 200, added.text
        for path in ("passkeys/register/begin", "user/2fa/totp/begin"):
            again = await api.post(f"/auth/{path}", json={}, headers=token)
            assert refusal(again) == (401, "session_ended")
        refused = await log_in(api, EMAIL)
        assert refusal(refused) == (401, "two_factor_enrollment_required")
        assert refused.json()["metadata"] == {"methods": ["passkey"]}
        options = (await api.post("/auth/passkeys/login/begin")).json()["options"]
        signed = await api.post(
            "/auth/passkeys/login/finish", json={"credential": authenticator.get(options)}
        )
        assert_tokens(signed)


async def test_a_passkey_that_is_one_factor_is_not_what_the_token_adds(make_service, serve, sign_up):
    settings = PASSKEYS | {"passkey_counts_as_two_factors": False}
    async with serve(await make_service()) as open_api:
        await sign_up(open_api)
    async with serve(await make_service(two_factor_policy="required", **settings)) as api:
        token = await enrollment(api)
        for path in ("begin", "finish"):
            answer = await api.post(f"/auth/passkeys/register/{path}", json={}, headers=token)
            assert refusal(answer) == (401, "invalid_token")


@pytest.mark.parametrize("token", ["", "x.y.z", "akr_x"])
async def test_another_token_is_refused_as_anywhere(enrolling, token):
    answer = await enrolling.post("/auth/user/2fa/totp/begin", headers={"authorization": f"Bearer {token}"})
    elsewhere = await enrolling.get("/auth/user/me", headers={"authorization": f"Bearer {token}"})
    assert refusal(answer) == refusal(elsewhere)


async def test_off_mounts_nothing_that_adds_a_factor(make_service, serve, sign_up):
    async with serve(await make_service(two_factor_policy="off")) as api:
        tokens = await sign_up(api)
        for path in ("totp/begin", "factors", "enable"):
            answer = await api.post(f"/auth/user/2fa/{path}", json={}, headers=bearer(tokens))
            assert refusal(answer) == (404, "not_found")
        assert (await api.get("/auth/capabilities")).json()["two_factor"]["policy"] == "off"


async def test_an_administrator_without_a_second_factor_administrates_nothing(make_service, serve, sign_up):
    service = await make_service(two_factor_required_roles=("admin",))
    async with serve(service) as api:
        tokens = await sign_up(api)
        user_id = await service.pool.fetchval("select id::text from profiles.users")
        await service.roles.assign(user_id, "admin")
        tokens = assert_tokens(await log_in(api, EMAIL))
        assert refusal(await api.get("/auth/admin/users", headers=bearer(tokens))) == (403, "forbidden")
        begun = await service.totp.begin(user_id)
        claims = await service.sessions.claims_of(tokens["access_token"])
        assert claims is not None
        await service.totp.complete(user_id, app_code(begun.secret, 0), keep_session_id=str(claims["sid"]))
        assert (await api.get("/auth/admin/users", headers=bearer(tokens))).status_code == 200


async def test_an_owner_sets_the_policy_of_the_organization(make_service, serve, sign_up):
    service = await make_service(org_mode="multi")
    async with serve(service) as api:
        tokens = await sign_up(api)
        assert (
            await api.post("/auth/orgs", json={"slug": "acme"}, headers=bearer(tokens))
        ).status_code == 201
        path, body = "/auth/orgs/acme/policy", {"two_factor_required": True}
        assert (await api.request("PUT", path, json=body, headers=bearer(tokens))).status_code == 200
        assert (await api.get(path, headers=bearer(tokens))).json() == body
        refreshed = await api.post(
            "/auth/token",
            json={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "org": "acme"},
        )
        assert refreshed.status_code in {400, 403}, refreshed.text
        assert "two_factor_required_by_org" in refreshed.text


async def test_where_a_second_factor_is_required_a_password_does_not_stand_in_for_the_passkey(
    make_service, serve, age
):
    service = await make_service(**PASSKEYS, two_factor_policy="required")
    user_id, authenticator = await new_user(service, password=PASSWORD), Authenticator()
    await add_passkey(service, user_id, authenticator)
    options = await service.passkey_logins.begin_login()
    pair = await service.passkey_logins.finish_login(authenticator.get(options))
    await age("refresh_sessions", pair.session_id, auth_time=3600)
    body = {"new_email": "eve@example.test", "password": PASSWORD}
    async with serve(service) as api:
        headers = {"authorization": f"Bearer {pair.access_token}"}
        answer = await api.post("/auth/user/email/change/request", json=body, headers=headers)
        assert refusal(answer) == (403, "step_up_required")
        assert answer.json()["metadata"]["methods"] == ["passkey"]
