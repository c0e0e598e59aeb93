"""What users see of their own account, and when a recent proof is asked for."""

from __future__ import annotations

import pytest

from authkit_issuer.ports import Client
from authkit_issuer.store.query import Statement
from fakes.work_counter import WorkCounter

_TWO_FACTOR = Statement(
    "insert into profiles.two_factor_settings (user_id, enabled, method) values ($1::uuid, true, 'email')"
)
_NO_PASSWORD = Statement("delete from profiles.user_passwords where user_id = $1::uuid")
PASSWORD = "correct horse battery"


@pytest.fixture
async def ada(api, sign_up):
    tokens = await sign_up(api)
    api.headers["authorization"] = f"Bearer {tokens['access_token']}"
    return tokens


async def _session(api) -> str:
    return (await api.get("/auth/user/sessions")).json()["data"][0]["session_id"]


# --- events -----------------------------------------------------------------------------------------------


async def test_events_are_the_callers_own_newest_first_and_come_in_pages(api, ada, sign_up):
    bob = await sign_up(api, "bob_b")
    for _ in range(2):
        await api.post("/auth/password/login", json={"identifier": "ada_l", "password": PASSWORD})
    whole = (await api.get("/auth/user/events")).json()
    assert whole["next"] is None
    assert [event["event"] for event in whole["data"]].count("session_created") == 3
    pages, before = [], ""
    while True:
        page = (await api.get("/auth/user/events", params={"limit": 2, "before": before})).json()
        pages += page["data"]
        before = page["next"]
        if before is None:
            break
    assert pages == whole["data"]
    assert len({event["id"] for event in pages}) == len(pages)
    his = await api.get("/auth/user/events", headers={"authorization": f"Bearer {bob['access_token']}"})
    assert not {event["id"] for event in his.json()["data"]} & {event["id"] for event in pages}


async def test_an_operators_address_is_not_told(api, ada, service):
    user = await service.users.get_by_username("ada_l")
    operator = await service.users.create("root@example.test", "root_r")
    await service.users.update_biography(
        user.id, "new", actor=operator.id, client=Client(ip="198.51.100.1", user_agent="operator")
    )
    events = (await api.get("/auth/user/events")).json()["data"]
    changed = next(event for event in events if event["event"] == "user_updated")
    created = next(event for event in events if event["event"] == "session_created")
    assert (changed["ip"], changed["ua"]) == (None, None)
    assert created["ip"] == "127.0.0.1"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "before=x", "before=1", "before=1.2.3", "before=" + "9" * 40]
)
async def test_an_odd_page_is_refused(api, ada, query):
    answer = await api.get(f"/auth/user/events?{query}")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_the_last_moment_there_is_can_be_asked_for(api, ada):
    answer = await api.get(f"/auth/user/events?before={'9' * 17}.{'9' * 18}")
    assert answer.status_code == 200


# --- providers --------------------------------------------------------------------------------------------


async def test_external_logins_are_listed_and_unlinked(api, ada, service):
    user = await service.users.get_by_username("ada_l")
    await service.providers.link_by_issuer(user.id, "https://accounts.google.com", "google", "g-1")
    (linked,) = (await api.get("/auth/user/providers")).json()["data"]
    assert (linked["provider_slug"], linked["subject"]) == ("google", "g-1")
    assert (await api.delete("/auth/user/providers/google")).json() == {"ok": True}
    again = await api.delete("/auth/user/providers/google")
    assert (again.status_code, again.json()["error"]) == (404, "provider_not_linked")


# --- bootstrap --------------------------------------------------------------------------------------------


async def test_the_own_account_takes_one_statement_and_two_calls_to_the_store(
    api, ada, service, monkeypatch
) -> None:
    work = WorkCounter(service, monkeypatch)
    async with work.foreground() as counted:
        assert (await api.get("/auth/user/me")).status_code == 200
    assert [kind for kind, _ in counted.queries] == ["fetch_one"]
    assert [step for step in counted.steps if step not in counted.queries] == [
        ("admit", "limit"),
        ("get_many", "2"),
    ]


async def test_bootstrap_says_who_one_is_without_organizations(api, ada):
    body = (await api.get("/auth/user/bootstrap")).json()
    assert (body["username"], body["personal_org"], body["orgs"]) == ("ada_l", None, [])


async def test_bootstrap_says_where_one_belongs(make_service, serve, sign_up):
    service = await make_service(org_mode="multi")
    async with serve(service) as api:
        tokens = await sign_up(api)
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        user = await service.users.get_by_username("ada_l")
        await service.users.update_username(user.id, "ada_m")
        body = (await api.get("/auth/user/bootstrap", headers=headers)).json()
    assert (body["username"], body["personal_org"]) == ("ada_m", "ada-m")
    (org,) = body["orgs"]
    assert (org["org"], org["roles"]) == ("ada-m", ["owner"])
    assert org["org_id"]
    assert body["personal_org_aliases"] == ["ada-l"]


# --- step-up ----------------------------------------------------------------------------------------------


async def test_what_is_sensitive_asks_for_a_recent_proof(api, ada, age, assert_refusal):
    await age("refresh_sessions", await _session(api), auth_time=901)
    answer = await api.delete("/auth/user")
    assert_refusal(answer, 403, "step_up_required")
    assert answer.json()["metadata"] == {"methods": ["password"], "max_age_seconds": 900}
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert "max_age" in challenge
    assert (await api.get("/auth/user/me")).status_code == 200


async def test_a_proof_opens_it_again(api, ada, age):
    await age("refresh_sessions", await _session(api), auth_time=901)
    wrong = await api.post("/auth/step-up/password", json={"password": "a wrong password"})
    assert (wrong.status_code, wrong.json()["error"]) == (403, "invalid_password")
    assert (await api.delete("/auth/user")).status_code == 403
    proved = await api.post("/auth/step-up/password", json={"password": PASSWORD})
    assert proved.status_code == 200, proved.text
    assert (await api.delete("/auth/user")).json() == {"ok": True}
    assert (await api.get("/auth/user/me")).status_code == 401


async def test_a_proof_that_is_recent_enough_by_the_setting_is_enough(make_service, serve, sign_up, age):
    service = await make_service(step_up_max_age=60)
    async with serve(service) as api:
        tokens = await sign_up(api)
        api.headers["authorization"] = f"Bearer {tokens['access_token']}"
        await age("refresh_sessions", await _session(api), auth_time=61)
        assert (await api.delete("/auth/user")).json()["metadata"]["max_age_seconds"] == 60


async def test_where_the_second_factor_is_on_it_must_have_been_given(api, ada, service, assert_refusal):
    user = await service.users.get_by_username("ada_l")
    await service.rt.execute(_TWO_FACTOR, user.id)
    answer = await api.delete("/auth/user")
    assert_refusal(answer, 403, "step_up_required")
    assert answer.json()["metadata"]["methods"] == ["2fa"]


async def test_an_account_without_password_sets_its_first_one_only_with_a_recent_proof(
    api, ada, service, age
):
    user = await service.users.get_by_username("ada_l")
    await service.rt.execute(_NO_PASSWORD, user.id)
    await age("refresh_sessions", await _session(api), auth_time=901)
    answer = await api.post("/auth/user/password", json={"new_password": "another horse battery"})
    assert (answer.status_code, answer.json()["error"]) == (403, "step_up_required")
