from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from authkit_verify import (
    AccessDenied,
    AuthMiddleware,
    Enricher,
    Enrichment,
    fresh_keys,
    require_admin,
    require_entitlement,
    require_login,
    require_org_role,
    require_permission,
    require_recent_login,
    require_role,
    require_scope,
)
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock

Connect = Callable[..., Any]


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


@pytest.mark.parametrize(
    ("guard", "claims", "status"),
    [
        (require_login(), {}, 200),
        (require_scope("read", "write"), {"scope": "read write more"}, 200),
        (require_scope("read", "write"), {"scope": "read"}, 403),
        (require_scope("authenticated"), {"scope": "read"}, 403),
        (require_role("admin", "staff"), {"roles": ["Staff"]}, 200),
        (require_role("admin"), {"roles": ["user"]}, 403),
        (require_role("admin"), {"roles": ["admin"], "org": "acme"}, 403),
        (require_org_role("owner"), {"roles": ["Owner"], "org": "acme"}, 200),
        (require_org_role("owner", org="acme"), {"roles": ["owner"], "org": "other"}, 403),
        (require_org_role("owner"), {"roles": ["owner"]}, 403),
        (require_entitlement("gold"), {"entitlements": ["GOLD"]}, 200),
        (require_entitlement("gold"), {}, 403),
        (require_permission("read", "sell"), {"permissions": ["sell", "buy", "read"]}, 200),
        (require_permission("read", "sell"), {"permissions": ["read"], "scope": "sell"}, 403),
        (require_permission("read"), {"permissions": ["Read"]}, 403),
    ],
)
async def test_a_guard_lets_through_whom_it_names(
    issuer: FakeIssuer, connect: Connect, guard: Any, claims: dict[str, Any], status: int
) -> None:
    wrapped = AuthMiddleware(guard(app), verifier=issuer.verifier())
    answer = await connect(wrapped, token=issuer.mint(**claims)).run()
    assert answer.status == status


async def test_a_guard_without_a_caller_answers_401_and_names_its_scopes(
    issuer: FakeIssuer, connect: Connect
) -> None:
    guarded = require_scope("read")(app)
    bare = await connect(guarded).run()
    assert (bare.status, bare.header("www-authenticate")) == (401, 'Bearer realm="authkit", scope="read"')
    wrapped = AuthMiddleware(guarded, issuer.verifier(), required=False, realm="shop", scopes=["all"])
    optional = await connect(wrapped).run()
    assert optional.header("www-authenticate") == 'Bearer realm="shop", scope="read"'
    anyone = AuthMiddleware(
        require_login()(app), issuer.verifier(), required=False, realm="shop", scopes=["all"]
    )
    assert (await connect(anyone).run()).header("www-authenticate") == 'Bearer realm="shop", scope="all"'


async def test_a_missing_scope_is_named_in_the_challenge(issuer: FakeIssuer, connect: Connect) -> None:
    wrapped = AuthMiddleware(require_scope("read")(app), verifier=issuer.verifier())
    answer = await connect(wrapped, token=issuer.mint()).run()
    assert 'error="insufficient_scope"' in answer.header("www-authenticate")
    assert 'scope="read"' in answer.header("www-authenticate")


async def test_fresh_keys_refuses_what_an_outage_still_admits(
    issuer: FakeIssuer, connect: Connect, clock: FakeClock
) -> None:
    wrapped = AuthMiddleware(fresh_keys(max_age=60)(app), verifier=issuer.verifier())
    token = issuer.mint(lifetime=9999)
    assert (await connect(wrapped, token=token).run()).status == 200
    issuer.break_down()
    clock.advance(61)
    late = await connect(wrapped, token=token).run()
    assert late.status == 503
    assert late.header("retry-after") is not None


async def test_fresh_keys_asks_an_issuer_that_is_well_and_passes_what_it_confirms(
    issuer: FakeIssuer, connect: Connect, clock: FakeClock
) -> None:
    wrapped = AuthMiddleware(fresh_keys(max_age=60)(app), verifier=issuer.verifier())
    token = issuer.mint(lifetime=9999)
    for fetches in (1, 2, 3):
        for _ in range(5):
            assert (await connect(wrapped, token=token).run()).status == 200
        assert issuer.fetches == fetches
        clock.advance(61)
    issuer.rotate(keep=False)
    assert (await connect(wrapped, token=token).run()).status == 503
    assert (await connect(wrapped, token=token).run()).status == 401


async def test_fresh_keys_asks_no_more_often_than_an_unknown_key_id_would(
    issuer: FakeIssuer, connect: Connect, clock: FakeClock
) -> None:
    wrapped = AuthMiddleware(fresh_keys(max_age=0)(app), verifier=issuer.verifier())
    token = issuer.mint(lifetime=9999)
    for _ in range(100):
        clock.advance(0.01)
        await connect(wrapped, token=token).run()
    assert issuer.fetches == 3


@pytest.mark.parametrize("trouble", ["unusable", "pinned"])
async def test_keys_the_issuer_does_not_stand_by_are_never_fresh(
    issuer: FakeIssuer, connect: Connect, clock: FakeClock, trouble: str
) -> None:
    if trouble == "pinned":
        issuer.break_down()
    verifier = issuer.verifier(pinned_pems=[issuer.key.pem()])
    wrapped = AuthMiddleware(fresh_keys(max_age=9999)(app), verifier=verifier)
    token = issuer.mint(lifetime=9999)
    if trouble == "unusable":
        assert (await connect(wrapped, token=token).run()).status == 200
        issuer.publish(b"{}")
        clock.advance(299)
        await connect(wrapped, token=token).run()
        for _ in range(50):
            await asyncio.sleep(0)
    assert (await connect(wrapped, token=token).run()).status == 503


async def test_a_websocket_is_guarded_too(issuer: FakeIssuer, connect: Connect) -> None:
    wrapped = AuthMiddleware(require_role("admin")(app), verifier=issuer.verifier())
    closed = await connect(wrapped, type="websocket", token=issuer.mint()).run()
    assert closed.sent == [{"type": "websocket.close", "code": 1008, "reason": "forbidden"}]


async def test_a_websocket_is_guarded_with_a_denial_response_where_there_is_one(
    issuer: FakeIssuer, connect: Connect
) -> None:
    wrapped = AuthMiddleware(require_scope("read")(app), verifier=issuer.verifier())
    extensions = {"websocket.http.response": {}}
    denied = await connect(wrapped, type="websocket", extensions=extensions, token=issuer.mint()).run()
    assert (denied.sent[0]["type"], denied.status) == ("websocket.http.response.start", 403)
    assert 'scope="read"' in denied.header("www-authenticate")


async def test_a_guard_can_be_asked_inside_a_handler(issuer: FakeIssuer, connect: Connect) -> None:
    async def handler(scope: Any, receive: Any, send: Any) -> None:
        assert (await require_scope("read").check(scope)).identity == "ann"
        with pytest.raises(AccessDenied):
            await require_scope("write").check(scope)
        await app(scope, receive, send)

    wrapped = AuthMiddleware(handler, verifier=issuer.verifier())
    assert (await connect(wrapped, token=issuer.mint("ann", scope="read")).run()).status == 200


class Records:
    """The host's users by id."""

    def __init__(self, **users: tuple[str, ...]) -> None:
        self.users = users
        self.down = False

    async def enrich(self, user_id: str) -> Enrichment:
        if self.down:
            raise RuntimeError("down")
        return Enrichment(allowed=user_id in self.users, roles=self.users.get(user_id, ()))


@pytest.mark.parametrize(
    ("user", "claims", "status"),
    [
        ("ann", {}, 200),
        ("ann", {"org": "acme", "roles": ["admin"]}, 403),
        ("bob", {"roles": ["admin"]}, 403),
        ("eve", {"roles": ["admin"]}, 401),
    ],
    ids=["admin in the records", "admin with a token of an organization", "admin in the token", "no user"],
)
async def test_an_admin_is_who_the_records_say_and_never_who_the_token_says(
    issuer: FakeIssuer, connect: Connect, user: str, claims: dict[str, Any], status: int
) -> None:
    records = Records(ann=("admin",), bob=())
    wrapped = AuthMiddleware(require_admin()(app), issuer.verifier(), enrichment=records)
    assert (await connect(wrapped, token=issuer.mint(user, **claims)).run()).status == status
    closed = await connect(wrapped, type="websocket", token=issuer.mint("bob")).run()
    assert closed.sent == [{"type": "websocket.close", "code": 1008, "reason": "forbidden"}]


async def test_an_admin_is_demoted_with_the_next_request_and_an_outage_promotes_no_user(
    issuer: FakeIssuer, connect: Connect
) -> None:
    records = Records(ann=("admin",))
    wrapped = AuthMiddleware(require_admin()(app), issuer.verifier(), enrichment=records)
    token = issuer.mint("ann")
    assert (await connect(wrapped, token=token).run()).status == 200
    records.down = True
    late = await connect(wrapped, token=token).run()
    assert (late.status, json.loads(late.body)["error"]) == (503, "enrichment_unavailable")
    records.down = False
    records.users["ann"] = ()
    assert (await connect(wrapped, token=token).run()).status == 403


@pytest.mark.parametrize("token", [True, False])
async def test_a_guard_for_admins_without_records_to_ask_is_a_mistake_at_the_first_request(
    issuer: FakeIssuer, connect: Connect, *, token: bool
) -> None:
    wrapped = AuthMiddleware(require_admin()(app), issuer.verifier(), required=False)
    for guarded in (wrapped, require_admin()(app)):
        with pytest.raises(RuntimeError, match="enrichment"):
            await connect(guarded, token=issuer.mint("ann") if token else None).run()
    asked = AuthMiddleware(require_admin()(app), issuer.verifier(), required=False, enrichment=Records())
    assert (await connect(asked).run()).status == 401


async def test_roles_of_the_records_count_where_the_middleware_is_set_so(
    issuer: FakeIssuer, connect: Connect
) -> None:
    for roles, status in (("always", 403), ("never", 200)):
        enricher = Enricher(Records(ann=("reader",)), issuers=[issuer.issuer], roles=roles)
        wrapped = AuthMiddleware(require_role("staff")(app), issuer.verifier(), enrichment=enricher)
        assert (await connect(wrapped, token=issuer.mint("ann", roles=["staff"])).run()).status == status


@pytest.mark.parametrize(("ago", "status"), [(299, 200), (301, 401), (None, 401)])
async def test_a_sign_in_that_is_too_old_is_asked_for_again(
    issuer: FakeIssuer, connect: Connect, clock: FakeClock, ago: int | None, status: int
) -> None:
    guard = require_recent_login(max_age=300, clock=clock)
    claims = {} if ago is None else {"auth_time": int(clock()) - ago}
    answer = await connect(
        AuthMiddleware(guard(app), issuer.verifier()), token=issuer.mint("ann", **claims)
    ).run()
    assert answer.status == status
    if status == 401:
        challenge = answer.header("www-authenticate")
        assert 'error="insufficient_user_authentication"' in challenge
        assert 'max_age="300"' in challenge


async def test_a_guard_is_a_middleware_of_a_starlette_route(issuer: FakeIssuer, connect: Connect) -> None:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse("in")

    wrapped = Starlette(
        routes=[Route("/", page, middleware=[Middleware(require_role("admin"))])],  # type: ignore[arg-type]
        middleware=[Middleware(AuthMiddleware, verifier=issuer.verifier())],
    )
    assert (await connect(wrapped, token=issuer.mint()).run()).status == 403
    assert (await connect(wrapped, token=issuer.mint(roles=["admin"])).run()).body == b"in"


async def test_other_kinds_of_scope_pass_a_guard() -> None:
    seen: list[str] = []

    async def record(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await require_role("admin")(record)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]


@pytest.mark.parametrize(
    "make", [require_scope, require_role, require_org_role, require_permission, require_entitlement]
)
def test_a_guard_that_asks_for_nothing_is_a_mistake(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError):
        make()
