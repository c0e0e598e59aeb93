"""Passkeys over HTTP."""

from __future__ import annotations

import dataclasses

import pytest

from fakes import passkeys
from fakes.calls import assert_tokens, bearer, log_in, me, refusal
from fakes.passkeys import Authenticator, Credential


@pytest.fixture
def config(config):
    return dataclasses.replace(config, **passkeys.SETTINGS)


async def add(api, tokens, authenticator: Authenticator, **more) -> dict:
    begun = await api.post("/auth/passkeys/register/begin", headers=bearer(tokens))
    assert begun.status_code == 200, begun.text
    body = {"credential": authenticator.create(begun.json()["options"]), **more}
    answer = await api.post("/auth/passkeys/register/finish", json=body, headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def login(api, authenticator: Authenticator, *, body: dict | None = None, **lies):
    begun = await api.post("/auth/passkeys/login/begin")
    assert begun.status_code == 200, begun.text
    credential = authenticator.get(begun.json()["options"], **lies)
    return await api.post("/auth/passkeys/login/finish", json={"credential": credential, **(body or {})})


async def test_a_user_adds_a_passkey_signs_in_with_it_and_removes_it(api, sign_up):
    tokens, authenticator = await sign_up(api), Authenticator()
    added = await add(api, tokens, authenticator, name="Phone")
    assert (added["name"], added["suspended"]) == ("Phone", False)
    answer = await login(api, authenticator)
    assert "authkit_device=akd_" in answer.headers["set-cookie"]
    found = await me(api, assert_tokens(answer))
    assert found["amr"] == ["hwk", "user", "mfa"]
    listed = (await api.get("/auth/passkeys", headers=bearer(tokens))).json()
    assert [entry["id"] for entry in listed["data"]] == [added["id"]]
    assert listed["rp_id"] == passkeys.RP_ID
    assert listed["user_handle"] == passkeys.b64(authenticator.credentials[0].handle)
    assert listed["accepted_credential_ids"] == [added["credential_id"]]
    path = f"/auth/passkeys/{added['id']}"
    renamed = await api.patch(path, json={"name": "Old phone"}, headers=bearer(tokens))
    assert renamed.json()["name"] == "Old phone"
    assert (await api.post(f"{path}/confirm", headers=bearer(tokens))).json() == {"ok": True}
    assert (await api.delete(path, headers=bearer(tokens))).json() == {"ok": True}
    assert refusal(await login(api, authenticator)) == (401, "passkey_unknown")
    assert refusal(await api.delete(path, headers=bearer(tokens))) == (404, "passkey_not_found")


async def test_the_answer_to_an_unknown_credential_is_that_to_a_wrong_signature_but_for_the_code(
    api, sign_up
):
    tokens, authenticator = await sign_up(api), Authenticator()
    await add(api, tokens, authenticator)
    unknown = Credential(id=bytes(32), key=passkeys.new_key(), handle=bytes(64))
    answers = [
        await login(api, authenticator, credential=unknown),
        await login(api, authenticator, signed=b"x"),
    ]
    assert [refusal(answer) for answer in answers] == [(401, "passkey_unknown"), (401, "passkey_invalid")]
    bodies = [answer.json() for answer in answers]
    for body in bodies:
        del body["error"], body["request_id"]
    assert bodies[0] == bodies[1]
    headers = [
        {key: value for key, value in answer.headers.items() if key != "x-request-id"} for answer in answers
    ]
    assert headers[0].keys() == headers[1].keys()


async def test_an_identifier_has_no_effect_on_the_options(api, sign_up):
    tokens, authenticator = await sign_up(api), Authenticator()
    await add(api, tokens, authenticator)
    for identifier in ("ada_l@example.test", "unknown@example.test"):
        begun = await api.post("/auth/passkeys/login/begin", json={"identifier": identifier})
        assert begun.json()["options"]["allowCredentials"] == []


async def test_members_that_the_standard_does_not_know_are_ignored_and_others_are_not(api, sign_up):
    tokens, authenticator = await sign_up(api), Authenticator()
    await add(api, tokens, authenticator)
    begun = await api.post("/auth/passkeys/login/begin")
    credential = authenticator.get(begun.json()["options"])
    credential["new"] = {"x": 1}
    credential["response"]["new"] = [1]
    body = {"credential": credential, "new": 1}
    assert refusal(await api.post("/auth/passkeys/login/finish", json=body)) == (400, "invalid_request")
    del body["new"]
    assert_tokens(await api.post("/auth/passkeys/login/finish", json=body))


@pytest.mark.parametrize("missing", ["clientDataJSON", "authenticatorData", "signature"])
async def test_a_response_without_a_member_is_malformed(api, sign_up, missing):
    begun = await api.post("/auth/passkeys/login/begin")
    authenticator = Authenticator(credentials=[Credential(id=bytes(32), key=passkeys.new_key(), handle=b"x")])
    credential = authenticator.get(begun.json()["options"])
    del credential["response"][missing]
    answer = await api.post("/auth/passkeys/login/finish", json={"credential": credential})
    assert refusal(answer) == (400, "invalid_request")


async def test_adding_and_removing_need_a_recent_proof_which_a_passkey_is(api, sign_up, service, age):
    tokens, authenticator = await sign_up(api), Authenticator()
    added = await add(api, tokens, authenticator)
    session = (await me(api, tokens))["session_id"]
    await age("refresh_sessions", session, auth_time=7200)
    for answer in (
        await api.post("/auth/passkeys/register/begin", headers=bearer(tokens)),
        await api.delete(f"/auth/passkeys/{added['id']}", headers=bearer(tokens)),
    ):
        assert refusal(answer) == (403, "step_up_required")
        assert answer.json()["metadata"]["methods"] == ["passkey", "password"]
    begun = await api.post("/auth/step-up/passkey/begin", headers=bearer(tokens))
    proof = {"credential": authenticator.get(begun.json()["options"])}
    stepped = await api.post("/auth/step-up/passkey/finish", json=proof, headers=bearer(tokens))
    assert stepped.status_code == 200, stepped.text
    assert set(stepped.json()) == {"access_token", "token_type", "expires_in"}
    assert (await api.delete(f"/auth/passkeys/{added['id']}", headers=bearer(tokens))).status_code == 200
    again = await api.post("/auth/step-up/passkey/finish", json=proof, headers=bearer(tokens))
    assert refusal(again) == (403, "passkey_challenge_expired")


async def test_a_conditional_registration_names_its_mediation(api, sign_up):
    tokens = await sign_up(api)
    body = {"conditional": True}
    begun = await api.post("/auth/passkeys/register/begin", json=body, headers=bearer(tokens))
    assert begun.json()["mediation"] == "conditional"


async def test_an_administrator_sees_and_removes_the_passkeys_of_a_user(api, sign_up, service):
    tokens, root, authenticator = await sign_up(api), await sign_up(api, "root_r"), Authenticator()
    added = await add(api, tokens, authenticator)
    await service.roles.assign((await me(api, root))["id"], "admin", actor="test")
    path = f"/auth/admin/users/{(await me(api, tokens))['id']}/passkeys"
    assert [entry["id"] for entry in (await api.get(path, headers=bearer(root))).json()["data"]] == [
        added["id"]
    ]
    assert refusal(await api.get(path, headers=bearer(tokens))) == (403, "forbidden")
    assert (await api.delete(f"{path}/{added['id']}", headers=bearer(root))).status_code == 200
    (event,) = await service.events.list_session_events("", "passkey_removed")
    assert event.actor == (await me(api, root))["id"]
    assert refusal(await login(api, authenticator)) == (401, "passkey_unknown")


async def test_a_sign_in_names_an_organization(make_service, serve, sign_up, config):
    service = await make_service(config=config, org_mode="multi")
    async with serve(service) as api:
        tokens, authenticator = await sign_up(api), Authenticator()
        await add(api, tokens, authenticator)
        await api.post("/auth/orgs", json={"slug": "acme"}, headers=bearer(tokens))
        answer = await login(api, authenticator, body={"org": "acme"})
        claims = await service.tokens.verify(assert_tokens(answer)["access_token"])
        assert claims.raw["org"] == "acme"
        assert refusal(await login(api, authenticator, body={"org": "other"}))[1] in {
            "org_not_found",
            "not_org_member",
        }


async def test_related_origins_are_served_where_there_are_any(make_service, serve, config):
    related = ("https://example.de", "https://example.fr")
    async with serve(await make_service(config=config, webauthn_related_origins=related)) as api:
        answer = await api.get("/.well-known/webauthn")
        assert answer.json() == {"origins": list(related)}
        assert answer.headers["content-type"] == "application/json"
    async with serve(await make_service(config=config)) as api:
        assert (await api.get("/.well-known/webauthn")).status_code == 404


async def test_without_the_setting_nothing_of_passkeys_is_served(make_service, serve):
    async with serve(await make_service(webauthn_rp_id=None, webauthn_origins=())) as api:
        assert (await api.post("/auth/passkeys/login/begin")).status_code == 404
        assert (await api.get("/auth/capabilities")).json()["passkeys"] is False
        paths = (await api.get("/openapi.json")).json()["paths"]
        assert not [path for path in paths if "passkey" in path]


async def test_the_capabilities_name_passkeys(api):
    assert (await api.get("/auth/capabilities")).json()["passkeys"] is True


async def test_wrong_responses_are_limited_and_right_ones_are_not(make_service, serve, sign_up, config):
    service = await make_service(config=config, rate_limits={"auth_passkey_login": "3/10m"})
    async with serve(service) as api:
        tokens, authenticator = await sign_up(api), Authenticator()
        await add(api, tokens, authenticator)
        for _ in range(5):
            assert (await login(api, authenticator)).status_code == 200
        codes = [(await login(api, authenticator, signed=b"x")).status_code for _ in range(5)]
        assert codes == [401, 401, 401, 429, 429]
        assert (await log_in(api, "ada_l")).status_code == 200
