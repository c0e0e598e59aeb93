"""Verifications over HTTP: an access token or the password shows whose account it is."""

from __future__ import annotations

import pytest

from fakes.calls import PASSWORD, bearer, is_live, log_in, refusal

EMAIL = "ada@example.test"
LINK = "/auth/email/verify/confirm-link"


@pytest.fixture
async def service(make_service):
    return await make_service(verification_required=False, link_base_url="https://app.example.test")


@pytest.fixture
async def tokens(api, service) -> dict[str, str]:
    user = await service.users.create(EMAIL, "mallory")
    await service.passwords.store_hash(user.id, await service.passwords.hash(PASSWORD))
    return (await log_in(api, "mallory")).json()


async def asked(api, mailbox, **more) -> tuple[str, str, str]:
    answer = await api.post("/auth/email/verify/request", json={"email": EMAIL}, **more)
    await api.delivered()
    return answer.json()["request_id"], mailbox.last(EMAIL).token, mailbox.last(EMAIL).code


async def test_a_link_needs_the_session_or_the_password_of_an_account_in_use(api, tokens, mailbox):
    _, token, _ = await asked(api, mailbox, headers=bearer(tokens))
    answer = await api.post(LINK, json={"token": token})
    assert refusal(answer) == (403, "account_proof_required")
    assert answer.json()["metadata"] == {"username": "mallory"}
    # A token that is not good counts as none.
    bad = await api.post(LINK, json={"token": token}, headers={"authorization": "Bearer nothing"})
    assert refusal(bad) == (403, "account_proof_required")
    assert (await api.post(LINK, json={"token": token}, headers=bearer(tokens))).status_code == 200


async def test_the_password_serves_in_place_of_a_session(api, tokens, mailbox):
    _, token, _ = await asked(api, mailbox)
    assert (await api.post(LINK, json={"token": token, "password": PASSWORD})).status_code == 200


async def test_a_code_is_the_users_if_the_request_or_the_answer_is_made_in_a_session(api, tokens, mailbox):
    request_id, _, code = await asked(api, mailbox)
    body = {"email": EMAIL, "code": code, "request_id": request_id}
    path = "/auth/email/verify/confirm"
    assert refusal(await api.post(path, json=body)) == (403, "account_proof_required")
    assert (await api.post(path, json=body, headers=bearer(tokens))).json() == {"ok": True}


async def test_this_account_is_not_mine_ends_its_sessions(api, tokens, mailbox):
    _, token, _ = await asked(api, mailbox)
    denied = await api.post("/auth/email/verify/not-mine", json={"token": token})
    assert (denied.status_code, denied.json()) == (200, {"ok": True})
    assert not await is_live(api, tokens)
    again = await api.post("/auth/email/verify/not-mine", json={"token": token})
    assert refusal(again) == (400, "invalid_or_expired_token")


async def test_the_account_does_not_show_from_where_the_owner_of_the_address_answered(
    api, tokens, mailbox, service
):
    _, token, _ = await asked(api, mailbox, headers=bearer(tokens))
    browser = {"user-agent": "browser of the owner of the address"}
    await api.post("/auth/email/verify/not-mine", json={"token": token}, headers=browser)
    attacker = (await log_in(api, "mallory")).json()
    for path in ("/auth/user/events", "/auth/user/export"):
        assert "contact_denied" in (seen := (await api.get(path, headers=bearer(attacker))).text)
        assert browser["user-agent"] not in seen
    (event,) = await service.events.list_session_events("", "contact_denied")
    assert (event.user_agent, event.actor) == (browser["user-agent"], "contact_owner")
