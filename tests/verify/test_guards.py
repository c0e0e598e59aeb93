from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from authkit_verify import (
    AuthMiddleware,
    fresh_keys,
    require_entitlement,
    require_login,
    require_org_role,
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
    assert (bare.status, bare.header("www-authenticate")) == (401, 'Bearer realm="authkit"')
    wrapped = AuthMiddleware(
        guarded, verifier=issuer.verifier(), required=False, realm="shop", scopes=["read"]
    )
    optional = await connect(wrapped).run()
    assert optional.header("www-authenticate") == 'Bearer realm="shop", scope="read"'


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


async def test_a_websocket_is_guarded_too(issuer: FakeIssuer, connect: Connect) -> None:
    wrapped = AuthMiddleware(require_role("admin")(app), verifier=issuer.verifier())
    closed = await connect(wrapped, type="websocket", token=issuer.mint()).run()
    assert closed.sent == [{"type": "websocket.close", "code": 1008, "reason": "forbidden"}]


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


@pytest.mark.parametrize("make", [require_scope, require_role, require_org_role, require_entitlement])
def test_a_guard_that_asks_for_nothing_is_a_mistake(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError):
        make()
