"""Recovery over HTTP: the way of a user who lost every factor, and what is served where."""

from __future__ import annotations

import dataclasses

import pytest

from fakes.factors import EMAIL, PASSWORD, with_app
from fakes.recovery import DELAY, wait_out

PUBLIC = ("/auth/recovery/start", "/auth/recovery/complete", "/auth/recovery/cancel")
LOGIN = {"identifier": EMAIL, "password": PASSWORD}


@pytest.fixture
def config(config):
    return dataclasses.replace(config, recovery_delay=DELAY)


@pytest.fixture
async def ada(service):
    return (await with_app(service, EMAIL, password=PASSWORD))[0]


async def _waiting(api):
    answer = await api.post("/auth/password/login", json=LOGIN)
    assert answer.json()["error"] == "two_factor_required", answer.text
    told = answer.json()["metadata"]
    return {"user_id": told["user_id"], "challenge": told["challenge"]}


async def _session(service, user_id):
    session = (await service.sessions.issue(user_id, method="test")).session_id
    token = await service.tokens.issue_access(user_id, session_id=session)
    return {"authorization": f"Bearer {token.token}"}


async def test_a_user_who_lost_every_factor_gets_back_in_after_the_wait(api, service, ada):
    assert (await api.get("/auth/capabilities")).json()["recovery"] is True
    begun = await api.post("/auth/recovery/start", json=await _waiting(api))
    assert begun.status_code == 200, begun.text
    assert begun.json()["ready"] is False
    early = await api.post("/auth/recovery/complete", json=await _waiting(api))
    assert (early.status_code, early.json()["error"]) == (409, "recovery_not_ready")
    assert early.json()["metadata"]["completes_at"][:19] == begun.json()["completes_at"][:19]
    await wait_out(service)
    signed_in = await _waiting(api)
    assert (await api.post("/auth/recovery/start", json=signed_in)).json()["ready"] is True
    done = await api.post("/auth/recovery/complete", json=signed_in)
    assert done.status_code == 200, done.text
    bearer = {"authorization": f"Bearer {done.json()['access_token']}"}
    assert (await api.get("/auth/user/2fa", headers=bearer)).json()["enabled"] is False
    assert (await api.get("/auth/user/recovery", headers=bearer)).json() == {"recovery": None}
    again = await api.post("/auth/recovery/complete", json=signed_in)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_challenge")


async def test_the_owner_sees_it_in_a_live_session_and_cancels_it(api, service, ada):
    bearer = await _session(service, ada)
    begun = await api.post("/auth/recovery/start", json=await _waiting(api))
    shown = await api.get("/auth/user/recovery", headers=bearer)
    assert shown.json()["recovery"] == begun.json()
    cancelled = await api.delete("/auth/user/recovery", headers=bearer)
    assert (cancelled.status_code, cancelled.json()) == (200, {"ok": True})
    assert (await api.delete("/auth/user/recovery", headers=bearer)).status_code == 200
    assert (await api.get("/auth/user/recovery", headers=bearer)).json() == {"recovery": None}
    again = await api.post("/auth/recovery/start", json=await _waiting(api))
    assert (again.status_code, again.json()["error"]) == (429, "too_many_requests")
    assert int(again.headers["retry-after"]) > 86_000


async def test_the_token_of_a_notice_cancels_by_post_alone(api, service, mailbox, ada, assert_refusal):
    await api.post("/auth/recovery/start", json=await _waiting(api))
    await api.delivered()
    token = mailbox.last(EMAIL).token
    for method in ("GET", "HEAD"):
        answer = await api.request(method, f"/auth/recovery/cancel?token={token}")
        assert answer.status_code == 405
    assert await service.recovery.get(ada) is not None
    assert_refusal(
        await api.post("/auth/recovery/cancel", json={"token": "x" * 43}), 400, "invalid_or_expired_token"
    )
    for _ in range(2):
        assert (await api.post("/auth/recovery/cancel", json={"token": token})).status_code == 200
    assert await service.recovery.get(ada) is None


async def test_a_token_of_a_notice_is_no_access_token(api, service, mailbox, ada):
    await api.post("/auth/recovery/start", json=await _waiting(api))
    await api.delivered()
    bearer = {"authorization": f"Bearer {mailbox.last(EMAIL).token}"}
    for method, path in (("GET", "/auth/user/me"), ("DELETE", "/auth/user/recovery")):
        assert (await api.request(method, path, headers=bearer)).status_code == 401
    assert await service.recovery.get(ada) is not None


async def test_a_cancellation_works_while_the_store_is_down(api, service, mailbox, ada, down_store):
    await api.post("/auth/recovery/start", json=await _waiting(api))
    await api.delivered()
    object.__setattr__(service.rt, "ephemeral", down_store)
    token = mailbox.last(EMAIL).token
    assert (await api.post("/auth/recovery/cancel", json={"token": token})).status_code == 200


async def test_after_the_wait_a_policy_opens_the_way_to_a_new_factor_and_no_session(
    make_service, serve, mailbox
):
    service = await make_service(recovery_delay=DELAY, two_factor_policy="required")
    user_id, _, _ = await with_app(service, EMAIL, password=PASSWORD)
    async with serve(service) as api:
        await api.post("/auth/recovery/start", json=await _waiting(api))
        await wait_out(service)
        done = await api.post("/auth/recovery/complete", json=await _waiting(api))
        assert (done.status_code, done.json()["error"]) == (401, "two_factor_enrollment_required")
        bearer = {"authorization": f"Bearer {done.json()['metadata']['enrollment_token']}"}
        assert (await api.post("/auth/user/2fa/totp/begin", headers=bearer)).status_code == 200
    assert await service.sessions.list_for_user(user_id) == []


async def test_without_a_delay_nothing_of_it_is_served(make_service, serve, mailbox):
    service = await make_service(recovery_delay=None)
    user_id, _, _ = await with_app(service, EMAIL, password=PASSWORD)
    async with serve(service) as api:
        assert (await api.get("/auth/capabilities")).json()["recovery"] is False
        waiting = await _waiting(api)
        for path in PUBLIC:
            answer = await api.post(path, json={**waiting, "token": "x"})
            assert (answer.status_code, answer.json()["error"]) == (404, "not_found"), path
        bearer = await _session(service, user_id)
        assert (await api.get("/auth/user/recovery", headers=bearer)).status_code == 404
        assert not [path for path in (await api.get("/openapi.json")).json()["paths"] if "recovery" in path]
