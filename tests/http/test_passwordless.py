"""Signing in by a message, without a password, over HTTP."""

from __future__ import annotations

import dataclasses

import jwt
import pytest

from fakes.calls import PASSWORD, assert_tokens, log_in, me, refusal
from fakes.factors import app_code
from fakes.users import PHONE

ADA = "ada@example.test"
HEADER = "__Host-authkit_passwordless"


@pytest.fixture
def config(config):
    return dataclasses.replace(config, passwordless="both", code_cooldown=0.0)


@pytest.fixture
async def api(service, serve):
    """A browser on https, which sends cookies that are ``Secure``."""
    async with serve(service, base_url="https://127.0.0.1:8000") as http:
        yield http


@pytest.fixture
async def ada(service) -> str:
    user = await service.users.add(email=ADA, phone=PHONE, username="ada_l", verified=True)
    return user.id


async def start(api, identifier=ADA, **more) -> str:
    answer = await api.post("/auth/passwordless/start", json={"identifier": identifier} | more)
    assert answer.status_code == 202, answer.text
    assert set(answer.json()) == {"flow_id", "expires_in"}
    await api.delivered()
    return answer.json()["flow_id"]


async def confirm(api, **body):
    return await api.post("/auth/passwordless/confirm", json=body)


def claims(tokens):
    return jwt.decode(tokens["access_token"], options={"verify_signature": False})


async def test_a_code_signs_in_once(api, ada, mailbox):
    flow = await start(api, f" {ADA.upper()} ")
    mail = mailbox.last(ADA)
    assert (mail.kind, len(mail.code), bool(mail.token)) == ("sign_in_link", 6, True)
    answer = await confirm(api, flow_id=flow, code=f"{mail.code[:3]} {mail.code[3:]}")
    tokens = assert_tokens(answer, "created")
    assert (tokens["created"], claims(tokens)["amr"]) == (False, ["otp"])
    assert (await me(api, tokens))["id"] == ada
    assert refusal(await confirm(api, flow_id=flow, code=mail.code)) == (400, "invalid_or_expired_code")
    api.cookies.clear()
    again = await confirm(api, flow_id=flow, token=mail.token)
    assert refusal(again) == (400, "invalid_or_expired_token")


@pytest.mark.parametrize(("member", "to"), [("email", ADA), ("phone_number", PHONE)])
async def test_a_contact_may_be_named_by_its_kind(api, ada, mailbox, member, to):
    assert (await api.post("/auth/passwordless/start", json={member: to})).status_code == 202
    await api.delivered()
    assert mailbox.last(to).code


async def test_a_number_gets_a_code_by_sms(api, ada, mailbox):
    flow = await start(api, PHONE)
    assert (mailbox.last(PHONE).kind, mailbox.last(PHONE).token) == ("login_code", "")
    tokens = assert_tokens(await confirm(api, flow_id=flow, code=mailbox.last(PHONE).code), "created")
    assert claims(tokens)["amr"] == ["sms"]


async def test_a_link_signs_in_the_browser_that_began(api, ada, mailbox):
    await start(api, return_to="/orders?page=2")
    token = mailbox.last(ADA).token
    answer = await confirm(api, token=token)
    tokens = assert_tokens(answer, "created", "return_to")
    assert tokens["return_to"] == "/orders?page=2"
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert not api.cookies.get(HEADER)
    assert refusal(await confirm(api, token=token)) == (400, "invalid_or_expired_token")


async def test_a_link_works_with_the_flow_id_that_the_app_kept(api, ada, mailbox):
    flow = await start(api)
    api.cookies.clear()
    assert_tokens(await confirm(api, token=mailbox.last(ADA).token, flow_id=flow), "created")


async def test_no_scanner_second_device_or_other_flow_uses_a_link_up(api, ada, mailbox):
    flow = await start(api)
    mail = mailbox.last(ADA)
    api.cookies.clear()
    other = await start(api, "other@example.test")
    for shown in ({}, {"flow_id": other}, {"flow_id": "x"}, {"flow_id": "\N{SNOWMAN}"}):
        answer = await confirm(api, token=mail.token, **shown)
        assert refusal(answer) == (403, "sign_in_began_elsewhere")
        assert "code of the same message" in answer.json()["error_description"]
    assert (await api.get("/auth/passwordless/confirm", params={"token": mail.token})).status_code == 405
    assert_tokens(await confirm(api, flow_id=flow, code=mail.code), "created")


async def test_the_cookie_of_a_flow_is_for_this_host_and_no_script(api, ada):
    answer = await api.post("/auth/passwordless/start", json={"identifier": ADA})
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == HEADER
    assert rest.startswith(answer.json()["flow_id"])
    assert rest.partition(";")[2].strip() == "Max-Age=600; Path=/; HttpOnly; SameSite=Lax; Secure"


async def test_a_page_of_another_origin_begins_no_flow_in_this_browser(api, ada, mailbox):
    foreign = {"origin": "https://attacker.example"}
    began = await api.post("/auth/passwordless/start", json={"identifier": ADA}, headers=foreign)
    assert (began.status_code, "set-cookie" in began.headers) == (202, False)
    await api.delivered()
    await start(api)
    mail = mailbox.last(ADA)
    answer = await api.post("/auth/passwordless/confirm", json={"token": mail.token}, headers=foreign)
    assert refusal(answer) == (403, "sign_in_began_elsewhere")
    text = {"content-type": "text/plain"}
    answer = await api.post(
        "/auth/passwordless/start", content=b'{"identifier": "a@b.example"}', headers=text
    )
    assert answer.status_code == 415


async def test_two_cookies_of_the_name_are_none(api, ada, mailbox):
    await start(api)
    api.cookies.clear()
    planted = {"cookie": f"{HEADER}=x; {HEADER}=y"}
    answer = await api.post(
        "/auth/passwordless/confirm", json={"token": mailbox.last(ADA).token}, headers=planted
    )
    assert refusal(answer) == (403, "sign_in_began_elsewhere")
    assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_another_message_ends_the_code_before(api, ada, mailbox):
    first = await start(api)
    old = mailbox.last(ADA)
    second = await start(api)
    new = mailbox.last(ADA)
    for flow, code in ((first, old.code), (second, old.code), (first, new.code)):
        if old.code != new.code:
            assert refusal(await confirm(api, flow_id=flow, code=code)) == (400, "invalid_or_expired_code")
    gone = await confirm(api, token=old.token, flow_id=first)
    assert refusal(gone) == (400, "invalid_or_expired_token")
    assert_tokens(await confirm(api, flow_id=second, code=new.code), "created")


async def test_five_wrong_codes_end_a_flow(api, ada, mailbox):
    flow = await start(api)
    for _ in range(5):
        assert refusal(await confirm(api, flow_id=flow, code="wrong")) == (400, "invalid_or_expired_code")
    right = mailbox.last(ADA).code
    assert refusal(await confirm(api, flow_id=flow, code=right)) == (400, "invalid_or_expired_code")


async def test_an_address_without_an_account_gets_nothing(api, ada, mailbox, service):
    flow = await start(api, "other@example.test")
    assert mailbox.to("other@example.test") == []
    assert refusal(await confirm(api, flow_id=flow, code="123456")) == (400, "invalid_or_expired_code")
    assert await service.users.get_by_email("other@example.test") is None


async def test_a_message_makes_an_account_where_that_is_on(make_service, serve, mailbox):
    service = await make_service(passwordless="code", passwordless_registration=True)
    async with serve(service) as api:
        flow = await start(api, "eve.new@example.test")
        assert (
            "set-cookie" not in (await api.post("/auth/passwordless/start", json={"identifier": ADA})).headers
        )
        assert await service.users.get_by_email("eve.new@example.test") is None
        mail = mailbox.last("eve.new@example.test")
        assert (mail.kind, mail.username, mail.token) == ("sign_in_code", "", "")
        tokens = assert_tokens(await confirm(api, flow_id=flow, code=mail.code), "created")
        account = await me(api, tokens)
        assert tokens["created"] is True
        assert (account["email_verified"], account["has_password"]) == (True, False)
        again = await start(api, "eve.new@example.test")
        code = mailbox.last("eve.new@example.test").code
        assert assert_tokens(await confirm(api, flow_id=again, code=code), "created")["created"] is False


async def test_a_new_account_gets_an_enrollment_token_where_policy_requires_a_second_factor(
    make_service, serve, mailbox
):
    service = await make_service(
        passwordless="code", passwordless_registration=True, two_factor_policy="required"
    )
    async with serve(service) as api:
        flow = await start(api, "eve@example.test", return_to="/orders")
        answer = await confirm(api, flow_id=flow, code=mailbox.last("eve@example.test").code)
        assert refusal(answer) == (401, "two_factor_enrollment_required")
        headers = {"authorization": f"Bearer {answer.json()['metadata']['enrollment_token']}"}
        begun = await api.post("/auth/user/2fa/totp/begin", headers=headers)
        added = await api.post(
            "/auth/user/2fa/totp/confirm", json={"code": app_code(begun.json()["secret"], 0)}, headers=headers
        )
        assert added.status_code == 200, added.text
        flow = await start(api, "eve@example.test", return_to="/orders")
        mails = [mail for mail in mailbox.to("eve@example.test") if mail.kind == "sign_in_code"]
        answer = await confirm(api, flow_id=flow, code=mails[-1].code)
        assert refusal(answer) == (401, "two_factor_required")
        waiting = answer.json()["metadata"]
        assert (waiting["method"], waiting["return_to"]) == ("totp", "/orders")
        proof = {"user_id": waiting["user_id"], "challenge": waiting["challenge"]}
        code = app_code(begun.json()["secret"])
        assert_tokens(await api.post("/auth/2fa/verify", json=proof | {"code": code}))


async def test_banned_and_deleted_users_are_refused_after_the_proof(api, ada, mailbox, service):
    await service.lifecycle.ban(ada, actor=None)
    flow = await start(api)
    answer = await confirm(api, flow_id=flow, code=mailbox.last(ADA).code)
    assert refusal(answer) == (401, "user_banned")
    await service.lifecycle.unban(ada, actor=None)
    await service.lifecycle.soft_delete(ada, actor=ada)
    flow = await start(api)
    answer = await confirm(api, flow_id=flow, code=mailbox.last(ADA).code)
    assert refusal(answer)[1] == "user_deleted"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"identifier": "ada_l"}, "invalid_identifier"),
        ({"identifier": "ada@"}, "invalid_email"),
        ({"identifier": "+49"}, "invalid_phone_number"),
        ({"identifier": ADA, "return_to": "https://attacker.example/"}, "invalid_request"),
        ({"identifier": ADA, "return_to": "//attacker.example/"}, "invalid_request"),
        ({"identifier": ADA, "return_to": "/\\attacker.example/"}, "invalid_request"),
        ({"identifier": ADA, "return_to": "javascript:alert(1)"}, "invalid_request"),
        ({"identifier": ADA, "redirect": "/"}, "invalid_request"),
        ({"identifier": ADA, "return_to": f"/{'x' * 1024}"}, "invalid_request"),
    ],
)
async def test_a_start_refuses_what_it_cannot_use(api, body, code):
    assert refusal(await api.post("/auth/passwordless/start", json=body)) == (400, code)


async def test_a_start_keeps_no_organization_that_cannot_be(make_service, serve, mailbox):
    service = await make_service(org_mode="multi")
    user = await service.users.add(email=ADA, username="ada_l", verified=True)
    await service.orgs.create("acme", owner_user_id=user.id)
    async with serve(service) as api:
        long = await api.post("/auth/passwordless/start", json={"identifier": ADA, "org": "a" * 60_000})
        assert refusal(long) == (400, "invalid_org_slug")
        flow = await start(api, org=" ACME ")
        tokens = assert_tokens(await confirm(api, flow_id=flow, code=mailbox.last(ADA).code), "created")
        assert claims(tokens)["org"] == "acme"
        flow = await start(api, org="unknown")
        answer = await confirm(api, flow_id=flow, code=mailbox.last(ADA).code)
        assert refusal(answer) == (404, "org_not_found")
        assert len(await service.sessions.list_for_user(user.id)) == 1


@pytest.mark.parametrize("body", [{}, {"code": "123456"}, {"flow_id": "x"}, {"code": "1", "token": "2"}])
async def test_a_confirmation_needs_a_code_with_its_flow_or_a_token(api, body):
    assert refusal(await confirm(api, **body)) == (400, "invalid_request")


async def test_off_means_not_there(make_service, serve):
    async with serve(await make_service(passwordless="off")) as api:
        assert (await api.post("/auth/passwordless/start", json={"identifier": ADA})).status_code == 404
        assert "passwordless" not in (await api.get("/auth/capabilities")).json()
        assert "/passwordless/" not in (await api.get("/openapi.json")).text


async def test_the_capabilities_say_what_is_on(make_service, serve, api):
    told = {"email": True, "phone": True, "links": True, "registration": False}
    assert (await api.get("/auth/capabilities")).json()["passwordless"] == told
    async with serve(await make_service(passwordless="link")) as links:
        told = {"email": True, "phone": False, "links": True, "registration": False}
        assert (await links.get("/auth/capabilities")).json()["passwordless"] == told
        refused = await links.post("/auth/passwordless/start", json={"identifier": PHONE})
        assert refusal(refused) == (501, "passwordless_not_configured")


async def test_a_password_may_be_left_out_where_a_message_signs_in(api, mailbox):
    body = {"identifier": "eve@example.test", "username": "eve_l"}
    answer = await api.post("/auth/register", json=body)
    assert answer.status_code == 202, answer.text
    await api.delivered()
    proof = {
        "email": "eve@example.test",
        "code": mailbox.last("eve@example.test").code,
        "registration_id": answer.json()["registration_id"],
    }
    assert_tokens(await api.post("/auth/email/verify/confirm", json=proof))
    flow = await start(api, "eve@example.test")
    assert_tokens(await confirm(api, flow_id=flow, code=mailbox.last("eve@example.test").code), "created")
    assert refusal(await log_in(api, "eve@example.test", PASSWORD)) == (401, "invalid_credentials")
