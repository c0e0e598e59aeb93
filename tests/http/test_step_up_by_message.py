"""Step-up in a session that a code to a contact opened: another code to that contact proves nothing more."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from fakes.calls import bearer, refusal
from fakes.factors import EMAIL, PHONE, add_app, app_code, let_codes_be_new, new_user, with_email_factor


@pytest.fixture
async def service(make_service):
    return await make_service(
        passwordless="both",
        code_cooldown=0.0,
        org_mode="multi",
        two_factor_required_roles=("admin",),
        new_device_notices=False,
    )


def claims(tokens: dict[str, Any]) -> dict[str, Any]:
    return jwt.decode(tokens["access_token"], options={"verify_signature": False})


async def enter(api, mailbox, contact: str = EMAIL):
    """Sign in with what the contact gets, its second factor included."""
    started = await api.post("/auth/passwordless/start", json={"identifier": contact})
    await api.delivered()
    body = {"flow_id": started.json()["flow_id"], "code": mailbox.last(contact).code}
    answer = await api.post("/auth/passwordless/confirm", json=body)
    if answer.status_code == 401:
        waiting = {name: answer.json()["metadata"][name] for name in ("user_id", "challenge")}
        code = mailbox.last(contact).code
        answer = await api.post("/auth/2fa/verify", json=waiting | {"code": code})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def step_up(api, tokens, **body):
    return await api.post("/auth/step-up/2fa", headers=bearer(tokens), json=body)


async def test_a_mailbox_alone_gets_no_role_and_no_organization_by_a_step_up(api, service, mailbox):
    user_id, _ = await with_email_factor(service, mailbox)
    await service.roles.assign(user_id, "admin")
    await service.orgs.create("acme", owner_user_id=user_id)
    await service.orgs.require_two_factor("acme", required=True, actor=user_id)
    tokens = await enter(api, mailbox)
    assert (await step_up(api, tokens)).json()["method"] == "email"
    stepped = await step_up(api, tokens, code=mailbox.last(EMAIL).code)
    assert claims(stepped.json())["amr"] == ["otp"]
    assert refusal(await api.get("/auth/admin/users", headers=bearer(stepped.json()))) == (403, "forbidden")
    org = await api.post("/auth/token/org", headers=bearer(stepped.json()), json={"org": "acme"})
    assert refusal(org) == (403, "two_factor_required_by_org")
    body = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert claims((await api.post("/auth/token", json=body)).json())["amr"] == ["otp"]


async def test_a_user_whose_mailbox_is_everything_can_still_add_a_factor(api, service, mailbox, age):
    await with_email_factor(service, mailbox)
    tokens = await enter(api, mailbox)
    begun = await api.post("/auth/user/2fa/totp/begin", headers=bearer(tokens))
    assert begun.status_code == 200
    await age("refresh_sessions", claims(tokens)["sid"], auth_time=901)
    again = await api.post("/auth/user/2fa/totp/begin", headers=bearer(tokens))
    assert refusal(again) == (403, "step_up_required")
    await step_up(api, tokens)
    stepped = (await step_up(api, tokens, code=mailbox.last(EMAIL).code)).json()
    secret = (await api.post("/auth/user/2fa/totp/begin", headers=bearer(stepped))).json()["secret"]
    body = {"code": app_code(secret, 0)}
    added = await api.post("/auth/user/2fa/totp/confirm", headers=bearer(stepped), json=body)
    assert added.status_code == 200
    # From now on there is another factor, which the session has not proved.
    assert refusal(await api.post("/auth/user/2fa/disable", headers=bearer(stepped))) == (
        403,
        "step_up_required",
    )


async def test_a_session_of_a_mailbox_from_before_the_factors_needs_the_other_one(api, service, mailbox):
    user_id = await new_user(service)
    tokens = await enter(api, mailbox)
    await service.two_factor.send_email_setup_code(user_id)
    code = mailbox.last(EMAIL).code
    added = await service.second_factors.add(user_id, "email", code=code)
    secret, _ = await add_app(service, user_id)
    asked = (await step_up(api, tokens)).json()
    assert (asked["method"], [one["kind"] for one in asked["methods"]]) == ("totp", ["totp"])
    by_mail = await step_up(api, tokens, factor_id=added.id)
    assert refusal(by_mail) == (409, "2fa_method_unavailable")
    await let_codes_be_new(service)
    stepped = await step_up(api, tokens, code=app_code(secret))
    assert claims(stepped.json())["amr"] == ["otp", "mfa"]


@pytest.mark.parametrize(("number", "amr"), [(PHONE, ["sms"]), ("+15550100299", ["sms", "mfa"])])
async def test_a_code_to_another_number_is_a_second_factor(api, service, mailbox, number, amr):
    user = await service.users.add(phone=PHONE, username="ada_l", verified=True)
    tokens = await enter(api, mailbox, PHONE)
    await service.two_factor.send_phone_setup_code(user.id, number)
    await service.second_factors.add(user.id, "sms", phone_number=number, code=mailbox.last(number).code)
    await step_up(api, tokens)
    stepped = await step_up(api, tokens, code=mailbox.last(number).code)
    assert claims(stepped.json())["amr"] == amr
