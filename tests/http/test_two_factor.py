"""The second factor over HTTP: setting up, signing in, stepping up, switching off."""

from __future__ import annotations

import pytest

from fakes.calls import PASSWORD, assert_tokens, bearer, is_live, log_in, me, refusal

EMAIL, NUMBER = "ada_l@example.test", "+4915112345678"


async def _enable(api, mailbox, tokens) -> list[str]:
    started = await api.post("/auth/user/2fa/start-email", headers=bearer(tokens))
    assert (started.status_code, started.json()) == (200, {"ok": True})
    body = {"method": "email", "code": mailbox.last(EMAIL).code}
    answer = await api.post("/auth/user/2fa/enable", json=body, headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    assert answer.json()["enabled"] is True
    assert answer.headers["cache-control"] == "no-store"
    await api.delivered()
    return answer.json()["backup_codes"]


async def _challenge(api, mailbox) -> dict[str, str]:
    answer = await log_in(api, EMAIL)
    assert refusal(answer) == (401, "two_factor_required")
    metadata = answer.json()["metadata"]
    return {
        "user_id": metadata["user_id"],
        "challenge": metadata["challenge"],
        "code": mailbox.last(EMAIL).code,
    }


async def test_a_sign_in_goes_through_the_second_factor(api, sign_up, mailbox):
    tokens = await sign_up(api)
    user_id = (await me(api, tokens))["id"]
    assert len(await _enable(api, mailbox, tokens)) == 10
    answer = await log_in(api, EMAIL)
    assert refusal(answer) == (401, "two_factor_required")
    assert answer.headers["cache-control"] == "no-store"
    metadata = answer.json()["metadata"]
    assert {name: metadata[name] for name in ("user_id", "method", "destination")} == {
        "user_id": user_id,
        "method": "email",
        "destination": "a***@e***.test",
    }
    assert len(metadata["challenge"]) == 43
    body = {"user_id": user_id, "challenge": metadata["challenge"], "code": mailbox.last(EMAIL).code}
    signed_in = assert_tokens(await api.post("/auth/2fa/verify", json=body))
    assert sorted((await me(api, signed_in))["amr"]) == ["mfa", "otp", "pwd"]
    assert refusal(await api.post("/auth/2fa/verify", json=body)) == (401, "invalid_challenge")


async def test_a_wrong_password_says_nothing_of_the_second_factor(api, sign_up, mailbox):
    await _enable(api, mailbox, await sign_up(api))
    sent = len(mailbox.messages)
    answer = await log_in(api, EMAIL, "not this one at all")
    assert refusal(answer) == (401, "invalid_credentials")
    assert "metadata" not in answer.json()
    assert len(mailbox.messages) == sent


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"code": "000000"}, "invalid_or_expired_code"),
        ({"challenge": "x" * 43}, "invalid_challenge"),
        ({"user_id": "00000000-0000-4000-8000-000000000000"}, "invalid_challenge"),
        ({"backup_code": True}, "invalid_or_expired_code"),
    ],
)
async def test_every_part_of_the_answer_must_fit(api, sign_up, mailbox, change, code):
    await _enable(api, mailbox, await sign_up(api))
    body = await _challenge(api, mailbox)
    if body["code"] == "000000":
        body["code"] = "000001"
    answer = await api.post("/auth/2fa/verify", json=body | change)
    assert refusal(answer) == (400 if code == "invalid_or_expired_code" else 401, code)
    assert_tokens(await api.post("/auth/2fa/verify", json=body))


async def test_after_five_wrong_codes_the_right_one_is_worth_nothing(api, sign_up, mailbox):
    await _enable(api, mailbox, await sign_up(api))
    body = await _challenge(api, mailbox)
    wrong = body | {"code": "000000" if body["code"] != "000000" else "000001"}
    for _ in range(5):
        assert (await api.post("/auth/2fa/verify", json=wrong)).status_code == 400
    assert (await api.post("/auth/2fa/verify", json=body)).status_code in {400, 401}


async def test_a_backup_code_opens_once(api, sign_up, mailbox):
    tokens = await sign_up(api)
    backup = (await _enable(api, mailbox, tokens))[3]
    body = await _challenge(api, mailbox) | {"code": backup, "backup_code": True}
    signed_in = assert_tokens(await api.post("/auth/2fa/verify", json=body))
    shown = await api.get("/auth/user/2fa", headers=bearer(signed_in))
    (factor,) = shown.json().pop("factors")
    assert (factor["kind"], factor["hint"], factor["default"]) == ("email", "a***@e***.test", True)
    assert (shown.json()["enabled"], shown.json()["method"]) == (True, "email")
    assert shown.json()["backup_codes_left"] == 9
    body = await _challenge(api, mailbox) | {"code": backup, "backup_code": True}
    assert refusal(await api.post("/auth/2fa/verify", json=body)) == (400, "invalid_or_expired_code")


async def test_a_phone_becomes_the_second_factor(api, sign_up, mailbox):
    tokens = await sign_up(api)
    headers = bearer(tokens)
    off = await api.get("/auth/user/2fa", headers=headers)
    assert off.json() == {
        "enabled": False,
        "method": "email",
        "backup_codes_left": 0,
        "required": False,
        "factors": [],
        "devices": [],
    }
    bad = await api.post("/auth/user/2fa/start-phone", json={"phone": "0711"}, headers=headers)
    assert refusal(bad) == (400, "invalid_phone_number")
    started = await api.post("/auth/user/2fa/start-phone", json={"phone": NUMBER}, headers=headers)
    assert started.json() == {"ok": True}
    body = {"method": "sms", "phone_number": NUMBER, "code": "000000"}
    wrong = await api.post("/auth/user/2fa/enable", json=body, headers=headers)
    assert refusal(wrong) == (400, "invalid_or_expired_code")
    body["code"] = mailbox.last(NUMBER).code
    assert (await api.post("/auth/user/2fa/enable", json=body, headers=headers)).status_code == 200
    asked = await log_in(api, EMAIL)
    assert asked.json()["metadata"]["destination"] == "+49*********78"
    answer = {name: asked.json()["metadata"][name] for name in ("user_id", "challenge")}
    answer["code"] = mailbox.last(NUMBER).code
    signed_in = assert_tokens(await api.post("/auth/2fa/verify", json=answer))
    assert sorted((await me(api, signed_in))["amr"]) == ["mfa", "pwd", "sms"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"method": "pigeon", "code": "123456"}, "2fa_method_invalid"),
        ({"method": "sms", "code": "123456"}, "invalid_phone_number"),
        ({"method": "email"}, "invalid_request"),
        ({"method": "email", "code": "123456"}, "invalid_or_expired_code"),
    ],
)
async def test_what_is_wrong_with_a_set_up_is_said(api, sign_up, body, code):
    tokens = await sign_up(api)
    answer = await api.post("/auth/user/2fa/enable", json=body, headers=bearer(tokens))
    assert refusal(answer) == (400, code)


async def test_an_address_that_is_not_proved_is_no_second_factor_and_no_reason_to_refresh(
    api, sign_up, service
):
    tokens = await sign_up(api)
    await service.pool.execute("update profiles.users set email_verified = false")
    answer = await api.post("/auth/user/2fa/start-email", headers=bearer(tokens))
    assert refusal(answer) == (403, "email_not_verified")


SENSITIVE = [
    ("POST", "/auth/user/2fa/enable", {"method": "email", "code": "123456"}),
    ("POST", "/auth/user/2fa/disable", None),
    ("POST", "/auth/user/2fa/regenerate-codes", None),
    ("DELETE", "/auth/user", None),
    ("GET", "/auth/user/export", None),
    ("POST", "/auth/user/password", {"new_password": "another staple, longer"}),
    ("POST", "/auth/user/password", {"current_password": PASSWORD, "new_password": "another staple"}),
    ("POST", "/auth/user/email/change/request", {"new_email": "a@b.test", "password": PASSWORD}),
]


@pytest.mark.parametrize(("method", "path", "body"), SENSITIVE)
async def test_what_is_sensitive_asks_for_the_second_factor_where_it_is_on(
    api, sign_up, mailbox, method, path, body
):
    tokens = await sign_up(api)
    await _enable(api, mailbox, tokens)
    # Signed in a moment ago, and still only with the first factor.
    answer = await api.request(method, path, json=body, headers=bearer(tokens))
    assert refusal(answer) == (403, "step_up_required")
    assert answer.json()["metadata"]["methods"] == ["2fa"]
    assert "insufficient_user_authentication" in answer.headers["www-authenticate"]
    with_password = await api.post(
        "/auth/step-up/password", json={"password": PASSWORD}, headers=bearer(tokens)
    )
    assert refusal(with_password) == (403, "two_factor_required")


async def test_the_second_factor_is_proved_again_by_a_code(api, sign_up, mailbox):
    tokens = await sign_up(api)
    await _enable(api, mailbox, tokens)
    sent = await api.post("/auth/step-up/2fa", json={}, headers=bearer(tokens))
    assert (sent.status_code, sent.json()["destination"]) == (200, "a***@e***.test")
    assert [method["kind"] for method in sent.json()["methods"]] == ["email"]
    body = {"code": mailbox.last(EMAIL).code}
    stepped = await api.post("/auth/step-up/2fa", json=body, headers=bearer(tokens))
    assert set(stepped.json()) == {"access_token", "token_type", "expires_in"}
    assert stepped.headers["pragma"] == "no-cache"
    again = await api.post("/auth/step-up/2fa", json=body, headers=bearer(tokens))
    assert refusal(again) == (400, "invalid_or_expired_code")
    fresh = bearer(stepped.json())
    codes = await api.post("/auth/user/2fa/regenerate-codes", headers=fresh)
    assert len(codes.json()["backup_codes"]) == 10
    off = await api.post("/auth/user/2fa/disable", headers=fresh)
    assert (off.status_code, off.json()) == (200, {"success": True})
    assert_tokens(await log_in(api, EMAIL))


async def test_a_backup_code_steps_up_as_well(api, sign_up, mailbox):
    tokens = await sign_up(api)
    codes = await _enable(api, mailbox, tokens)
    body = {"code": codes[0], "backup_code": True}
    stepped = await api.post("/auth/step-up/2fa", json=body, headers=bearer(tokens))
    assert stepped.status_code == 200
    assert (await api.post("/auth/user/2fa/disable", headers=bearer(stepped.json()))).status_code == 200


async def test_regenerating_needs_something_to_regenerate(api, sign_up):
    tokens = await sign_up(api)
    answer = await api.post("/auth/user/2fa/regenerate-codes", headers=bearer(tokens))
    assert refusal(answer) == (409, "2fa_not_enabled")


async def test_switching_it_on_ends_no_session_and_every_sign_in_under_way(api, sign_up, mailbox):
    tokens = await sign_up(api)
    codes = await _enable(api, mailbox, tokens)
    waiting = await _challenge(api, mailbox)
    stepped = await api.post(
        "/auth/step-up/2fa", json={"code": codes[0], "backup_code": True}, headers=bearer(tokens)
    )
    await api.post("/auth/user/2fa/disable", headers=bearer(stepped.json()))
    assert refusal(await api.post("/auth/2fa/verify", json=waiting)) == (401, "invalid_challenge")
    assert await is_live(api, tokens)


async def test_without_a_sender_its_method_is_not_there(make_service, serve, sign_up):
    async with serve(await make_service(sms_sender=None)) as api:
        tokens = await sign_up(api)
        answer = await api.post("/auth/user/2fa/start-phone", json={"phone": NUMBER}, headers=bearer(tokens))
        assert refusal(answer) == (404, "not_found")
        body = {"method": "sms", "phone_number": NUMBER, "code": "123456"}
        enable = await api.post("/auth/user/2fa/enable", json=body, headers=bearer(tokens))
        assert refusal(enable) == (409, "2fa_method_unavailable")


@pytest.mark.parametrize("ends", [True, False])
async def test_switching_the_factor_on_offers_to_end_the_other_sessions(api, sign_up, mailbox, ends):
    tokens = await sign_up(api)
    other = (await log_in(api, EMAIL)).json()
    await api.post("/auth/user/2fa/start-email", headers=bearer(tokens))
    body = {"method": "email", "code": mailbox.last(EMAIL).code, "end_other_sessions": ends}
    assert (await api.post("/auth/user/2fa/enable", json=body, headers=bearer(tokens))).status_code == 200
    assert await is_live(api, tokens)
    assert await is_live(api, other) is not ends
