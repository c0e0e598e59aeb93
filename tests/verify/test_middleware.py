from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from authkit_verify import AuthMiddleware
from authkit_verify.testing import FakeIssuer

Connect = Callable[..., Any]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the user id; echo one websocket message."""
    claims = scope.get("state", {}).get("authkit")
    name = claims.user_id if claims else "anonymous"
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": name})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": name.encode()})


async def test_a_valid_token_gets_through_with_its_claims(issuer: FakeIssuer, connect: Connect) -> None:
    guarded = AuthMiddleware(app, verifier=issuer.verifier())
    answer = await connect(guarded, token=issuer.mint("ann")).run()
    assert (answer.status, answer.body) == (200, b"ann")
    assert answer.scope["user"].identity == "ann"
    assert answer.scope["state"]["authkit_keys"].source == "fresh"


async def test_no_token_is_401_with_a_bare_challenge(issuer: FakeIssuer, connect: Connect) -> None:
    answer = await connect(AuthMiddleware(app, verifier=issuer.verifier())).run()
    assert answer.status == 401
    assert answer.header("www-authenticate") == 'Bearer realm="authkit"'
    assert json.loads(answer.body)["error"] == "missing_token"


async def test_a_bad_token_is_401_and_is_not_repeated(issuer: FakeIssuer, connect: Connect) -> None:
    token = issuer.mint(lifetime=-100)
    answer = await connect(AuthMiddleware(app, verifier=issuer.verifier()), token=token).run()
    assert answer.status == 401
    assert 'error="invalid_token", error_description="the token has expired: ' in answer.header(
        "www-authenticate"
    )
    assert token not in repr(answer.sent)


async def test_a_missing_scope_is_403(issuer: FakeIssuer, connect: Connect) -> None:
    guarded = AuthMiddleware(app, verifier=issuer.verifier(required_scopes=["read"]))
    answer = await connect(guarded, token=issuer.mint()).run()
    assert answer.status == 403
    assert 'scope="read"' in answer.header("www-authenticate")


async def test_two_credentials_are_400(issuer: FakeIssuer, connect: Connect) -> None:
    guarded = AuthMiddleware(app, verifier=issuer.verifier())
    token = issuer.mint()
    twice = [(b"authorization", b"Bearer " + token.encode())]
    assert (await connect(guarded, token=token, headers=twice).run()).status == 400
    assert (await connect(guarded, token=f"{token}, Bearer {token}").run()).status == 400


async def test_an_outage_is_503_with_a_time_to_come_back_and_blames_no_token(
    issuer: FakeIssuer, connect: Connect
) -> None:
    issuer.break_down()
    answer = await connect(AuthMiddleware(app, verifier=issuer.verifier()), token=issuer.mint()).run()
    assert answer.status == 503
    assert int(answer.header("retry-after")) >= 1
    assert answer.header("www-authenticate") is None


async def test_where_no_token_is_required_a_bad_one_is_still_refused(
    issuer: FakeIssuer, connect: Connect
) -> None:
    guarded = AuthMiddleware(app, verifier=issuer.verifier(), required=False)
    assert (await connect(guarded).run()).body == b"anonymous"
    assert (await connect(guarded, token=issuer.mint("ann")).run()).body == b"ann"
    assert (await connect(guarded, token="a.b.c").run()).status == 401
    basic = [(b"authorization", b"Basic abc")]
    assert (await connect(guarded, headers=basic).run()).body == b"anonymous"


async def test_excluded_paths_and_preflights_pass_and_nothing_near_them(
    issuer: FakeIssuer, connect: Connect
) -> None:
    guarded = AuthMiddleware(app, verifier=issuer.verifier(), exclude=["/health", "/docs/*"])
    for path, status in (("/health", 200), ("/docs/x", 200), ("/healthz", 401), ("/docs/../x", 401)):
        assert (await connect(guarded, path=path, token=None).run()).status == status
    assert (await connect(guarded, path="/api/health", root_path="/api").run()).status == 200
    preflight = [(b"origin", b"https://a.test"), (b"access-control-request-method", b"GET")]
    assert (await connect(guarded, method="OPTIONS", headers=preflight).run()).status == 200
    assert (await connect(guarded, method="OPTIONS").run()).status == 401


async def test_a_head_request_is_refused_without_a_body(issuer: FakeIssuer, connect: Connect) -> None:
    answer = await connect(AuthMiddleware(app, verifier=issuer.verifier()), method="HEAD").run()
    assert (answer.status, answer.body) == (401, b"")


async def test_other_kinds_of_scope_are_not_touched(issuer: FakeIssuer) -> None:
    seen: list[Any] = []

    async def record(scope: Any, receive: Any, send: Any) -> None:
        seen.append((dict(scope), receive, send))

    await AuthMiddleware(record, verifier=issuer.verifier())({"type": "lifespan"}, 1, 2)  # type: ignore[arg-type]
    assert seen == [({"type": "lifespan"}, 1, 2)]


async def test_a_websocket_is_refused_by_a_denial_response_where_there_is_one(
    issuer: FakeIssuer, connect: Connect
) -> None:
    guarded = AuthMiddleware(app, verifier=issuer.verifier())
    denied = await connect(guarded, type="websocket", extensions={"websocket.http.response": {}}).run()
    assert denied.sent[0]["type"] == "websocket.http.response.start"
    assert denied.status == 401
    assert denied.header("www-authenticate").startswith("Bearer")


async def test_a_websocket_is_refused_with_1008_and_an_outage_with_1013(
    issuer: FakeIssuer, connect: Connect
) -> None:
    guarded = AuthMiddleware(app, verifier=issuer.verifier())
    closed = await connect(guarded, type="websocket").run()
    assert closed.sent == [{"type": "websocket.close", "code": 1008, "reason": "missing_token"}]
    issuer.break_down()
    closed = await connect(guarded, type="websocket", token=issuer.mint()).run()
    assert closed.sent == [{"type": "websocket.close", "code": 1013, "reason": "keys_unavailable"}]


async def test_a_websocket_with_a_valid_token_is_served(issuer: FakeIssuer, connect: Connect) -> None:
    guarded = AuthMiddleware(app, verifier=issuer.verifier())
    served = await connect(guarded, type="websocket", token=issuer.mint("ann")).run()
    assert [message["type"] for message in served.sent] == ["websocket.accept", "websocket.send"]
    assert served.sent[1]["text"] == "ann"


async def test_a_websocket_may_bring_its_token_elsewhere_only_when_told_so(
    issuer: FakeIssuer, connect: Connect
) -> None:
    token = issuer.mint("ann")
    query = {"type": "websocket", "query_string": b"access_token=" + token.encode()}
    plain = AuthMiddleware(app, verifier=issuer.verifier())
    assert (await connect(plain, **query).run()).sent[0]["code"] == 1008
    named = AuthMiddleware(
        app, verifier=issuer.verifier(), websocket_query="access_token", websocket_subprotocol="bearer"
    )
    assert (await connect(named, **query).run()).sent[1]["text"] == "ann"
    offered = await connect(named, type="websocket", subprotocols=["bearer", token]).run()
    assert offered.sent[0] == {"type": "websocket.accept", "subprotocol": "bearer"}
    http = await connect(named, query_string=query["query_string"]).run()
    assert http.status == 401


@pytest.mark.parametrize(("token", "status"), [(True, 200), (False, 401)])
async def test_starlettes_own_guards_work_behind_it(
    issuer: FakeIssuer, connect: Connect, *, token: bool, status: int
) -> None:
    @requires(["authenticated", "read"])
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request.user.identity} {request.user.is_authenticated}")

    wrapped = Starlette(
        routes=[Route("/", page)], middleware=[Middleware(AuthMiddleware, verifier=issuer.verifier())]
    )
    answer = await connect(wrapped, token=issuer.mint("ann", scope="read") if token else None).run()
    assert answer.status == status
    assert not token or answer.body == b"ann True"
