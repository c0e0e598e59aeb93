"""The end of a token, what one opens, where the endpoints are, and what a service offers."""

from __future__ import annotations

import base64
from urllib.parse import quote_plus

import pytest

from authkit_issuer.config import Config
from authkit_issuer.errors import ConfigError

CHECKER = {"checker": "a secret of the checker"}
BASIC = ("checker", "a secret of the checker")


def _bearer(tokens) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens['access_token']}"}


async def _refresh(api, token: str):
    return await api.post("/auth/token", json={"grant_type": "refresh_token", "refresh_token": token})


# --- revocation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_revoking_either_token_ends_the_session(api, sign_up, kind):
    tokens = await sign_up(api)
    answer = await api.post("/auth/revoke", json={"token": tokens[kind], "token_type_hint": "nonsense"})
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert (await api.get("/auth/user/me", headers=_bearer(tokens))).json()["error"] == "session_ended"
    assert (await _refresh(api, tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_an_old_refresh_token_ends_its_session_too(api, sign_up):
    old = (await sign_up(api))["refresh_token"]
    new = (await _refresh(api, old)).json()
    assert (await api.post("/auth/revoke", data={"token": old, "unknown": "1"})).status_code == 200
    assert (await _refresh(api, new["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_foreign_token_is_revoked_without_a_word(api, sign_up):
    tokens = await sign_up(api)
    forged = tokens["refresh_token"][:-4] + "AAAA"
    for token in ("akr_x", "x", "a.b.c", forged, tokens["access_token"][:-4] + "AAAA"):
        assert (await api.post("/auth/revoke", json={"token": token})).status_code == 200
    assert (await api.get("/auth/user/me", headers=_bearer(tokens))).status_code == 200


async def test_revoking_needs_a_token(api, assert_refusal):
    assert_refusal(await api.post("/auth/revoke", json={}), 400, "invalid_request", "token")


async def test_a_sign_out_by_token_stands_in_the_events(api, sign_up, service):
    tokens = await sign_up(api)
    await api.post("/auth/revoke", json={"token": tokens["refresh_token"]})
    user = await service.users.get_by_username("ada_l")
    (event,) = await service.events.list_session_events(user.id, "session_revoked")
    assert event.reason == "logout"


# --- introspection ----------------------------------------------------------------------------------------


@pytest.fixture
async def checked(make_service, serve):
    async with serve(await make_service(introspection_clients=CHECKER)) as api:
        yield api


async def _look(api, token: str, **options):
    return await api.post("/auth/introspect", data={"token": token}, **({"auth": BASIC} | options))


async def test_a_live_access_token_is_active_with_its_claims(checked, sign_up):
    tokens = await sign_up(checked)
    answer = await _look(checked, tokens["access_token"])
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert (body["active"], body["token_type"], body["username"]) == (True, "Bearer", "ada_l")
    assert (body["iss"], body["aud"], body["client_id"]) == ("https://issuer.example.test", "app", "app")
    assert body["exp"] > body["iat"]
    assert {"sub", "jti", "sid", "auth_time", "roles"} <= set(body)
    assert "email" not in body
    assert answer.headers["cache-control"] == "no-store"


async def test_a_refresh_token_is_inactive_for_a_resource_server_and_stays_as_it_is(checked, sign_up):
    """A server that took it as an access token would trust 30 days in place of 15 minutes."""
    tokens = await sign_up(checked)
    for hint in ({}, {"token_type_hint": "refresh_token"}):
        answer = await checked.post(
            "/auth/introspect", data={"token": tokens["refresh_token"], **hint}, auth=BASIC
        )
        assert (answer.status_code, answer.json()) == (200, {"active": False})
    assert (await _refresh(checked, tokens["refresh_token"])).status_code == 200


async def test_the_answer_has_the_roles_of_now(make_service, serve, sign_up):
    service = await make_service(introspection_clients=CHECKER)
    async with serve(service) as api:
        await sign_up(api)
        user = (await service.users.get_by_username("ada_l")).id
        second = await service.users.create("second@example.test", "second_s")
        await service.roles.assign(second.id, "admin")
        await service.roles.assign(user, "admin")
        session = await service.sessions.issue(user)
        token = (await service.sessions.exchange(session.refresh_token)).access_token
        sessionless = (await service.tokens.issue_access(user)).token
        for _ in range(2):
            for checked_token in (token, sessionless):
                roles = (await _look(api, checked_token)).json()["roles"]
                assert roles == await service.roles.list_for_user(user)
            await service.roles.remove(user, "admin")


async def test_a_token_of_an_organization_has_the_roles_of_now_and_is_inactive_without_membership(
    make_service, serve, sign_up
):
    service = await make_service(introspection_clients=CHECKER, org_mode="multi")
    async with serve(service) as api:
        await sign_up(api)
        user = (await service.users.get_by_username("ada_l")).id
        owner = await service.users.create("owner@example.test", "owner_o")
        org = await service.orgs.create("acme", owner_user_id=owner.id)
        await service.org_members.add("acme", user)
        await service.org_members.assign_role("acme", user, "owner")
        session = await service.sessions.issue(user)
        token = (await service.sessions.exchange(session.refresh_token, org="acme")).access_token
        sessionless = (await service.tokens.issue_org_access(user, "", "acme")).token

        async def seen() -> list[object]:
            found = [(await _look(api, given)).json() for given in (token, sessionless)]
            return [(body["active"], body.get("org"), body.get("roles")) for body in found]

        assert await seen() == [(True, "acme", ["owner"])] * 2
        await service.org_members.unassign_role("acme", user, "owner")
        assert await seen() == [(True, "acme", [])] * 2
        await service.orgs.rename(org.id, "acme-two")
        assert await seen() == [(True, "acme-two", [])] * 2
        await service.org_members.remove("acme", user)
        assert await seen() == [(False, None, None)] * 2


async def test_what_opens_nothing_any_more_is_inactive_and_nothing_else(checked, sign_up):
    tokens = await sign_up(checked)
    rotated = (await _refresh(checked, tokens["refresh_token"])).json()
    assert (await _look(checked, rotated["access_token"])).json()["active"] is True
    await checked.delete("/auth/logout", headers=_bearer(tokens))
    for token in (
        tokens["access_token"],
        rotated["access_token"],
        tokens["refresh_token"],
        rotated["refresh_token"],
        "akr_x",
        "x",
    ):
        answer = await _look(checked, token)
        assert (answer.status_code, answer.json()) == (200, {"active": False})


async def test_an_expired_access_token_is_inactive(checked, sign_up, clock):
    tokens = await sign_up(checked)
    clock.advance(1000)
    assert (await _look(checked, tokens["access_token"])).json() == {"active": False}


async def test_a_banned_users_token_is_inactive(make_service, serve, sign_up):
    service = await make_service(introspection_clients=CHECKER)
    async with serve(service) as api:
        tokens = await sign_up(api)
        user = await service.users.get_by_username("ada_l")
        await service.lifecycle.ban(user.id)
        for kind in ("access_token", "refresh_token"):
            assert (await _look(api, tokens[kind])).json() == {"active": False}


async def test_a_token_without_session_counts_while_its_user_does(make_service, serve, sign_up):
    service = await make_service(introspection_clients=CHECKER)
    async with serve(service) as api:
        await sign_up(api)
        user = await service.users.get_by_username("ada_l")
        token = (await service.tokens.issue_access(user.id)).token
        assert (await _look(api, token)).json()["active"] is True
        await service.lifecycle.ban(user.id)
        assert (await _look(api, token)).json() == {"active": False}


def _authorization(text: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        _authorization("checker:wrong"),
        _authorization("missing:a secret of the checker"),
        _authorization("checker"),
        _authorization(":"),
        _authorization(":a secret of the checker"),
        {"authorization": "Basic ====="},
        {"authorization": "Bearer a secret of the checker"},
    ],
)
async def test_an_attacker_learns_nothing(checked, sign_up, headers, assert_refusal):
    tokens = await sign_up(checked)
    answer = await _look(checked, tokens["access_token"], auth=None, headers=headers)
    assert_refusal(answer, 401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")


async def test_a_client_may_spell_its_secret_as_in_a_form_or_as_it_is(make_service, serve, sign_up):
    """RFC 6749 section 2.3.1 asks for the form; most clients do not know."""
    secret = "100% + a secret of the checker/"
    async with serve(await make_service(introspection_clients={"a checker": secret})) as api:
        tokens = await sign_up(api)
        for spelled in (f"a checker:{secret}", f"{quote_plus('a checker')}:{quote_plus(secret)}"):
            answer = await _look(api, tokens["access_token"], auth=None, headers=_authorization(spelled))
            assert answer.json()["active"] is True
        wrong = _authorization(f"a checker:{quote_plus(quote_plus(secret))}")
        assert (await _look(api, tokens["access_token"], auth=None, headers=wrong)).status_code == 401


async def test_a_client_may_send_its_secret_in_the_body(checked, sign_up, assert_refusal):
    """RFC 6749 section 2.3.1, ``client_secret_post``: some hosts know no other way."""
    tokens = await sign_up(checked)
    name, secret = BASIC
    given = {"token": tokens["access_token"], "client_id": name, "client_secret": secret}
    for sent in ({"data": given}, {"json": given}):
        answer = await checked.post("/auth/introspect", **sent)
        assert (answer.status_code, answer.json()["active"]) == (200, True)
    for wrong in (
        {"client_secret": "a secret of another checker"},
        {"client_secret": ""},
        {"client_id": "missing"},
        {"client_id": ""},
        {"client_id": "missing", "client_secret": ""},
    ):
        answer = await checked.post("/auth/introspect", data=given | wrong)
        assert_refusal(answer, 401, "invalid_client")


async def test_a_client_proves_itself_in_one_way_at_a_time(checked, sign_up, assert_refusal):
    """RFC 6749 section 2.3: which of two clients asked would be a matter of reading."""
    tokens = await sign_up(checked)
    name, secret = BASIC
    token = tokens["access_token"]
    twice = {"token": token, "client_secret": secret}
    answer = await checked.post("/auth/introspect", data=twice, auth=BASIC)
    assert_refusal(answer, 400, "invalid_request", "client_secret")
    wrong = {"token": token, "client_id": name, "client_secret": secret}
    answer = await checked.post("/auth/introspect", data=wrong, auth=(name, "a wrong one"))
    assert_refusal(answer, 401, "invalid_client")
    # An id alone proves nothing, and some clients send it beside the header.
    answer = await checked.post("/auth/introspect", data={"token": token, "client_id": name}, auth=BASIC)
    assert answer.json()["active"] is True


async def test_an_outage_is_no_answer(checked, sign_up, make_service, serve):
    tokens = await sign_up(checked)
    service = await make_service(introspection_clients=CHECKER, pool=None)
    async with serve(service) as api:
        await service.pool.close()
        answer = await _look(api, tokens["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (503, "database_unavailable")


async def test_without_clients_the_operation_is_absent(api):
    assert (await _look(api, "x")).status_code == 404


@pytest.mark.parametrize(
    "clients", [{"": "a long enough secret"}, {"a:b": "a long enough secret"}, {"a": "short"}]
)
def test_clients_are_configured_with_care(clients):
    with pytest.raises(ConfigError, match="introspection_clients"):
        Config(issuer="https://i.test", issued_audiences=("app",), introspection_clients=clients)


# --- the session of a token, and a token of an organization ------------------------------------------------


async def test_a_refresh_token_names_its_session_and_is_not_used_up(api, sign_up):
    tokens = await sign_up(api)
    body = {"refresh_token": tokens["refresh_token"]}
    found = [(await api.post("/auth/sessions/current", json=body)).json() for _ in range(2)]
    listed = (await api.get("/auth/user/sessions", headers=_bearer(tokens))).json()["data"]
    assert found == [{"session_id": listed[0]["session_id"]}] * 2


async def test_the_answer_about_a_token_does_not_show_that_it_was_replaced(api, sign_up):
    body = {"refresh_token": (await sign_up(api))["refresh_token"]}
    before = await api.post("/auth/sessions/current", json=body)
    newer = body["refresh_token"]
    for _ in range(5):
        newer = (await _refresh(api, newer)).json()["refresh_token"]
    after = await api.post("/auth/sessions/current", json=body)
    assert (after.status_code, after.json()) == (before.status_code, before.json()) == (200, before.json())


@pytest.mark.parametrize("path", ["/auth/token", "/auth/sessions/current"])
async def test_people_behind_one_address_are_counted_by_session_and_forgers_by_address(
    make_service, serve, sign_up, path
):
    bucket = {"/auth/token": "auth_token", "/auth/sessions/current": "auth_sessions_current"}[path]
    service = await make_service(rate_limits={bucket: "2/1h"})
    async with serve(service) as api:
        tokens = [(await sign_up(api, f"user_{n}"))["refresh_token"] for n in range(4)]
        more = {"grant_type": "refresh_token"} if path == "/auth/token" else {}

        async def status(token: str) -> int:
            body = {**more, "refresh_token": token}
            return (await api.post(path, **{"data" if more else "json": body})).status_code

        refused = 400 if more else 401
        assert [await status(token) for token in tokens] == [200] * 4
        assert [await status(tokens[0]) for _ in range(2)] == [200, 429]
        forged = tokens[1][:-4] + ("AAAA" if tokens[1][-4:] != "AAAA" else "BBBB")
        assert [await status(forged) for _ in range(3)] == [refused, refused, 429]
        # The forger used up the address, and no session.
        assert await status(tokens[2]) == 200


async def test_a_body_that_cannot_be_read_counts_its_address(make_service, serve):
    service = await make_service(rate_limits={"auth_token": "2/1h"})
    async with serve(service) as api:
        found = [(await api.post("/auth/token", content=b"{")).status_code for _ in range(3)]
    assert found[2] == 429
    assert 429 not in found[:2]


async def test_a_token_for_an_organization_has_its_roles_and_the_proof_of_the_session(
    make_service, serve, sign_up
):
    service = await make_service(org_mode="multi")
    async with serve(service) as api:
        tokens = await sign_up(api)
        answer = await api.post("/auth/token/org", json={"org": "ada-l"}, headers=_bearer(tokens))
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"access_token", "token_type", "expires_in"}
        claims = await service.tokens.verify(answer.json()["access_token"])
        before = await service.tokens.verify(tokens["access_token"])
        assert (claims.org, claims.org_roles, claims.roles) == ("ada-l", ("owner",), ())
        assert (claims.session_id, claims.auth_time) == (before.session_id, before.auth_time)
        unknown = await api.post("/auth/token/org", json={"org": "nobodys"}, headers=_bearer(tokens))
        assert (unknown.status_code, unknown.json()["error"]) == (404, "org_not_found")


async def test_a_token_for_an_organization_ends_with_its_session(make_service, serve, sign_up, clock):
    service = await make_service(org_mode="multi")
    async with serve(service) as api:
        tokens = await sign_up(api)
        ends = "update profiles.refresh_sessions set expires_at = to_timestamp($1)"
        await service.pool.execute(ends, clock() + 5)  # by the clock of the service, which does not move
        answer = await api.post("/auth/token/org", json={"org": "ada-l"}, headers=_bearer(tokens))
        assert answer.json()["expires_in"] <= 5


async def test_a_token_for_an_organization_ends_with_the_token_that_asks(make_service, serve, sign_up, clock):
    service = await make_service(org_mode="multi")
    async with serve(service) as api:
        tokens = await sign_up(api)
        end = (await service.tokens.verify(tokens["access_token"])).expires_at
        for _ in range(3):
            clock.advance(120)
            answer = await api.post("/auth/token/org", json={"org": "ada-l"}, headers=_bearer(tokens))
            tokens = answer.json()
            assert (await service.tokens.verify(tokens["access_token"])).expires_at <= end
        clock.advance(900)
        answer = await api.post("/auth/token/org", json={"org": "ada-l"}, headers=_bearer(tokens))
        assert (answer.status_code, answer.json()["error"]) == (401, "token_expired")


# --- discovery --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
)
async def test_the_metadata_says_what_exists_and_nothing_else(checked, path):
    answer = await checked.get(path)
    base = "https://issuer.example.test"
    assert answer.json() == {
        "issuer": base,
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "token_endpoint": f"{base}/auth/token",
        "revocation_endpoint": f"{base}/auth/revoke",
        "introspection_endpoint": f"{base}/auth/introspect",
        "response_types_supported": [],
        "grant_types_supported": ["refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }
    assert answer.headers["cache-control"] == "public, max-age=300"
    again = await checked.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_endpoints_stand_under_the_address_and_the_issuer_stays_itself(make_service, serve):
    service = await make_service(base_url="https://api.example/id/")
    async with serve(service) as api:
        body = (await api.get("/.well-known/openid-configuration")).json()
    assert body["issuer"] == "https://issuer.example.test"
    assert body["jwks_uri"] == "https://api.example/id/.well-known/jwks.json"
    assert not [name for name in body if name.startswith("introspection")]


async def test_without_an_address_there_is_no_metadata(make_service, serve):
    async with serve(await make_service(issuer="my-issuer")) as api:
        assert (await api.get("/.well-known/openid-configuration")).status_code == 404


async def test_capabilities_say_what_a_front_end_may_offer(make_service, serve):
    service = await make_service(
        org_mode="multi", sms_sender=None, introspection_clients=CHECKER, languages=("de",)
    )
    async with serve(service) as api:
        answer = await api.get("/auth/capabilities")
    body = answer.json()
    assert body["org_mode"] == "multi"
    assert body["registration"] == {"email": True, "phone": False}
    assert (body["password"], body["refresh_cookie"], body["introspection"]) == (True, False, True)
    assert (body["providers"], body["languages"]) == ([], ["de"])
    assert answer.headers["cache-control"] == "public, max-age=300"
