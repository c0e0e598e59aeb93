# No "from __future__ import annotations": FastAPI resolves them in the globals, and these routes are local.

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Security, WebSocket
from fastapi.openapi.models import OAuth2, OAuthFlowClientCredentials, OAuthFlows
from openapi_spec_validator import validate

from authkit_verify import (
    AcceptConfig,
    AuthMiddleware,
    Enrichment,
    KeyState,
    Principal,
    Verifier,
    fresh_keys,
    require_admin,
    require_role,
)
from authkit_verify._asgi.challenge import Challenge
from authkit_verify.fastapi import Bearer
from authkit_verify.testing import FakeIssuer

Connect = Callable[..., Any]
KEYS = KeyState(source="fresh", age=0.0)


def build(bearer: Bearer) -> FastAPI:
    app = FastAPI()

    @app.get("/me")
    async def me(caller: Annotated[Principal, Security(bearer)]) -> str:
        return caller.identity

    @app.get("/orders")
    async def orders(caller: Annotated[Principal, Security(bearer, scopes=["orders:read"])]) -> str:
        return caller.identity

    @app.get("/staff", dependencies=[Security(bearer.where(require_role("staff")), scopes=["orders:read"])])
    def staff() -> str:
        return "staff"

    @app.get("/public")
    async def public() -> str:
        return "anybody"

    @app.websocket("/live")
    async def live(
        websocket: WebSocket, caller: Annotated[Principal, Security(bearer, scopes=["orders:read"])]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(caller.identity)
        await websocket.close()

    return app


@pytest.fixture(params=["alone", "behind the middleware"])
def app(request: pytest.FixtureRequest, issuer: FakeIssuer) -> Any:
    """The application with the dependency alone, and behind the middleware of the same verifier."""
    verifier = issuer.verifier()
    built = build(Bearer(verifier))
    return built if request.param == "alone" else AuthMiddleware(built, verifier, exclude=["/public"])


async def test_a_route_gets_its_caller(issuer: FakeIssuer, connect: Connect, app: Any) -> None:
    token = issuer.mint("ann", scope="orders:read")
    for path in ("/me", "/orders"):
        answer = await connect(app, path=path, token=token).run()
        assert (answer.status, answer.body) == (200, b'"ann"')
    assert (await connect(app, path="/public").run()).status == 200


async def test_no_token_is_401_and_a_bad_one_says_what_is_wrong(
    issuer: FakeIssuer, connect: Connect, app: Any
) -> None:
    bare = await connect(app, path="/me").run()
    assert (bare.status, bare.header("www-authenticate")) == (401, 'Bearer realm="authkit"')
    late = await connect(app, path="/me", token=issuer.mint_expired()).run()
    assert late.status == 401
    assert 'error="invalid_token", error_description="the token has expired: ' in late.header(
        "www-authenticate"
    )
    assert b'"error":"token_expired"' in late.body
    twice = [(b"authorization", b"Bearer x"), (b"authorization", b"Bearer y")]
    assert (await connect(app, path="/me", headers=twice).run()).status == 400


async def test_a_missing_scope_is_403_and_is_named(issuer: FakeIssuer, connect: Connect, app: Any) -> None:
    answer = await connect(app, path="/orders", token=issuer.mint("ann", scope="orders")).run()
    assert answer.status == 403
    challenge = answer.header("www-authenticate")
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="orders:read"' in challenge


async def test_a_guard_of_a_route_is_asked_beside_its_scopes(
    issuer: FakeIssuer, connect: Connect, app: Any
) -> None:
    for claims, status in (
        ({"scope": "orders:read", "roles": ["staff"]}, 200),
        ({"scope": "orders:read"}, 403),
        ({"roles": ["staff"]}, 403),
    ):
        assert (await connect(app, path="/staff", token=issuer.mint("ann", **claims)).run()).status == status
    assert (await connect(app, path="/staff").run()).status == 401


async def test_guards_are_asked_in_their_order(issuer: FakeIssuer, connect: Connect) -> None:
    app = FastAPI()
    bearer = Bearer(issuer.verifier())

    @app.get("/", dependencies=[Security(bearer.where(require_role("staff"), fresh_keys(max_age=-1)))])
    def staff() -> str:
        return "never"

    for roles, status in (([], 403), (["staff"], 503)):
        assert (await connect(app, token=issuer.mint("ann", roles=roles)).run()).status == status


async def test_an_outage_is_503_with_a_time_to_come_back(
    issuer: FakeIssuer, connect: Connect, app: Any
) -> None:
    issuer.break_down()
    answer = await connect(app, path="/me", token=issuer.mint()).run()
    assert (answer.status, answer.header("www-authenticate")) == (503, None)
    assert int(answer.header("retry-after")) >= 1


async def test_a_websocket_is_let_in_denied_or_closed(issuer: FakeIssuer, connect: Connect, app: Any) -> None:
    at = {"path": "/live", "type": "websocket"}
    served = await connect(app, **at, token=issuer.mint("ann", scope="orders:read")).run()
    assert served.sent[1]["text"] == "ann"
    poor = issuer.mint("ann")
    denied = await connect(app, **at, extensions={"websocket.http.response": {}}, token=poor).run()
    assert (denied.sent[0]["type"], denied.status) == ("websocket.http.response.start", 403)
    assert 'scope="orders:read"' in denied.header("www-authenticate")
    closed = await connect(app, **at, token=poor).run()
    assert (closed.sent[0]["code"], closed.sent[0]["reason"]) == (1008, "insufficient_scope")


async def test_a_path_the_middleware_leaves_alone_is_judged_by_the_dependency(
    issuer: FakeIssuer, connect: Connect
) -> None:
    verifier = issuer.verifier()
    guarded = AuthMiddleware(build(Bearer(verifier)), verifier, exclude=["/me"], realm="shop")
    bare = await connect(guarded, path="/me").run()
    assert (bare.status, bare.header("www-authenticate")) == (401, 'Bearer realm="shop"')
    assert (await connect(guarded, path="/me", token=issuer.mint("ann")).run()).body == b'"ann"'
    assert (await connect(guarded, path="/me", token=issuer.mint_forged("ann")).run()).status == 401
    own = AuthMiddleware(
        build(Bearer(verifier, challenge=Challenge(realm="own"))), verifier, exclude=["/me"], realm="shop"
    )
    assert (await connect(own, path="/me").run()).header("www-authenticate") == 'Bearer realm="own"'


async def test_a_route_may_do_without_a_token_but_not_with_a_bad_one(
    issuer: FakeIssuer, connect: Connect
) -> None:
    app = FastAPI()
    bearer = Bearer(issuer.verifier(), required=False)

    @app.get("/")
    async def hello(caller: Annotated[Principal | None, Security(bearer)]) -> str:
        return "anonymous" if caller is None else caller.identity

    assert (await connect(app).run()).body == b'"anonymous"'
    assert (await connect(app, token=issuer.mint("ann")).run()).body == b'"ann"'
    assert (await connect(app, token="a.b.c").run()).status == 401


async def test_the_records_are_asked_where_they_are_given(issuer: FakeIssuer, connect: Connect) -> None:
    class Records:
        async def enrich(self, user_id: str) -> Enrichment:
            return Enrichment(allowed=user_id != "eve", roles=("admin",) if user_id == "ann" else ())

    app = FastAPI()
    bearer = Bearer(issuer.verifier(), enrichment=Records())

    @app.get("/")
    async def admin(caller: Annotated[Principal, Security(bearer.where(require_admin()))]) -> str:
        return caller.identity

    for user, status in (("ann", 200), ("bob", 403), ("eve", 401)):
        answer = await connect(app, token=issuer.mint(user, roles=["admin"])).run()
        assert answer.status == status


async def test_a_guard_judges_the_caller_of_its_own_dependency_and_no_other(
    issuer: FakeIssuer, connect: Connect
) -> None:
    app = FastAPI()
    bearer = Bearer(issuer.verifier(), required=False)

    @app.websocket("/")
    async def live(
        websocket: WebSocket, caller: Annotated[Principal, Security(bearer.where(require_role("staff")))]
    ) -> None:
        await websocket.accept()
        await websocket.close(reason=caller.identity)

    lax = AuthMiddleware(app, issuer.verifier(any_audience=True, audiences=()), websocket_query="t")
    token = issuer.mint("eve", aud="another", roles=["staff"])
    query = {"type": "websocket", "query_string": b"t=" + token.encode()}
    assert (await connect(lax, **query).run()).sent[0]["reason"] == "missing_token"
    caller = Principal(await issuer.verifier().verify(issuer.mint("ann", roles=["staff"])), KEYS)
    app.dependency_overrides[bearer] = lambda: caller
    assert (await connect(app, type="websocket").run()).sent[1]["reason"] == "ann"


def test_the_document_shows_the_scheme_and_the_scopes_of_every_route() -> None:
    issuer = FakeIssuer("https://issuer.test/realm")
    document = build(Bearer(issuer.verifier())).openapi()
    validate(document)
    # /docs has a field for the token then; the issuer's metadata would offer only its own flows.
    assert document["components"]["securitySchemes"] == {
        "Bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    paths = document["paths"]
    assert paths["/me"]["get"]["security"] == [{"Bearer": []}]
    assert paths["/orders"]["get"]["security"] == [{"Bearer": ["orders:read"]}]
    assert paths["/staff"]["get"]["security"] == [{"Bearer": ["orders:read"]}]
    assert "security" not in paths["/public"]["get"]


def test_the_scheme_of_several_issuers_is_a_plain_one_and_any_other_can_be_given() -> None:
    issuers = [FakeIssuer("https://a.test"), FakeIssuer("https://b.test")]
    both = Verifier(AcceptConfig(issuers=[issuer.accept() for issuer in issuers], algorithms=["ES256"]))
    document = build(Bearer(both, scheme_name="token")).openapi()
    assert document["components"]["securitySchemes"] == {
        "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    flow = OAuthFlowClientCredentials(tokenUrl="https://a.test/token", scopes={"orders:read": "See orders"})
    oauth = Bearer(both, model=OAuth2(flows=OAuthFlows(clientCredentials=flow)))
    document = build(oauth).openapi()
    validate(document)
    assert document["components"]["securitySchemes"]["Bearer"]["type"] == "oauth2"
    assert document["paths"]["/orders"]["get"]["security"] == [{"Bearer": ["orders:read"]}]
