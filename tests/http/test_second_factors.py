"""Several second factors over HTTP: authenticator apps, switching at sign-in, the list, removal."""

from __future__ import annotations

import dataclasses

import pytest

from authkit_issuer.keys import StaticKeys
from fakes.calls import assert_tokens, bearer, log_in, me, refusal
from fakes.factors import app_code, let_codes_be_new

EMAIL, NUMBER = "ada_l@example.test", "+4915112345678"


async def add_app(api, tokens, name: str = "Phone") -> tuple[str, dict]:
    begun = await api.post("/auth/user/2fa/totp/begin", headers=bearer(tokens))
    assert begun.status_code == 200, begun.text
    assert begun.headers["cache-control"] == "no-store"
    assert set(begun.json()) == {"secret", "otpauth_uri", "qr_svg", "expires_in"}
    secret = begun.json()["secret"]
    body = {"code": app_code(secret, 0), "name": name}
    added = await api.post("/auth/user/2fa/totp/confirm", json=body, headers=bearer(tokens))
    assert added.status_code == 200, added.text
    await api.delivered()
    return secret, added.json()


async def challenge(api) -> dict:
    answer = await log_in(api, EMAIL)
    assert refusal(answer) == (401, "two_factor_required")
    return answer.json()["metadata"]


async def stepped_up(api, service, tokens, secret: str) -> dict[str, str]:
    await let_codes_be_new(service)
    answer = await api.post("/auth/step-up/2fa", json={"code": app_code(secret)}, headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    return bearer(answer.json())


async def test_an_app_signs_in_and_another_factor_does_as_well(api, sign_up, mailbox, service):
    tokens = await sign_up(api)
    secret, added = await add_app(api, tokens)
    assert len(added["backup_codes"]) == 10
    fresh = await stepped_up(api, service, tokens, secret)
    assert (await api.post("/auth/user/2fa/start-phone", json={"phone": NUMBER}, headers=fresh)).is_success
    body = {"kind": "sms", "phone_number": NUMBER, "code": mailbox.last(NUMBER).code, "name": "Old one"}
    second = await api.post("/auth/user/2fa/factors", json=body, headers=fresh)
    assert (second.status_code, set(second.json())) == (200, {"id"})
    asked = await challenge(api)
    assert (asked["method"], asked["code_sent"]) == ("totp", False)
    assert [method["kind"] for method in asked["methods"]] == ["totp", "sms"]
    assert asked["methods"][1] == {"id": second.json()["id"], "kind": "sms", "hint": "+49*********78"}
    who = {"user_id": asked["user_id"], "challenge": asked["challenge"]}
    switched = await api.post("/auth/2fa/challenge", json=who | {"factor_id": second.json()["id"]})
    assert (switched.status_code, switched.json()["method"]) == (200, "sms")
    assert switched.json()["destination"] == "+49*********78"
    signed_in = assert_tokens(
        await api.post("/auth/2fa/verify", json=who | {"code": mailbox.last(NUMBER).code})
    )
    assert sorted((await me(api, signed_in))["amr"]) == ["mfa", "pwd", "sms"]
    await let_codes_be_new(service)
    asked = await challenge(api)
    who = {"user_id": asked["user_id"], "challenge": asked["challenge"]}
    signed_in = assert_tokens(await api.post("/auth/2fa/verify", json=who | {"code": app_code(secret)}))
    assert sorted((await me(api, signed_in))["amr"]) == ["mfa", "otp", "pwd"]


async def test_the_list_names_every_factor_and_no_secret(api, sign_up, service):
    tokens = await sign_up(api)
    _, added = await add_app(api, tokens, "Work phone")
    shown = (await api.get("/auth/user/2fa", headers=bearer(tokens))).json()
    (factor,) = shown["factors"]
    assert (shown["enabled"], shown["method"], shown["backup_codes_left"]) == (True, "totp", 10)
    assert (factor["id"], factor["kind"], factor["name"], factor["default"]) == (
        added["id"], "totp", "Work phone", True,
    )  # fmt: skip
    assert "secret" not in repr(shown)


async def test_a_factor_is_renamed_and_removed_after_a_fresh_proof_of_one(api, sign_up, service):
    tokens = await sign_up(api)
    secret, added = await add_app(api, tokens)
    path = f"/auth/user/2fa/factors/{added['id']}"
    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        answer = await api.request(method, path, json=body, headers=bearer(tokens))
        assert refusal(answer) == (403, "step_up_required")
        assert answer.json()["metadata"]["methods"] == ["2fa"]
    fresh = await stepped_up(api, service, tokens, secret)
    assert (await api.request("PATCH", path, json={"name": "x" * 61}, headers=fresh)).status_code == 400
    assert (await api.request("PATCH", path, json={"name": "New"}, headers=fresh)).status_code == 200
    assert (await api.request("DELETE", path, headers=fresh)).status_code == 200
    assert refusal(await api.request("DELETE", path, headers=fresh)) == (404, "2fa_factor_not_found")
    assert_tokens(await log_in(api, EMAIL))


async def test_a_step_up_names_the_app_and_its_alternatives(api, sign_up, service):
    tokens = await sign_up(api)
    secret, added = await add_app(api, tokens)
    asked = await api.post("/auth/step-up/2fa", json={}, headers=bearer(tokens))
    assert asked.json() == {
        "destination": "",
        "method": "totp",
        "methods": [{"id": added["id"], "kind": "totp", "hint": "Phone"}],
    }
    wrong = await api.post("/auth/step-up/2fa", json={"code": "000000x"}, headers=bearer(tokens))
    assert refusal(wrong) == (400, "invalid_or_expired_code")
    await stepped_up(api, service, tokens, secret)


async def test_too_many_wrong_codes_of_an_app_are_said(api, sign_up, service):
    tokens = await sign_up(api)
    await add_app(api, tokens)
    for _ in range(3):
        asked = await challenge(api)
        body = {"user_id": asked["user_id"], "challenge": asked["challenge"], "code": "000000x"}
        answers = [await api.post("/auth/2fa/verify", json=body) for _ in range(4)]
    assert refusal(answers[-1]) == (429, "too_many_requests")
    assert int(answers[-1].headers["retry-after"]) > 0


@pytest.mark.parametrize("missing", ["challenge", "factor_id", "user_id"])
async def test_a_switch_that_fits_nothing_is_refused(api, sign_up, missing):
    tokens = await sign_up(api)
    _, added = await add_app(api, tokens)
    asked = await challenge(api)
    body = {"user_id": asked["user_id"], "challenge": asked["challenge"], "factor_id": added["id"]}
    answer = await api.post("/auth/2fa/challenge", json=body | {missing: "x" * 43})
    expected = (404, "2fa_factor_not_found") if missing == "factor_id" else (401, "invalid_challenge")
    assert refusal(answer) == expected


async def test_without_a_sealing_key_there_are_no_apps(make_service, serve, sign_up, key_source):
    without = StaticKeys(dataclasses.replace(key_source.current(), sealing_keys={}))
    async with serve(await make_service(keys=without)) as api:
        tokens = await sign_up(api)
        answer = await api.post("/auth/user/2fa/totp/begin", headers=bearer(tokens))
        assert refusal(answer) == (404, "not_found")
        assert (await api.get("/auth/capabilities")).json()["two_factor"]["totp"] is False


@pytest.fixture
async def remembered(make_service, serve, sign_up):
    """A browser with a device that remembered the second factor, and the tokens of its user."""
    service = await make_service(two_factor_remember=1000.0)
    async with serve(service, base_url="https://127.0.0.1:8000") as api:
        tokens = await sign_up(api)
        secret, _ = await add_app(api, tokens)
        asked = (await log_in(api, EMAIL)).json()["metadata"]
        body = {name: asked[name] for name in ("user_id", "challenge")} | {"remember_device": True}
        answer = await api.post("/auth/2fa/verify", json=body | {"code": app_code(secret)})
        assert answer.status_code == 200, answer.text
        yield service, api, tokens


async def test_all_devices_are_forgotten(remembered):
    service, api, tokens = remembered
    before = await service.pool.fetchval("select auth_epoch from profiles.users")
    for _ in range(2):
        answer = await api.post("/auth/user/2fa/forget-devices", headers=bearer(tokens))
        assert answer.json() == {"success": True}
        # The device tokens name the epoch. With none left there is nothing to end.
        assert await service.pool.fetchval("select auth_epoch from profiles.users") == before + 1
    assert refusal(await log_in(api, EMAIL)) == (401, "two_factor_required")
    assert (await me(api, tokens))["email"] == EMAIL


async def test_a_user_lists_and_forgets_a_device(remembered):
    _, api, tokens = remembered
    assert (await log_in(api, EMAIL)).status_code == 200
    (device,) = (await api.get("/auth/user/2fa", headers=bearer(tokens))).json()["devices"]
    assert set(device) == {"id", "browser", "network", "created_at", "last_used_at"}
    path = f"/auth/user/2fa/devices/{device['id']}"
    assert (await api.delete(path)).status_code == 401
    assert (await api.delete(path, headers=bearer(tokens))).json() == {"success": True}
    assert refusal(await api.delete(path, headers=bearer(tokens))) == (404, "2fa_device_not_found")
    assert refusal(await log_in(api, EMAIL)) == (401, "two_factor_required")
    assert (await api.get("/auth/user/2fa", headers=bearer(tokens))).json()["devices"] == []
