"""Proofs of addresses and numbers, and new codes for registrations, over HTTP."""

from __future__ import annotations

import pytest

from fakes.calls import PASSWORD, assert_tokens, log_in, me, refusal
from fakes.users import EMAIL, PHONE, unverified_user


async def _register(api, identifier: str, name: str = "ada_l") -> str:
    body = {"identifier": identifier, "username": name, "password": PASSWORD}
    answer = await api.post("/auth/register", json=body)
    assert answer.status_code == 202, answer.text
    await api.delivered()
    return answer.json()["registration_id"]


async def test_a_phone_registration_signs_in_with_the_code_from_the_message(api, mailbox):
    registration_id = await _register(api, PHONE)
    body = {"phone_number": PHONE, "code": mailbox.last(PHONE).code}
    without = await api.post("/auth/phone/verify/confirm", json=body)
    assert refusal(without) == (400, "invalid_request")
    body["registration_id"] = registration_id
    tokens = assert_tokens(await api.post("/auth/phone/verify/confirm", json=body))
    found = await me(api, tokens)
    assert (found["phone_number"], found["phone_verified"], found["amr"]) == (PHONE, True, ["otp"])
    assert_tokens(await log_in(api, PHONE))


@pytest.mark.parametrize(
    ("kind", "member", "target"), [("email", "email", EMAIL), ("phone", "phone_number", PHONE)]
)
async def test_an_account_that_was_there_is_proved_and_no_user_is_signed_in(
    api, service, mailbox, kind, member, target
):
    user_id = await unverified_user(service, EMAIL, phone=PHONE)
    asked = await api.post(f"/auth/{kind}/verify/request", json={member: target})
    assert asked.status_code == 202
    assert set(asked.json()) == {"ok", "message", "request_id"}
    await api.delivered()
    body = {member: target, "code": mailbox.last(target).code}
    # An attacker who knows address and code has neither of the ids.
    assert refusal(await api.post(f"/auth/{kind}/verify/confirm", json=body)) == (
        400,
        "invalid_request",
    )
    body["request_id"] = asked.json()["request_id"]
    done = await api.post(f"/auth/{kind}/verify/confirm", json=body)
    assert (done.status_code, done.json()) == (200, {"ok": True})
    user = await service.users.get(user_id)
    assert getattr(user, f"{kind}_verified")
    again = await api.post(f"/auth/{kind}/verify/confirm", json=body)
    assert refusal(again) == (409, "already_confirmed")


async def test_the_link_of_an_account_proves_its_address(make_service, serve, mailbox):
    service = await make_service(link_base_url="https://app.example.test")
    user_id = await unverified_user(service)
    async with serve(service) as api:
        await api.post("/auth/email/verify/request", json={"email": EMAIL})
        await api.delivered()
        body = {"token": mailbox.last(EMAIL).token}
        assert (await api.post("/auth/email/verify/confirm-link", json=body)).json() == {"ok": True}
        assert (await service.users.get(user_id)).email_verified
        again = await api.post("/auth/email/verify/confirm-link", json=body)
        assert refusal(again) == (400, "invalid_or_expired_token")


@pytest.mark.parametrize("way", ["registration_id", "password"])
async def test_the_link_of_a_registration_asks_who_registered(api, mailbox, way):
    registration_id = await _register(api, EMAIL)
    token = mailbox.last(EMAIL).token
    assert token
    for wrong in ({}, {"registration_id": "x" * 22}, {"password": "not this one at all"}):
        answer = await api.post("/auth/email/verify/confirm-link", json={"token": token} | wrong)
        assert refusal(answer) == (400, "current_password_required")
    proof = {"registration_id": registration_id} if way == "registration_id" else {"password": PASSWORD}
    done = await api.post("/auth/email/verify/confirm-link", json={"token": token} | proof)
    assert (done.status_code, done.json()) == (200, {"ok": True})
    assert_tokens(await log_in(api, EMAIL))


@pytest.mark.parametrize(("kind", "target"), [("email", EMAIL), ("phone", PHONE)])
async def test_a_registration_gets_a_new_code_by_its_id(make_service, serve, mailbox, kind, target):
    service = await make_service(code_cooldown=0)
    async with serve(service) as api:
        registration_id = await _register(api, target)
        first = mailbox.last(target).code
        path = f"/auth/register/resend-{kind}"
        known = await api.post(path, json={"registration_id": registration_id})
        unknown = await api.post(path, json={"registration_id": "unknown"})
        assert known.status_code == unknown.status_code == 202
        assert known.json() == unknown.json()
        assert set(known.json()) == {"ok", "message"}
        await api.delivered()
        codes = [message.code for message in mailbox.to(target)]
        assert len(codes) == 2
        member = "email" if kind == "email" else "phone_number"
        body = {member: target, "registration_id": registration_id, "code": first}
        if codes[0] != codes[1]:
            old = await api.post(f"/auth/{kind}/verify/confirm", json=body)
            assert refusal(old) == (400, "invalid_or_expired_code")
        assert_tokens(await api.post(f"/auth/{kind}/verify/confirm", json=body | {"code": codes[1]}))


async def test_an_address_is_not_a_registration(api):
    for path in ("/auth/register/resend-email", "/auth/register/resend-phone"):
        named = await api.post(path, json={"email": EMAIL})
        assert refusal(named) == (400, "invalid_request")
        assert refusal(await api.post(path, json={"registration_id": " "})) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/auth/email/verify/request", {"email": "nothing"}, "invalid_email"),
        ("/auth/phone/verify/request", {"phone_number": "0711"}, "invalid_phone_number"),
        ("/auth/email/verify/confirm", {"email": EMAIL}, "invalid_request"),
        ("/auth/phone/verify/confirm", {"phone_number": PHONE, "code": "1"}, "invalid_request"),
        (
            "/auth/phone/verify/confirm",
            {"phone_number": "no", "code": "1", "registration_id": "x" * 22},
            "invalid_or_expired_code",
        ),
        ("/auth/email/verify/confirm-link", {"token": "nothing"}, "invalid_or_expired_token"),
    ],
)
async def test_what_is_wrong_with_a_proof_is_said(api, path, body, code):
    assert refusal(await api.post(path, json=body)) == (400, code)


async def test_without_sms_numbers_are_not_asked_for(make_service, serve):
    async with serve(await make_service(sms_sender=None)) as api:
        for path in ("/auth/phone/verify/request", "/auth/register/resend-phone"):
            assert refusal(await api.post(path, json={})) == (404, "not_found")
        assert "/auth/phone/verify/request" not in (await api.get("/openapi.json")).json()["paths"]


async def test_a_confirmed_registration_goes_into_the_cookie_and_a_mere_proof_does_not(
    make_service, serve, mailbox
):
    service = await make_service(refresh_cookie=True)
    await unverified_user(service, "eve@example.test", "eve_1")
    async with serve(service) as api:
        asked = await api.post("/auth/email/verify/request", json={"email": "eve@example.test"})
        await api.delivered()
        code = mailbox.last("eve@example.test").code
        proof = {"email": "eve@example.test", "code": code, "request_id": asked.json()["request_id"]}
        plain = await api.post("/auth/email/verify/confirm", json=proof)
        assert (plain.json(), "set-cookie" in plain.headers) == ({"ok": True}, False)
        registration_id = await _register(api, EMAIL)
        body = {"email": EMAIL, "code": mailbox.last(EMAIL).code, "registration_id": registration_id}
        answer = await api.post("/auth/email/verify/confirm", json=body)
        assert "refresh_token" not in answer.json()
        assert "akr_" in answer.headers["set-cookie"]
