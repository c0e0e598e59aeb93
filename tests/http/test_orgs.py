"""Organizations over HTTP: who may do what, and the refusals of all others."""

from __future__ import annotations

import pytest

from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.operations import with_orgs
from fakes.users import finish_background


class Member:
    """Somebody who is signed in."""

    def __init__(self, api, tokens, user_id: str) -> None:
        self._api, self.id = api, user_id
        self._headers = {"authorization": f"Bearer {tokens['access_token']}"}

    async def ask(self, method: str, path: str, body=None):
        content = {} if body is None else {"json": body}
        return await self._api.request(method, path, headers=self._headers, **content)

    async def get(self, path: str):
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body=None, status: int = 200):
        answer = await self.ask("POST", path, body)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def service(make_service):
    return await make_service(org_mode="multi")


@pytest.fixture
async def people(service, serve, sign_up):
    """Ada owns ``acme``; Bob is a member there; Eve is not a member."""
    async with serve(service) as api:
        found = []
        for name in ("ada_l", "bob_b", "eve_e"):
            tokens = await sign_up(api, name)
            found.append(Member(api, tokens, (await service.users.get_by_username(name)).id))
        ada, bob, _ = found
        await ada.post("/auth/orgs", {"slug": "acme"}, 201)
        await service.org_members.add("acme", bob.id)
        yield found


def _told(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


async def test_a_founder_owns_what_was_founded(people):
    ada, bob, _ = people
    acme, personal = (await ada.get("/auth/orgs"))["orgs"]
    assert (acme["org"], acme["roles"]) == ("acme", ["owner"])
    assert (personal["org"], personal["roles"]) == ("ada-l", ["owner"])
    assert (await ada.get("/auth/orgs/acme"))["org_id"] == acme["org_id"] != personal["org_id"]
    assert await ada.get("/auth/orgs/acme/members") == {"members": sorted([ada.id, bob.id]), "next": None}
    assert await ada.get("/auth/orgs/acme/roles") == {"roles": ["member", "owner"]}
    assert _told(await bob.ask("POST", "/auth/orgs", {"slug": "acme"})) == (400, "owner_slug_taken")


ORGS = [operation for operation in OPERATIONS if operation.org is not None]


def _path(operation, user_id: str) -> str:
    path = operation.path.replace("{org}", "acme").replace("{user_id}", user_id)
    return path.replace("{role}", "member").replace("{invite_id}", user_id)


@pytest.mark.parametrize("operation", ORGS, ids=lambda o: f"{o.method} {o.path}")
async def test_an_attacker_and_a_plain_member_get_no_further_than_they_may(operation, people):
    ada, bob, eve = people
    path = _path(operation, ada.id)
    assert _told(await eve.ask(operation.method, path)) == (403, "not_org_member")
    if operation.org in {"any_member", "member"}:
        assert (await bob.ask(operation.method, path)).status_code == 200
    else:
        assert _told(await bob.ask(operation.method, path)) == (403, "forbidden")
    unknown = path.replace("acme", "nobodys")
    assert _told(await ada.ask(operation.method, unknown)) == (404, "org_not_found")
    odd = path.replace("acme", "-odd-")
    assert _told(await ada.ask(operation.method, odd)) == (400, "invalid_org_slug")


async def test_an_owner_without_the_required_second_factor_does_nothing_but_leave(people, service):
    ada, *_ = people
    await service.orgs.require_two_factor("acme", required=True, actor=ada.id)
    for operation in ORGS:
        answer = await ada.ask(operation.method, _path(operation, "00000000-0000-4000-8000-000000000000"))
        if operation.org == "any_member":
            assert answer.status_code == 200, operation
        else:
            assert _told(answer) == (403, "two_factor_required_by_org"), operation
    assert (await ada.get(f"/auth/orgs/acme/members/{ada.id}/roles")) == {"roles": ["owner"]}
    leaving = await ada.ask("DELETE", f"/auth/orgs/acme/members/{ada.id}")
    assert _told(leaving) == (409, "cannot_remove_last_owner")
    assert await service.orgs.requires_two_factor("acme")


async def test_a_name_is_changed_and_the_former_one_keeps_leading_there(people):
    ada, bob, _ = people
    before = await ada.get("/auth/orgs/acme")
    after = await ada.post("/auth/orgs/acme/rename", {"new_slug": " Acme-2 "})
    assert after == await bob.get("/auth/orgs/acme") == before | {"org": "acme-2"}
    locked = await ada.ask("POST", "/auth/orgs/ada-l/rename", {"new_slug": "mine"})
    assert _told(locked) == (409, "personal_org_locked")


async def test_roles_are_defined_given_taken_and_deleted(people):
    ada, bob, _ = people
    roles = f"/auth/orgs/acme/members/{bob.id}/roles"
    assert _told(await ada.ask("POST", roles, {"role": "editor"})) == (404, "org_role_not_found")
    await ada.post("/auth/orgs/acme/roles", {"role": "editor"})
    await ada.post(roles, {"role": "editor"})
    assert await ada.get(roles) == {"roles": ["editor"]}
    assert (await ada.ask("DELETE", roles, {"role": "editor"})).status_code == 200
    assert _told(await ada.ask("DELETE", f"{roles}/editor")) == (404, "member_not_found")
    assert (await ada.ask("DELETE", "/auth/orgs/acme/roles/editor")).status_code == 200
    assert _told(await ada.ask("DELETE", "/auth/orgs/acme/roles", {"role": "editor"})) == (
        404,
        "org_role_not_found",
    )
    assert _told(await ada.ask("DELETE", "/auth/orgs/acme/roles/owner")) == (409, "protected_org_role")


async def test_the_trail_names_who_changed_the_roles(people, service):
    ada, _, _ = people
    await ada.post("/auth/orgs/acme/roles", {"role": "editor"})
    await ada.post("/auth/orgs/acme/roles", {"role": "writer"})
    assert (await ada.ask("DELETE", "/auth/orgs/acme/roles/editor")).status_code == 200
    assert (await ada.ask("DELETE", "/auth/orgs/acme/roles", {"role": "writer"})).status_code == 200
    trail = await service.events.list_session_events("", "org_role_defined", "org_role_deleted")
    assert [event.actor for event in trail] == [ada.id] * 4


async def test_the_last_owner_stays_and_a_member_may_leave(people):
    ada, bob, _ = people
    assert _told(await ada.ask("DELETE", f"/auth/orgs/acme/members/{ada.id}")) == (
        409,
        "cannot_remove_last_owner",
    )
    assert _told(await bob.ask("DELETE", f"/auth/orgs/acme/members/{ada.id}")) == (403, "forbidden")
    assert (await bob.ask("DELETE", f"/auth/orgs/acme/members/{bob.id}")).status_code == 200
    assert _told(await bob.ask("GET", "/auth/orgs/acme")) == (403, "not_org_member")
    assert _told(await ada.ask("DELETE", "/auth/orgs/acme/members", {"user_id": bob.id})) == (
        404,
        "member_not_found",
    )


async def test_an_owner_who_lost_the_role_is_not_an_owner_at_the_next_request(people):
    ada, bob, _ = people
    await ada.post(f"/auth/orgs/acme/members/{bob.id}/roles", {"role": "owner"})
    assert (await bob.ask("DELETE", f"/auth/orgs/acme/members/{ada.id}/roles/owner")).status_code == 200
    assert _told(await ada.ask("GET", "/auth/orgs/acme/invites")) == (403, "forbidden")


async def test_an_account_is_invited_and_accepts_once(people):
    ada, bob, eve = people
    invite = await ada.post("/auth/orgs/acme/invites", {"user_id": eve.id}, 201)
    assert (invite["org"], invite["user_id"], invite["status"]) == ("acme", eve.id, "pending")
    assert (invite["invited_by"], invite["expires_at"]) == (ada.id, None)
    again = await ada.ask("POST", "/auth/orgs/acme/invites", {"user_id": eve.id})
    assert _told(again) == (409, "org_invite_already_pending")
    assert [entry["id"] for entry in (await eve.get("/auth/org-invites"))["invites"]] == [invite["id"]]
    accept = f"/auth/org-invites/{invite['id']}/accept"
    assert _told(await bob.ask("POST", accept)) == (403, "org_invite_not_for_user")
    assert await eve.post(accept) == {"ok": True}
    assert _told(await eve.ask("POST", accept)) == (409, "org_invite_not_pending")
    assert (await eve.get("/auth/orgs/acme"))["org"] == "acme"
    listed = await ada.get("/auth/orgs/acme/invites?status=accepted")
    assert [entry["id"] for entry in listed["invites"]] == [invite["id"]]
    assert (await ada.get("/auth/orgs/acme/invites?status=pending"))["invites"] == []


async def test_an_address_without_account_is_invited_and_its_owner_finds_the_invite(
    people, service, serve, sign_up
):
    ada, *_ = people
    invite = await ada.post("/auth/orgs/acme/invites", {"email": "Late@example.test"}, 201)
    assert (invite["user_id"], invite["email"]) == (None, "late@example.test")
    async with serve(service) as api:
        late = Member(api, await sign_up(api, "late"), "")
        (found,) = (await late.get("/auth/org-invites"))["invites"]
        await late.post(f"/auth/org-invites/{found['id']}/accept")
        memberships = (await late.get("/auth/orgs"))["orgs"]
        assert ("acme", ["member"]) in [(entry["org"], entry["roles"]) for entry in memberships]


async def test_an_invite_is_declined_and_another_withdrawn(people):
    ada, _, eve = people
    first = await ada.post("/auth/orgs/acme/invites", {"user_id": eve.id}, 201)
    await eve.post(f"/auth/org-invites/{first['id']}/decline")
    second = await ada.post(
        "/auth/orgs/acme/invites", {"user_id": eve.id, "expires_at": "2099-01-31T12:00:00+01:00"}, 201
    )
    assert second["expires_at"] == "2099-01-31T11:00:00Z"
    await ada.post(f"/auth/orgs/acme/invites/{second['id']}/revoke")
    gone = await ada.ask("POST", f"/auth/orgs/acme/invites/{second['id']}/revoke")
    assert _told(gone) == (409, "org_invite_not_pending")
    assert _told(await eve.ask("POST", f"/auth/org-invites/{second['id']}/accept")) == (
        409,
        "org_invite_not_pending",
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "user_id"),
        ({"user_id": "x", "email": "x@example.test"}, "user_id"),
        ({"email": "x@example.test", "expires_at": "tomorrow"}, "expires_at"),
        ({"email": "x@example.test", "expires_at": 4102444800}, "expires_at"),
        ({"email": "x@example.test", "expires_at": "2099-02-30T00:00:00Z"}, "expires_at"),
        ({"email": "x@example.test", "expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ({"email": "x@example.test", "expires_at": "0001-01-01T00:00:00+23:59"}, "expires_at"),
        ({"email": "x@example.test", "expires_at": "2099-01-01T00:00:00"}, "expires_at"),
    ],
)
async def test_an_odd_invite_is_refused_by_the_member_that_is_odd(people, body, param):
    answer = await people[0].ask("POST", "/auth/orgs/acme/invites", body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.json()["param"] == param


async def test_an_invite_into_the_past_is_refused(people):
    body = {"email": "x@example.test", "expires_at": "2001-01-01T00:00:00Z"}
    answer = await people[0].ask("POST", "/auth/orgs/acme/invites", body)
    assert _told(answer) == (400, "invalid_expiry")


async def test_where_there_are_no_organizations_the_operations_are_absent(make_service, serve, sign_up):
    async with serve(await make_service()) as api:
        tokens = await sign_up(api)
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        for operation in OPERATIONS:
            if operation.offered is with_orgs:
                answer = await api.request(operation.method, _path(operation, "x"), headers=headers)
                assert _told(answer) == (404, "not_found"), operation.path
        assert "/auth/orgs" not in (await api.get("/openapi.json")).json()["paths"]


async def test_a_member_sees_the_members_page_by_page_and_the_own_roles(people):
    ada, bob, _ = people
    everybody = sorted([ada.id, bob.id])
    first = await bob.get("/auth/orgs/acme/members?limit=1")
    assert first == {"members": everybody[:1], "next": everybody[0]}
    rest = await bob.get(f"/auth/orgs/acme/members?limit=1&after={first['next']}")
    assert rest == {"members": everybody[1:], "next": None}
    assert await bob.get(f"/auth/orgs/acme/members/{bob.id}/roles") == {"roles": []}
    assert _told(await bob.ask("GET", f"/auth/orgs/acme/members/{ada.id}/roles")) == (403, "forbidden")
    odd = await bob.ask("GET", "/auth/orgs/acme/members?after=odd")
    assert (odd.status_code, odd.json()["param"]) == (400, "after")


async def test_invites_come_in_pages_newest_first(people):
    ada, *_ = people
    made = [
        (await ada.post("/auth/orgs/acme/invites", {"email": f"g{n}@example.test"}, 201))["id"]
        for n in range(3)
    ]
    first = await ada.get("/auth/orgs/acme/invites?limit=2")
    assert ([invite["id"] for invite in first["invites"]], first["next"]) == ([made[2], made[1]], made[1])
    rest = await ada.get(f"/auth/orgs/acme/invites?limit=2&after={first['next']}")
    assert ([invite["id"] for invite in rest["invites"]], rest["next"]) == ([made[0]], None)


async def test_adding_a_member_invites_the_user_who_decides(people, service, mailbox):
    ada, _, eve = people
    invite = await ada.post("/auth/orgs/acme/members", {"user_id": eve.id, "role": "owner"}, 201)
    assert (invite["user_id"], invite["role"], invite["status"]) == (eve.id, "owner", "pending")
    assert _told(await eve.ask("GET", "/auth/orgs/acme")) == (403, "not_org_member")
    await finish_background(service)
    mail = mailbox.last("eve_e@example.test")
    assert (mail.kind, mail.token) == ("org_invite of ada_l to acme", invite["id"])
    assert await eve.get(f"/auth/org-invites/{mail.token}") == invite
    await eve.post(f"/auth/org-invites/{mail.token}/accept")
    assert (await eve.get(f"/auth/orgs/acme/members/{eve.id}/roles"))["roles"] == ["member", "owner"]


async def test_an_invite_is_read_by_its_invitee_alone(people):
    ada, bob, eve = people
    invite = await ada.post("/auth/orgs/acme/invites", {"user_id": eve.id}, 201)
    for other in (ada, bob):
        answer = await other.ask("GET", f"/auth/org-invites/{invite['id']}")
        assert _told(answer) == (403, "org_invite_not_for_user")
    assert _told(await eve.ask("GET", "/auth/org-invites/odd")) == (404, "org_invite_not_found")


async def test_an_owner_deletes_the_organization_for_every_member(people):
    ada, bob, _ = people
    assert _told(await ada.ask("DELETE", "/auth/user")) == (409, "cannot_remove_last_owner")
    assert await (await ada.ask("DELETE", "/auth/orgs/acme")).aread()
    assert _told(await bob.ask("GET", "/auth/orgs/acme")) == (404, "org_not_found")
    assert [entry["org"] for entry in (await bob.get("/auth/orgs"))["orgs"]] == ["bob-b"]
    assert _told(await ada.ask("DELETE", "/auth/orgs/ada-l")) == (409, "personal_org_locked")
    assert (await ada.ask("DELETE", "/auth/user")).status_code == 200


async def test_the_only_owner_learns_which_organizations_are_in_the_way(people):
    ada, *_ = people
    answer = await ada.ask("DELETE", "/auth/user")
    assert answer.json()["metadata"]["orgs"] == ["acme"]


async def test_an_organization_cannot_have_a_reserved_name(people):
    ada, *_ = people
    for slug in ("admin", "Moderator"):
        answer = await ada.ask("POST", "/auth/orgs", {"slug": slug})
        assert _told(answer) == (400, "owner_slug_reserved")
    answer = await ada.ask("POST", "/auth/orgs/acme/rename", {"new_slug": "admin"})
    assert _told(answer) == (400, "owner_slug_reserved")


# --- a stale token -----------------------------------------------------------------------------------------


@pytest.fixture
async def stale(people, service, age):
    """Let the proofs of everybody be twenty minutes old."""
    for person in people:
        for session in await service.sessions.list_for_user(person.id):
            await age("refresh_sessions", session.id, auth_time=1200)
    return people


OWNER_CHANGES = [
    ("POST", "/auth/orgs/acme/rename", {"new_slug": "other"}),
    ("DELETE", "/auth/orgs/acme", None),
    ("POST", "/auth/orgs/acme/members/{bob}/roles", {"role": "OWNER "}),
    ("POST", "/auth/orgs/acme/members", {"user_id": "{eve}", "role": "owner"}),
    ("POST", "/auth/orgs/acme/invites", {"user_id": "{eve}", "role": "owner"}),
    ("POST", "/auth/orgs/acme/invites", {"email": "x@example.test", "role": "Owner"}),
    ("DELETE", "/auth/orgs/acme/members/{ada}", None),
    ("DELETE", "/auth/orgs/acme/members", {"user_id": "{ada}"}),
    ("DELETE", "/auth/orgs/acme/members/{ada}/roles/owner", None),
    ("DELETE", "/auth/orgs/acme/members/{ada}/roles", {"role": "owner"}),
]


@pytest.mark.parametrize(("method", "path", "body"), OWNER_CHANGES)
async def test_a_stale_token_takes_no_organization_over(stale, method, path, body):
    ada, bob, eve = stale
    ids = {"ada": ada.id, "bob": bob.id, "eve": eve.id}
    filled = body and {name: value.format(**ids) for name, value in body.items()}
    answer = await ada.ask(method, path.format(**ids), filled)
    assert _told(answer) == (403, "step_up_required")


async def test_a_stale_token_still_does_what_an_owner_does_every_day(stale):
    ada, bob, eve = stale
    await ada.post("/auth/orgs/acme/invites", {"user_id": eve.id}, 201)
    await ada.post("/auth/orgs/acme/roles", {"role": "editor"})
    await ada.post(f"/auth/orgs/acme/members/{bob.id}/roles", {"role": "editor"})
    assert (await ada.ask("DELETE", f"/auth/orgs/acme/members/{bob.id}")).status_code == 200
