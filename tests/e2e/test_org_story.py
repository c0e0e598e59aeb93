"""Organizations over sockets: founded, joined, used at an application that knows only the keys, and left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.deployment import AUDIENCE, ISSUER, Deployment, deployed
from fakes.ports import free_port
from fakes.protected import Application, protected

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=["memory", "redis"])
def issuer(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str, redis_url: str
) -> Iterator[Deployment]:
    with deployed(tmp_path, request.param, database_url, redis_url, AUTHKIT_ORG_MODE="multi") as deployment:
        yield deployment


@pytest.fixture
def application(issuer: Deployment) -> Iterator[Application]:
    keys = f"{issuer.servers[0].url}/.well-known/jwks.json"
    with protected(ISSUER, keys, AUDIENCE, free_port()) as running:
        yield running


def test_an_organization_from_its_foundation_to_a_member_who_leaves(
    issuer: Deployment, application: Application
) -> None:
    ada, bob, eve = (issuer.join(name) for name in ("ada_l", "bob_m", "eve_n"))
    acme = "/auth/orgs/acme"
    assert issuer.expect(201, "POST", "/auth/orgs", {"slug": "acme"}, token=ada.access)["org"] == "acme"
    issuer.expect(400, "POST", "/auth/orgs", {"slug": "acme"}, token=eve.access)
    issuer.expect(403, "GET", acme, token=bob.access)

    invite = issuer.expect(201, "POST", f"{acme}/invites", {"user_id": bob.id}, token=ada.access)
    accept = f"/auth/org-invites/{invite['id']}/accept"
    issuer.expect(403, "POST", accept, token=eve.access)
    issuer.expect(200, "POST", accept, token=bob.access)
    issuer.expect(409, "POST", accept, token=bob.access)
    members = issuer.expect(200, "GET", f"{acme}/members", token=ada.access)["members"]
    assert members == sorted([ada.id, bob.id])

    issuer.expect(403, "POST", f"{acme}/roles", {"role": "editor"}, token=bob.access)
    issuer.expect(200, "POST", f"{acme}/roles", {"role": "editor"}, token=ada.access)
    roles = f"{acme}/members/{bob.id}/roles"
    issuer.expect(200, "POST", roles, {"role": "editor"}, token=ada.access)
    assert "editor" in issuer.expect(200, "GET", roles, token=ada.access)["roles"]

    assert application.ask("/", bob.access)[1]["org"] is None
    assert application.ask("/owners", ada.access)[0] == 403
    issuer.refresh(ada, org="acme")
    issuer.refresh(bob, org="acme")
    assert application.ask("/owners", ada.access)[0] == 200
    assert application.ask("/owners", bob.access)[0] == 403
    status, told = application.ask("/", bob.access)
    assert (status, told["user"], told["org"]) == (200, bob.id, "acme")
    assert "editor" in told["org_roles"]
    issuer.expect_refused_refresh(eve.refresh, "not_org_member", org="acme")
    issuer.expect_refused_refresh(eve.refresh, "org_not_found", org="missing")

    issuer.expect(200, "DELETE", f"{acme}/members/{bob.id}", token=ada.access)
    issuer.expect(403, "GET", acme, token=bob.access)
    issuer.expect_refused_refresh(bob.refresh, "not_org_member", org="acme")
    issuer.refresh(bob)
    assert application.ask("/", bob.access)[1]["org"] is None
    issuer.expect(409, "DELETE", f"{acme}/members/{ada.id}", token=ada.access)


def test_an_invite_to_an_address_waits_for_its_owner_to_register(issuer: Deployment) -> None:
    ada = issuer.join("ada_l")
    issuer.expect(201, "POST", "/auth/orgs", {"slug": "acme"}, token=ada.access)
    invites = "/auth/orgs/acme/invites"
    body = {"email": "zoe_k@example.test"}
    issuer.expect(201, "POST", invites, body, token=ada.access)
    withdrawn = issuer.expect(201, "POST", invites, {"email": "eve_n@example.test"}, token=ada.access)
    issuer.expect(200, "POST", f"{invites}/{withdrawn['id']}/revoke", token=ada.access)

    zoe, eve = issuer.join("zoe_k"), issuer.join("eve_n")
    (waiting,) = issuer.expect(200, "GET", "/auth/org-invites?status=pending", token=zoe.access)["invites"]
    assert issuer.expect(200, "GET", "/auth/org-invites?status=pending", token=eve.access)["invites"] == []
    issuer.expect(409, "POST", f"/auth/org-invites/{withdrawn['id']}/accept", token=eve.access)
    issuer.expect(200, "POST", f"/auth/org-invites/{waiting['id']}/accept", token=zoe.access)
    issuer.expect(200, "DELETE", f"/auth/orgs/acme/members/{zoe.id}", token=zoe.access)
    issuer.expect(403, "GET", "/auth/orgs/acme", token=zoe.access)
