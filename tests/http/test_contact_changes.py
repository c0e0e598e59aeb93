"""Another email address or phone number for an account, over HTTP."""

from __future__ import annotations

import pytest

from fakes.calls import PASSWORD, bearer, is_live, log_in, me, refusal

OLD, NEW, NUMBER = "ada_l@example.test", "ada@new.example.test", "+4915112345678"
KINDS = [
    ("email", "new_email", NEW, "email"),
    ("phone", "phone_number", NUMBER, "phone_number"),
]
kinds = pytest.mark.parametrize(("kind", "member", "target", "column"), KINDS, ids=["email", "phone"])


def _rest(kind: str) -> dict[str, str]:
    """Return what a step names besides: a number is named every time, an address is not."""
    return {"phone_number": NUMBER} if kind == "phone" else {}


@kinds
async def test_the_new_contact_counts_once_its_code_comes_back(
    api, sign_up, mailbox, kind, member, target, column
):
    tokens = await sign_up(api)
    headers, path = bearer(tokens), f"/auth/user/{kind}/change"
    asked = await api.post(f"{path}/request", json={member: target, "password": PASSWORD}, headers=headers)
    assert asked.status_code == 202, asked.text
    assert set(asked.json()) == {"ok", "message"}
    before = await me(api, tokens)
    assert before[f"pending_{column}"] == target
    assert before[column] != target
    assert (await log_in(api, OLD)).status_code == 200
    wrong = await api.post(f"{path}/confirm", json=_rest(kind) | {"code": "000000"}, headers=headers)
    assert refusal(wrong) == (400, "invalid_or_expired_code")
    code = mailbox.last(target).code
    done = await api.post(f"{path}/confirm", json=_rest(kind) | {"code": code}, headers=headers)
    assert done.status_code == 200, done.text
    assert set(done.json()) == {"ok", "message"}
    after = await me(api, tokens)
    assert (after[column], after[f"{kind}_verified"], after[f"pending_{column}"]) == (target, True, None)
    assert (await log_in(api, target)).status_code == 200
    await api.delivered()
    assert mailbox.last(OLD).kind == f"{kind}_changed"


@kinds
async def test_a_wrong_password_is_no_reason_to_refresh_the_token(
    api, sign_up, mailbox, kind, member, target, column
):
    tokens = await sign_up(api)
    body = {member: target, "password": "not this one"}
    answer = await api.post(f"/auth/user/{kind}/change/request", json=body, headers=bearer(tokens))
    assert refusal(answer) == (403, "invalid_password")
    assert "www-authenticate" not in answer.headers
    assert mailbox.to(target) == []
    assert await is_live(api, tokens)


@kinds
async def test_a_fresh_proof_stands_for_the_password_and_an_old_one_does_not(
    api, sign_up, age, mailbox, kind, member, target, column
):
    tokens = await sign_up(api)
    session = (await me(api, tokens))["session_id"]
    await age("refresh_sessions", session, auth_time=1000)
    path = f"/auth/user/{kind}/change/request"
    stale = await api.post(path, json={member: target}, headers=bearer(tokens))
    assert refusal(stale) == (403, "step_up_required")
    assert stale.json()["metadata"]["methods"] == ["password"]
    assert mailbox.to(target) == []
    again = await api.post("/auth/step-up/password", json={"password": PASSWORD}, headers=bearer(tokens))
    assert again.status_code == 200
    fresh = await api.post(path, json={member: target}, headers=bearer(again.json()))
    assert fresh.status_code == 202


@kinds
async def test_a_change_can_be_sent_again_and_dropped(
    make_service, serve, sign_up, mailbox, kind, member, target, column
):
    async with serve(await make_service(code_cooldown=0)) as api:
        tokens = await sign_up(api)
        headers, path = bearer(tokens), f"/auth/user/{kind}/change"
        early = await api.post(f"{path}/resend", json=_rest(kind), headers=headers)
        assert refusal(early) == (400, f"no_pending_{kind}_change")
        await api.post(f"{path}/request", json={member: target, "password": PASSWORD}, headers=headers)
        sent = await api.post(f"{path}/resend", json=_rest(kind), headers=headers)
        assert sent.status_code == 202
        assert len(mailbox.to(target)) == 2
        assert (await api.delete(path, headers=headers)).json() == {"ok": True}
        body = _rest(kind) | {"code": mailbox.last(target).code}
        dead = await api.post(f"{path}/confirm", json=body, headers=headers)
        assert refusal(dead) == (400, "invalid_or_expired_code")
        assert (await me(api, tokens))[f"pending_{column}"] is None


@kinds
async def test_a_contact_of_somebody_else_or_ones_own_is_refused(
    api, sign_up, service, kind, member, target, column
):
    tokens = await sign_up(api)
    await service.users.add(email=NEW, phone=NUMBER, username="eve_1")
    path, headers = f"/auth/user/{kind}/change/request", bearer(tokens)
    taken = await api.post(path, json={member: target, "password": PASSWORD}, headers=headers)
    assert refusal(taken) == (400, f"{kind}_in_use")
    bad = await api.post(path, json={member: "nothing", "password": PASSWORD}, headers=headers)
    assert refusal(bad) == (400, "invalid_email" if kind == "email" else "invalid_phone_number")
    if kind == "email":
        own = await api.post(path, json={member: OLD.upper(), "password": PASSWORD}, headers=headers)
        assert refusal(own) == (400, "email_unchanged")


async def test_a_mail_that_cannot_be_sent_is_said_to_the_caller(api, sign_up, mailbox):
    tokens = await sign_up(api)
    mailbox.failure = OSError("mail system says no")
    body = {"new_email": NEW, "password": PASSWORD}
    answer = await api.post("/auth/user/email/change/request", json=body, headers=bearer(tokens))
    assert refusal(answer) == (502, "email_delivery_failed")


async def test_without_a_sender_there_is_no_asking(make_service, serve, sign_up):
    async with serve(await make_service(sms_sender=None)) as api:
        tokens = await sign_up(api)
        body = {"phone_number": NUMBER, "password": PASSWORD}
        answer = await api.post("/auth/user/phone/change/request", json=body, headers=bearer(tokens))
        assert refusal(answer) == (404, "not_found")


@pytest.mark.parametrize("step", ["request", "confirm", "resend"])
@pytest.mark.parametrize("kind", ["email", "phone"])
async def test_only_a_signed_in_user_changes_anything(api, kind, step):
    answer = await api.post(f"/auth/user/{kind}/change/{step}", json={})
    assert refusal(answer) == (401, "missing_token")


async def test_a_change_ends_other_sessions_where_that_is_configured(make_service, serve, sign_up, mailbox):
    async with serve(await make_service(contact_change_ends_sessions=True)) as api:
        tokens = await sign_up(api)
        other = (await log_in(api, OLD)).json()
        headers = bearer(tokens)
        body = {"new_email": NEW, "password": PASSWORD}
        await api.post("/auth/user/email/change/request", json=body, headers=headers)
        code = mailbox.last(NEW).code
        await api.post("/auth/user/email/change/confirm", json={"code": code}, headers=headers)
        assert (await is_live(api, tokens), await is_live(api, other)) == (True, False)
