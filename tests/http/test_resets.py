"""Getting back in without the password, over HTTP."""

from __future__ import annotations

import dataclasses

import pytest

from authkit_issuer.ports import Senders
from fakes.calls import NEW, is_live, log_in, refusal
from fakes.users import PHONE, unverified_user

EMAIL = "ada_l@example.test"


@pytest.fixture
async def codes_only(make_service, mailbox):
    """A service whose mail sender sends no reset links."""

    class Codes:
        send_password_reset_code = mailbox.send_password_reset_code
        send_email_verification_code = mailbox.send_email_verification_code
        send_login_code = mailbox.send_login_code
        send_welcome = mailbox.send_welcome

    class Texts:
        send_verification_code = mailbox.texts.send_verification_code
        send_login_code = mailbox.texts.send_login_code

    assert Senders.of(Codes(), Texts()).email_reset_link is None
    return await make_service(email_sender=Codes(), sms_sender=Texts())


async def test_the_link_in_the_mail_replaces_the_password_and_ends_every_session(api, sign_up, mailbox):
    tokens = await sign_up(api)
    asked = await api.post("/auth/password/reset/request", json={"identifier": f" {EMAIL.upper()} "})
    assert asked.status_code == 202
    assert set(asked.json()) == {"ok", "message", "request_id"}
    await api.delivered()
    token = mailbox.last(EMAIL).token
    body = {"token": token, "new_password": NEW}
    done = await api.post("/auth/password/reset/confirm-link", json=body)
    assert (done.status_code, done.json()) == (200, {"ok": True})
    assert not await is_live(api, tokens)
    assert refusal(await log_in(api, EMAIL)) == (401, "invalid_credentials")
    assert (await log_in(api, EMAIL, NEW)).status_code == 200
    again = await api.post("/auth/password/reset/confirm-link", json=body)
    assert refusal(again) == (400, "invalid_or_expired_token")


async def test_the_member_named_code_takes_the_token_of_a_link_as_well(api, sign_up, mailbox):
    await sign_up(api)
    await api.post("/auth/password/reset/request", json={"identifier": EMAIL})
    await api.delivered()
    body = {"code": mailbox.last(EMAIL).token, "new_password": NEW, "identifier": EMAIL}
    assert (await api.post("/auth/password/reset/confirm", json=body)).status_code == 200


async def test_after_ten_wrong_codes_a_long_one_comes_and_is_read_however_it_is_typed(
    codes_only, serve, sign_up, mailbox, clock
):
    async with serve(codes_only) as api:
        await sign_up(api)

        async def ask():
            clock.advance(61)
            asked = await api.post("/auth/password/reset/request", json={"identifier": EMAIL})
            await api.delivered()
            return asked.json()["request_id"]

        async def confirm(code, request_id):
            body = {"identifier": EMAIL, "code": code, "new_password": NEW, "request_id": request_id}
            return await api.post("/auth/password/reset/confirm", json=body)

        for _ in range(2):
            request_id = await ask()
            for _ in range(5):
                answer = await confirm("wrong", request_id)
                assert refusal(answer) == (400, "invalid_or_expired_code")
        request_id = await ask()
        code = mailbox.last(EMAIL).code
        assert len(code) == 15
        assert (await confirm(f" {code.lower().replace('-', ' ')}", request_id)).status_code == 200


async def test_six_digits_count_only_with_the_address_and_the_id_of_the_request(
    codes_only, serve, sign_up, mailbox
):
    async with serve(codes_only) as api:
        await sign_up(api)
        asked = await api.post("/auth/password/reset/request", json={"email": EMAIL})
        await api.delivered()
        code = mailbox.last(EMAIL).code
        body = {"code": code, "new_password": NEW}
        bare = await api.post("/auth/password/reset/confirm", json=body)
        assert refusal(bare) == (400, "invalid_or_expired_token")
        without_id = await api.post("/auth/password/reset/confirm", json=body | {"identifier": EMAIL})
        assert refusal(without_id) == (400, "invalid_request")
        assert without_id.json()["param"] == "request_id"
        wrong = body | {"identifier": EMAIL, "request_id": "x" * 22}
        answer = await api.post("/auth/password/reset/confirm", json=wrong)
        assert refusal(answer) == (400, "invalid_or_expired_code")
        whole = body | {"email": EMAIL, "request_id": asked.json()["request_id"]}
        assert (await api.post("/auth/password/reset/confirm", json=whole)).status_code == 200
        assert (await log_in(api, EMAIL, NEW)).status_code == 200


async def test_a_refused_password_leaves_the_link_good(api, sign_up, mailbox):
    await sign_up(api)
    await api.post("/auth/password/reset/request", json={"identifier": EMAIL})
    await api.delivered()
    body = {"token": mailbox.last(EMAIL).token}
    for password, code in (("short", "password_too_short"), ("password123", "password_too_common")):
        answer = await api.post("/auth/password/reset/confirm-link", json=body | {"new_password": password})
        assert refusal(answer) == (400, code)
    answer = await api.post("/auth/password/reset/confirm-link", json=body | {"new_password": NEW})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/auth/password/reset/request", "/auth/phone/password/reset/request"])
async def test_a_number_gets_its_reset_by_sms(api, service, mailbox, path):
    user_id = await unverified_user(service, None, phone=PHONE)
    await service.pool.execute("update profiles.users set phone_verified = true")
    name = "identifier" if "phone" not in path else "phone_number"
    asked = await api.post(path, json={name: PHONE})
    assert asked.status_code == 202
    await api.delivered()
    body = {"phone_number": PHONE, "code": mailbox.last(PHONE).token, "new_password": NEW}
    other = await api.post("/auth/phone/password/reset/confirm", json=body | {"phone_number": "+15550100999"})
    assert refusal(other) == (400, "invalid_or_expired_token")
    done = await api.post("/auth/phone/password/reset/confirm", json=body)
    assert done.status_code == 200, done.text
    assert set(done.json()) == {"ok", "user_id", "message"}
    assert done.json()["user_id"] == user_id
    assert (await log_in(api, PHONE, NEW)).status_code == 200


async def test_a_number_gets_six_digits_where_texts_carry_no_links(codes_only, serve, mailbox):
    await unverified_user(codes_only, None, phone=PHONE)
    await codes_only.pool.execute("update profiles.users set phone_verified = true")
    async with serve(codes_only) as api:
        asked = await api.post("/auth/phone/password/reset/request", json={"phone_number": PHONE})
        await api.delivered()
        body = {"phone_number": PHONE, "code": mailbox.last(PHONE).code, "new_password": NEW}
        missing = await api.post("/auth/phone/password/reset/confirm", json=body)
        assert refusal(missing) == (400, "invalid_request")
        body["request_id"] = asked.json()["request_id"]
        assert (await api.post("/auth/phone/password/reset/confirm", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/auth/password/reset/request", {"identifier": "no@address@"}, "invalid_email"),
        ("/auth/password/reset/request", {"identifier": "+0"}, "invalid_phone_number"),
        ("/auth/password/reset/request", {}, "invalid_request"),
        ("/auth/phone/password/reset/request", {"phone_number": "12"}, "invalid_phone_number"),
        ("/auth/phone/password/reset/confirm", {"code": "1", "new_password": NEW}, "invalid_request"),
        (
            "/auth/password/reset/confirm",
            {"code": "nothing", "new_password": NEW},
            "invalid_or_expired_token",
        ),
        ("/auth/password/reset/confirm-link", {"token": "", "new_password": NEW}, "invalid_or_expired_token"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said(api, path, body, code):
    assert refusal(await api.post(path, json=body)) == (400, code)


async def test_a_reset_takes_the_user_name_that_a_login_takes(codes_only, serve, sign_up, mailbox):
    async with serve(codes_only) as api:
        await sign_up(api)
        asked = await api.post("/auth/password/reset/request", json={"identifier": "ada_l"})
        await api.delivered()
        body = {
            "identifier": "ada_l",
            "code": mailbox.last(EMAIL).code,
            "new_password": NEW,
            "request_id": asked.json()["request_id"],
        }
        assert (await api.post("/auth/password/reset/confirm", json=body)).status_code == 200
        assert (await log_in(api, "ada_l", NEW)).status_code == 200


async def test_other_clients_leave_the_owner_a_reset(make_service, serve, config, sign_up, mailbox):
    rates = {**config.rate_limits, "auth_pwd_reset_request": "6/10m"}
    service = await make_service(
        config=dataclasses.replace(config, rate_limits=rates, trusted_proxies=("127.0.0.1",))
    )
    async with serve(service) as api:
        await sign_up(api)
        for number in range(30):
            answer = await api.post(
                "/auth/password/reset/request",
                json={"identifier": EMAIL},
                headers={"x-forwarded-for": f"192.0.{number % 6}.1"},
            )
            assert answer.status_code == 202
        asked = await api.post(
            "/auth/password/reset/request",
            json={"identifier": EMAIL},
            headers={"x-forwarded-for": "203.0.113.9"},
        )
        assert asked.status_code == 202
        await api.delivered()
        body = {"token": mailbox.last(EMAIL).token, "new_password": NEW}
        assert (await api.post("/auth/password/reset/confirm-link", json=body)).status_code == 200


async def test_a_sender_that_is_missing_takes_its_operations_with_it(make_service, serve):
    async with serve(await make_service(sms_sender=None)) as api:
        gone = await api.post("/auth/phone/password/reset/request", json={"phone_number": PHONE})
        assert refusal(gone) == (404, "not_found")
        other = await api.post("/auth/password/reset/request", json={"identifier": PHONE})
        assert refusal(other) == (501, "sms_unavailable")
    async with serve(await make_service(sms_sender=None, email_sender=None)) as api:
        answer = await api.post("/auth/password/reset/request", json={"identifier": EMAIL})
        assert refusal(answer) == (404, "not_found")


async def test_no_user_gets_in_while_tries_cannot_be_counted(make_service, serve, down_store):
    async with serve(await make_service(ephemeral_store=down_store)) as api:
        for path, body in (
            ("/auth/password/reset/request", {"identifier": EMAIL}),
            ("/auth/password/reset/confirm-link", {"token": "t", "new_password": NEW}),
            ("/auth/email/verify/confirm", {"email": EMAIL, "code": "123456"}),
            ("/auth/2fa/verify", {"user_id": "x", "challenge": "c", "code": "123456"}),
        ):
            answer = await api.post(path, json=body)
            assert refusal(answer) == (503, "ephemeral_store_unavailable")
            assert int(answer.headers["retry-after"]) >= 1


async def test_attackers_cannot_use_up_the_tries_of_another_client(
    make_service, serve, config, sign_up, mailbox
):
    # Thirty addresses guess with ids of their own; the owner's browser comes from one of its own.
    rates = {**config.rate_limits, "auth_pwd_reset_confirm:account": "3/10m"}
    service = await make_service(config=dataclasses.replace(config, rate_limits=rates))
    async with serve(service) as api:
        await sign_up(api)
        await api.post("/auth/password/reset/request", json={"identifier": EMAIL})
        await api.delivered()
        guess = {"identifier": EMAIL, "code": "000000", "new_password": NEW}
        for number in range(30):
            guess["request_id"] = f"{number:022}"
            answer = await api.post("/auth/password/reset/confirm", json=guess)
            assert refusal(answer) == (400, "invalid_or_expired_code")
        body = {"token": mailbox.last(EMAIL).token, "new_password": NEW}
        assert (await api.post("/auth/password/reset/confirm-link", json=body)).status_code == 200


@pytest.mark.parametrize("asked_by", [EMAIL, "Ada_L"])
async def test_a_reset_lets_the_owner_in_whatever_others_have_tried(
    make_service, serve, sign_up, mailbox, asked_by
):
    rates = {"auth_password_login": "1000/1h", "auth_password_login:account": "60/1h"}
    service = await make_service(rate_limits=rates)
    async with serve(service) as api:
        await sign_up(api)
    async with serve(service) as api:  # a browser that the account does not know
        for _ in range(60):
            await log_in(api, asked_by, "a wrong password")
        assert refusal(await log_in(api, asked_by)) == (429, "rate_limited")
        await api.post("/auth/password/reset/request", json={"identifier": asked_by})
        await api.delivered()
        body = {"token": mailbox.last(EMAIL).token, "new_password": NEW}
        assert (await api.post("/auth/password/reset/confirm-link", json=body)).status_code == 200
        assert (await log_in(api, asked_by, NEW)).status_code == 200
