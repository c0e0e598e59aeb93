"""What people do with their own account, over HTTP."""

from __future__ import annotations

import json

import pytest

from authkit_issuer.security import restore_token
from authkit_issuer.security.restore_token import RestoreToken
from fakes.calls import NEW, PASSWORD, bearer, is_live, log_in, me, refusal

EMAIL = "ada_l@example.test"


async def test_the_user_name_changes_and_the_old_one_still_leads_there(api, sign_up, service):
    tokens = await sign_up(api)
    answer = await api.patch("/auth/user/username", json={"username": " Countess_L "}, headers=bearer(tokens))
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert (await me(api, tokens))["username"] == "Countess_L"
    assert (await service.usernames.resolve("ada_l"))[1] == "Countess_L"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ab", "username_too_short"),
        ("a" * 31, "username_too_long"),
        ("1234", "username_must_start_with_letter"),
        ("a@bc", "username_cannot_contain_at"),
        ("a-bc", "username_invalid_characters"),
        ("Admin", "username_reserved"),
        ("eve_1", "username_in_use"),
    ],
)
async def test_a_name_that_is_refused_says_why(api, sign_up, service, name, code):
    tokens = await sign_up(api)
    await service.users.add(email="eve@example.test", username="eve_1")
    answer = await api.patch("/auth/user/username", json={"username": name}, headers=bearer(tokens))
    assert refusal(answer) == (400, code)


async def test_a_biography_is_written_and_cleared(api, sign_up):
    tokens = await sign_up(api)
    headers, path = bearer(tokens), "/auth/user/biography"
    assert (await api.patch(path, json={"biography": " Mathematician. "}, headers=headers)).status_code == 200
    assert (await me(api, tokens))["biography"] == "Mathematician."
    long = await api.patch(path, json={"biography": "ä" * 2001}, headers=headers)
    assert refusal(long) == (400, "biography_too_long")
    assert (await api.patch(path, json={"biography": "ä" * 2000}, headers=headers)).status_code == 200
    assert (await api.patch(path, json={"biography": None}, headers=headers)).status_code == 200
    assert (await me(api, tokens))["biography"] is None
    assert refusal(await api.patch(path, json={}, headers=headers)) == (400, "invalid_request")


async def test_a_new_password_signs_out_everywhere_else(api, sign_up):
    tokens = await sign_up(api)
    other = (await log_in(api, EMAIL)).json()
    body = {"current_password": PASSWORD, "new_password": NEW}
    answer = await api.post("/auth/user/password", json=body, headers=bearer(tokens))
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert (await is_live(api, tokens), await is_live(api, other)) == (True, False)
    assert refusal(await log_in(api, EMAIL)) == (401, "invalid_credentials")
    assert (await log_in(api, EMAIL, NEW)).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"current_password": "wrong", "new_password": NEW}, 403, "invalid_password"),
        ({"new_password": NEW}, 400, "current_password_required"),
        ({"current_password": PASSWORD, "new_password": "short"}, 400, "password_too_short"),
        ({"current_password": PASSWORD}, 400, "invalid_request"),
    ],
)
async def test_a_password_change_that_is_refused_changes_nothing(api, sign_up, body, status, code):
    tokens = await sign_up(api)
    other = (await log_in(api, EMAIL)).json()
    answer = await api.post("/auth/user/password", json=body, headers=bearer(tokens))
    assert refusal(answer) == (status, code)
    assert "www-authenticate" not in answer.headers
    assert await is_live(api, other)
    assert (await log_in(api, EMAIL)).status_code == 200


async def test_a_first_password_asks_for_a_fresh_proof(api, sign_up, service, age, mailbox):
    tokens = await sign_up(api)
    await service.pool.execute("delete from profiles.user_passwords")
    found = await me(api, tokens)
    assert found["has_password"] is False
    await age("refresh_sessions", found["session_id"], auth_time=1000)
    for body in ({"new_password": NEW}, {"new_password": NEW, "current_password": "anything"}):
        stale = await api.post("/auth/user/password", json=body, headers=bearer(tokens))
        assert refusal(stale) == (403, "step_up_required")
        assert stale.json()["metadata"]["methods"] == ["code"]
    await api.post("/auth/step-up/2fa", json={}, headers=bearer(tokens))
    code = mailbox.last(EMAIL).code
    stepped = await api.post("/auth/step-up/2fa", json={"code": code}, headers=bearer(tokens))
    done = await api.post("/auth/user/password", json={"new_password": NEW}, headers=bearer(stepped.json()))
    assert done.status_code == 200
    assert (await log_in(api, EMAIL, NEW)).status_code == 200


async def test_an_account_is_deleted_by_who_proved_lately_who_they_are(api, sign_up, age, service):
    tokens = await sign_up(api)
    found = await me(api, tokens)
    await age("refresh_sessions", found["session_id"], auth_time=901)
    assert refusal(await api.delete("/auth/user", headers=bearer(tokens))) == (403, "step_up_required")
    stepped = await api.post("/auth/step-up/password", json={"password": PASSWORD}, headers=bearer(tokens))
    done = await api.delete("/auth/user", headers=bearer(stepped.json()))
    assert (done.status_code, done.json()) == (200, {"ok": True})
    assert not await is_live(api, tokens)
    refused = await log_in(api, EMAIL)
    assert refusal(refused) == (401, "user_deleted")
    assert refused.json()["metadata"]["restorable"] is True
    assert not await service.users.is_allowed(found["id"])


async def test_a_deleted_account_is_restored_by_its_owner_over_http(api, sign_up):
    await api.delete("/auth/user", headers=bearer(await sign_up(api)))
    body = {"identifier": EMAIL, "password": PASSWORD}
    assert refusal(await api.post("/auth/deleted-account/restore", json=body | {"password": NEW})) == (
        401, "invalid_credentials"
    )  # fmt: skip
    assert (await api.post("/auth/deleted-account/restore", json=body)).json() == {"ok": True}
    assert (await log_in(api, EMAIL)).status_code == 200


async def test_a_deleted_account_is_erased_for_its_owner_without_waiting(api, sign_up, service, clock, age):
    tokens = await sign_up(api)
    user = (await me(api, tokens))["id"]
    await api.delete("/auth/user", headers=bearer(tokens))
    body = {"identifier": EMAIL, "password": PASSWORD}
    assert (await api.post("/auth/deleted-account/erase", json=body)).status_code == 202
    await age("users", user, deleted_at=service.config.access_token_duration)
    await service.maintain()
    assert await service.pool.fetchval("select count(*) from profiles.users") == 0
    clock.advance(service.config.code_cooldown)
    await sign_up(api)


async def test_a_temporary_password_is_replaced_over_http(api, sign_up, service):
    user_id = (await me(api, await sign_up(api)))["id"]
    await service.passwords.admin_set(user_id, "temporary horse", must_change=True)
    refused = await log_in(api, EMAIL, "temporary horse")
    assert refusal(refused) == (401, "password_reset_required")
    assert refused.json()["metadata"]["replaceable"] is True
    body = {"identifier": EMAIL, "current_password": "temporary horse", "new_password": NEW}
    assert (await api.post("/auth/password/replace", json=body)).json() == {"ok": True}
    assert (await log_in(api, EMAIL, NEW)).status_code == 200


async def test_a_deletion_that_fails_is_not_said_to_be_done(api, sign_up, service):
    tokens = await sign_up(api)
    await service.pool.execute(
        "create function profiles.refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'no'; end $$;"
        "create trigger refuse before update of deleted_at on profiles.users"
        " for each row execute function profiles.refuse()"
    )
    try:
        answer = await api.delete("/auth/user", headers=bearer(tokens))
        assert refusal(answer) == (500, "internal_error")
        assert await is_live(api, tokens)
    finally:
        await service.pool.execute("drop function profiles.refuse() cascade")


async def test_the_cookie_goes_with_the_account(make_service, serve, mailbox):
    async with serve(await make_service(refresh_cookie=True), base_url="https://id.example.test") as api:
        body = {"identifier": EMAIL, "username": "ada_l", "password": PASSWORD}
        registered = (await api.post("/auth/register", json=body)).json()
        await api.delivered()
        proof = {"email": EMAIL, "code": mailbox.last(EMAIL).code}
        proof["registration_id"] = registered["registration_id"]
        tokens = (await api.post("/auth/email/verify/confirm", json=proof)).json()
        gone = await api.delete("/auth/user", headers=bearer(tokens))
        assert "Max-Age=0" in gone.headers["set-cookie"]


async def test_an_export_holds_everything_but_what_proves_who_one_is(api, sign_up, service):
    tokens = await sign_up(api)
    answer = await api.get("/auth/user/export", headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["user"]["email"] == EMAIL
    assert [session["method"] for session in body["sessions"]] == ["email_verification"]
    assert body["names"][0]["slug"] == "ada_l"
    assert {event["event"] for event in body["events"]} >= {"user_created", "session_created"}
    stored = await service.pool.fetchval("select password_hash from profiles.user_passwords")
    text = json.dumps(body)
    assert stored not in text
    assert "token_key" not in text


async def test_an_export_goes_on_where_the_one_before_ended(api, sign_up, monkeypatch):
    monkeypatch.setattr("authkit_issuer.domains.accounts.service.EXPORTED", 1)
    tokens = await sign_up(api)
    seen, before = [], ""
    while before is not None:
        export = (
            await api.get("/auth/user/export", params={"before": before}, headers=bearer(tokens))
        ).json()
        seen += [event["event"] for event in export["events"]]
        before = export["events_next"]
    assert seen[0] == "session_created"
    assert seen[-1] == "user_created"
    answer = await api.get("/auth/user/export?before=x", headers=bearer(tokens))
    assert (answer.status_code, answer.json()["param"]) == (400, "before")


async def test_me_tells_what_is_linked_offered_and_pending(make_service, serve, sign_up):
    service = await make_service(solana_domains=("app.example.test",), org_mode="multi")
    async with serve(service) as api:
        tokens = await sign_up(api)
        found = await me(api, tokens)
        assert (found["enabled_providers"], found["linked_providers"]) == (["solana"], [])
        assert (found["solana_address"], found["pending_email"], found["pending_phone_number"]) == (None,) * 3
        assert found["orgs"] == [{"org": "ada-l", "roles": ["owner"]}] or found["orgs"]
        await service.providers.link_by_issuer(found["id"], "solana:mainnet", "solana", "So1anaAddre55")
        again = await me(api, tokens)
        assert (again["solana_address"], again["linked_providers"]) == ("So1anaAddre55", ["solana"])
    async with serve(await make_service()) as api:
        assert (await me(api, tokens))["orgs"] is None


async def test_me_goes_on_while_the_store_of_what_is_pending_is_down(
    make_service, serve, sign_up, down_store
):
    async with serve(await make_service()) as api:
        tokens = await sign_up(api)
    async with serve(await make_service(ephemeral_store=down_store)) as api:
        assert (await me(api, tokens))["pending_email"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/auth/user/username"),
        ("PATCH", "/auth/user/biography"),
        ("POST", "/auth/user/password"),
        ("GET", "/auth/user/export"),
        ("DELETE", "/auth/user"),
        ("POST", "/auth/step-up/password"),
        ("POST", "/auth/step-up/2fa"),
        ("GET", "/auth/user/2fa"),
        ("POST", "/auth/user/2fa/disable"),
    ],
)
async def test_nothing_of_this_works_without_signing_in(api, method, path):
    assert refusal(await api.request(method, path)) == (401, "missing_token")


async def test_a_deleted_account_is_restored_by_the_token_of_a_refused_login_over_http(api, sign_up, service):
    user_id = (await me(api, tokens := await sign_up(api)))["id"]
    await api.delete("/auth/user", headers=bearer(tokens))
    epoch = await service.pool.fetchval("select auth_epoch from profiles.users")
    found = RestoreToken(user_id=user_id, auth_epoch=epoch, ends_at=service.rt.clock() + 60)
    token = restore_token.encode(service.rt.keys.current(), service.config.issuer, found)
    for body in (
        {},
        {"identifier": EMAIL},
        {"restore_token": token, "identifier": EMAIL, "password": PASSWORD},
    ):
        for path in ("restore", "erase"):
            answer = await api.post(f"/auth/deleted-account/{path}", json=body)
            assert refusal(answer) == (400, "invalid_request")
    answer = await api.post("/auth/deleted-account/restore", json={"restore_token": token + "A"})
    assert refusal(answer) == (400, "invalid_or_expired_token")
    answer = await api.post("/auth/deleted-account/restore", json={"restore_token": token})
    assert answer.json() == {"ok": True}
    assert (await log_in(api, EMAIL)).status_code == 200
