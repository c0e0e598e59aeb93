"""Access tokens on the service's own routes: one header, one statement, no benefit of the doubt."""

from __future__ import annotations

import pytest

USER_ROUTES = [
    ("GET", "/auth/user/me"),
    ("GET", "/auth/user/sessions"),
    ("DELETE", "/auth/user/sessions"),
    ("DELETE", "/auth/user/sessions/00000000-0000-4000-8000-000000000000"),
    ("DELETE", "/auth/logout"),
]


@pytest.mark.parametrize(("method", "path"), USER_ROUTES)
async def test_without_a_token_nothing_is_shown(api, method, path):
    answer = await api.request(method, path)
    assert (answer.status_code, answer.json()["error"]) == (401, "missing_token")
    assert answer.headers["www-authenticate"] == 'Bearer realm="authkit"'


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        ("Basic YTpi", 401, "missing_token"),
        ("Bearer", 400, "invalid_request"),
        ("Bearer ", 400, "invalid_request"),
        ("Bearer a b", 400, "invalid_request"),
        ("Bearer a,b", 400, "invalid_request"),
        ("Bearer abc", 401, "invalid_token"),
        ("Bearer a.b.c", 401, "invalid_token"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", 401, None),
        ("Bearer " + "a" * 60_000, 401, "invalid_token"),
    ],
)
async def test_a_header_that_is_not_one_good_token_is_refused_and_never_echoed(api, value, status, code):
    answer = await api.get("/auth/user/me", headers={"authorization": value})
    assert answer.status_code == status, answer.text
    assert code in {None, answer.json()["error"]}
    secret = value.partition(" ")[2].strip()
    if len(secret) > 3:
        assert secret not in answer.text
        assert secret not in str(answer.headers)


async def test_the_scheme_is_read_in_any_case_and_with_any_blanks(api, sign_up):
    token = (await sign_up(api))["access_token"]
    for value in (f"bearer {token}", f"BEARER   {token}"):
        assert (await api.get("/auth/user/me", headers={"authorization": value})).status_code == 200


async def test_two_authorization_headers_are_refused(api, sign_up):
    token = (await sign_up(api))["access_token"]
    pair = [("authorization", f"Bearer {token}")] * 2
    answer = await api.get("/auth/user/me", headers=pair)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_no_token_is_read_from_the_query(api, sign_up):
    token = (await sign_up(api))["access_token"]
    answer = await api.get(f"/auth/user/me?access_token={token}")
    assert answer.json()["error"] == "missing_token"


async def test_a_tampered_token_is_refused(api, sign_up):
    head, payload, signature = (await sign_up(api))["access_token"].split(".")
    flipped = "B" if signature[10] == "A" else "A"
    forged = f"{head}.{payload}.{signature[:10]}{flipped}{signature[11:]}"
    answer = await api.get("/auth/user/me", headers={"authorization": f"Bearer {forged}"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_an_expired_token_is_refused(api, sign_up, clock):
    token = (await sign_up(api))["access_token"]
    clock.advance(1000)
    answer = await api.get("/auth/user/me", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]) == (401, "token_expired")


async def test_a_token_of_no_session_is_refused(api, service, sign_up):
    await sign_up(api)
    user = await service.users.get_by_username("ada_l")
    access = await service.tokens.issue_access(user.id)
    answer = await api.get("/auth/user/me", headers={"authorization": f"Bearer {access.token}"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


async def test_a_token_for_another_audience_is_refused(make_service, serve, sign_up):
    elsewhere = await make_service(issued_audiences=("elsewhere",))
    here = await make_service()
    async with serve(elsewhere) as other, serve(here) as api:
        token = (await sign_up(other))["access_token"]
        answer = await api.get("/auth/user/me", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]) == (401, "bad_audience")


@pytest.mark.parametrize(("method", "path"), USER_ROUTES)
async def test_an_outage_of_the_database_is_503_and_never_401(make_service, serve, sign_up, method, path):
    service = await make_service(pool=None)
    async with serve(service) as api:
        token = (await sign_up(api))["access_token"]
        await service.pool.close()
        answer = await api.request(method, path, headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]) == (503, "database_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert "www-authenticate" not in answer.headers


async def test_a_refresh_during_an_outage_of_the_database_is_503_and_costs_nothing(
    make_service, serve, sign_up
):
    service = await make_service(pool=None)
    async with serve(service) as api:
        tokens = await sign_up(api)
        await service.pool.close()
        body = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        answer = await api.post("/auth/token", json=body)
    assert (answer.status_code, answer.json()["error"]) == (503, "database_unavailable")


async def test_refresh_me_and_keys_go_on_without_the_ephemeral_store(
    make_service, serve, sign_up, down_store
):
    whole, degraded = await make_service(), await make_service(ephemeral_store=down_store)
    async with serve(whole) as api, serve(degraded) as limping:
        tokens = await sign_up(api)
        body = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert (await limping.post("/auth/token", json=body)).status_code == 200
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        assert (await limping.get("/auth/user/me", headers=headers)).status_code == 200
        assert (await limping.get("/.well-known/jwks.json")).status_code == 200
        register = {
            "identifier": "new@example.test",
            "username": "new_name",
            "password": "correct horse battery",
        }
        answer = await limping.post("/auth/register", json=register)
        assert (answer.status_code, answer.json()["error"]) == (503, "ephemeral_store_unavailable")
        confirm = {"email": "new@example.test", "code": "123456", "registration_id": "x" * 22}
        answer = await limping.post("/auth/email/verify/confirm", json=confirm)
        assert (answer.status_code, answer.json()["error"]) == (503, "ephemeral_store_unavailable")
