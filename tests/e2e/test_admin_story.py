"""Administration over sockets: the first administrator, a ban, its explanation, its end, a deletion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.deployment import PASSWORD, Deployment, deployed

pytestmark = pytest.mark.timeout(180)

USERS = "/auth/admin/users"


@pytest.fixture(params=["memory", "redis"])
def issuer(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str, redis_url: str
) -> Iterator[Deployment]:
    with deployed(tmp_path, request.param, database_url, redis_url) as deployment:
        yield deployment


def test_an_administrator_bans_explains_unbans_deletes_and_restores(issuer: Deployment) -> None:
    ada, bob = issuer.join("ada_l"), issuer.join("bob_m")
    issuer.expect(403, "GET", USERS, token=ada.access)
    issuer.command("users", "grant-role", "ada_l", "admin")
    listed = issuer.expect(200, "GET", USERS, token=ada.access)
    assert {user["id"] for user in listed["data"]} == {ada.id, bob.id}
    found = issuer.expect(200, "GET", f"{USERS}?search=bob", token=ada.access)
    assert [user["id"] for user in found["data"]] == [bob.id]
    issuer.expect(403, "GET", USERS, token=bob.access)

    banned = {"user_id": bob.id, "reason": "spam"}
    issuer.expect(200, "POST", f"{USERS}/ban", banned, token=ada.access)
    issuer.expect(401, "GET", "/auth/user/me", token=bob.access)
    answer = issuer.ask("POST", "/auth/token", {"grant_type": "refresh_token", "refresh_token": bob.refresh})
    assert answer.status_code == 400
    who = {"identifier": bob.email, "password": PASSWORD}
    issuer.expect(401, "POST", "/auth/password/login", who)
    explained = issuer.expect(200, "GET", f"{USERS}/{bob.id}/explain", token=ada.access)
    assert "ban" in str(explained).lower()
    issuer.expect(200, "POST", f"{USERS}/unban", {"user_id": bob.id}, token=ada.access)
    issuer.expect(401, "GET", "/auth/user/me", token=bob.access)
    issuer.log_in(bob)
    issuer.expect(200, "GET", "/auth/user/me", token=bob.access)

    issuer.expect(200, "DELETE", f"{USERS}/{bob.id}", token=ada.access)
    issuer.expect(401, "GET", "/auth/user/me", token=bob.access)
    issuer.expect(401, "POST", "/auth/password/login", who)
    gone = issuer.expect(200, "GET", f"{USERS}/deleted", token=ada.access)
    assert [user["id"] for user in gone["data"]] == [bob.id]
    issuer.expect(200, "POST", f"{USERS}/{bob.id}/restore", token=ada.access)
    issuer.log_in(bob)
    issuer.expect(200, "DELETE", f"{USERS}/{bob.id}?hard=true", token=ada.access)
    issuer.expect(404, "GET", f"{USERS}/{bob.id}", token=ada.access)


def test_administrators_make_administrators_and_the_last_one_stays(issuer: Deployment) -> None:
    ada, bob = issuer.join("ada_l"), issuer.join("bob_m")
    issuer.command("users", "grant-role", "ada_l", "admin")
    of_bob, of_ada = ({"user_id": person.id, "role": "admin"} for person in (bob, ada))
    roles = "/auth/admin/roles"
    issuer.expect(403, "POST", f"{roles}/grant", of_bob, token=bob.access)
    issuer.expect(200, "POST", f"{roles}/grant", of_bob, token=ada.access)
    issuer.expect(200, "POST", f"{roles}/revoke", of_ada, token=bob.access)
    issuer.expect(403, "GET", USERS, token=ada.access)
    issuer.expect(409, "POST", f"{roles}/revoke", of_bob, token=bob.access)
    issuer.expect(409, "POST", f"{USERS}/ban", {"user_id": bob.id}, token=bob.access)
    issuer.expect(409, "DELETE", f"{USERS}/{bob.id}", token=bob.access)
    ended = issuer.expect(200, "DELETE", f"{USERS}/{ada.id}/sessions", token=bob.access)
    assert ended["ended"] == 1
    issuer.expect_refused_refresh(ada.refresh, "invalid_refresh_token")
