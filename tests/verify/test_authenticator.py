from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify import (
    AccessDenied,
    AuthMiddleware,
    Enricher,
    Enrichment,
    Principal,
    TokenError,
    Verifier,
    refusal_for,
    require_admin,
)
from authkit_verify._asgi.authenticator import AUTHENTICATOR, Authenticator, authenticator_of
from authkit_verify._asgi.challenge import Challenge
from authkit_verify._asgi.enrichment import enricher_for
from authkit_verify._asgi.principal import principal_of
from authkit_verify.testing import FakeIssuer

Connect = Callable[..., Any]


def authenticator(verifier: Verifier, enrichment: Any = None) -> Authenticator:
    return Authenticator(
        challenge=Challenge(realm="inner"),
        verifier=verifier,
        enricher=enricher_for(enrichment, verifier),
    )


class Everybody:
    async def enrich(self, user_id: str) -> Enrichment:
        return Enrichment(allowed=True, email=f"{user_id}@records.test")


def scope_with(token: str | None) -> dict[str, Any]:
    headers = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
    return {"type": "http", "method": "GET", "path": "/", "headers": headers}


def test_an_authenticator_is_only_what_the_middleware_left() -> None:
    assert authenticator_of({}) is None
    assert authenticator_of({AUTHENTICATOR: "forged"}) is None


async def test_a_request_without_a_token_sees_no_caller_of_its_connection(issuer: FakeIssuer) -> None:
    one, shared = authenticator(issuer.verifier()), dict[str, Any]()  # as Hypercorn 0.17 has it
    await one.admit(scope_with(issuer.mint("ann")) | {"state": shared}, required=False)
    anonymous = scope_with(None) | {"state": shared}
    assert await one.admit(anonymous, required=False) is None
    assert anonymous["state"]["authkit"] is None


async def test_a_caller_is_written_where_frameworks_and_guards_look(issuer: FakeIssuer) -> None:
    one = authenticator(issuer.verifier())
    scope = scope_with(issuer.mint("ann", scope="read"))
    caller = await one.admit(scope, required=True, scopes=("read",))
    assert caller is principal_of(scope)
    assert caller.identity == "ann"
    assert authenticator_of(scope) is one
    assert caller.verifier is one.verifier
    assert scope["state"]["authkit"].user_id == "ann"


async def test_no_user_comes_in_without_a_token_where_one_or_a_scope_is_asked_for(issuer: FakeIssuer) -> None:
    one = authenticator(issuer.verifier())
    assert await one.admit(scope_with(None), required=False) is None
    for terms in ({"required": True}, {"required": False, "scopes": ("read",)}):
        with pytest.raises(AccessDenied) as refused:
            await one.admit(scope_with(None), **terms)
        assert refused.value.code == "missing_token"
    with pytest.raises(AccessDenied) as lacking:
        await one.admit(scope_with(issuer.mint(scope="read")), required=True, scopes=("read", "write"))
    assert (lacking.value.code, lacking.value.scopes) == ("insufficient_scope", ("read", "write"))


async def let_in(outer: Verifier, inner: Authenticator, connect: Connect, token: str) -> Any:
    """Return the caller whom the inner one finds behind a middleware, and the admitter of that caller."""
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            found.append((await inner.admit(scope, required=True), authenticator_of(scope)))
        except TokenError as error:  # the middleware would answer it
            found.append(error)

    await connect(AuthMiddleware(app, outer), token=token).run()
    if isinstance(found[0], TokenError):
        raise found[0]
    return found[0]


async def test_a_caller_of_the_same_verifier_is_not_verified_twice(
    issuer: FakeIssuer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = issuer.verifier()
    judged: list[str] = []
    authenticate = verifier.authenticate

    async def counting(token: str) -> Any:
        judged.append(token)
        return await authenticate(token)

    monkeypatch.setattr(verifier, "authenticate", counting)
    plain = authenticator(verifier)
    _, admitted_by = await let_in(verifier, plain, connect, issuer.mint("ann"))
    assert admitted_by is not plain
    asking = authenticator(verifier, Everybody())
    caller, admitted_by = await let_in(verifier, asking, connect, issuer.mint("ann"))
    assert admitted_by is asking
    assert caller.email == "ann@records.test"
    assert caller.lease is not None
    assert len(judged) == 2


async def test_what_a_laxer_verifier_let_in_does_not_pass_a_stricter_one(
    issuer: FakeIssuer, connect: Connect
) -> None:
    lax, strict = issuer.verifier(any_audience=True, audiences=()), issuer.verifier()
    token = issuer.mint("ann", aud="another")
    with pytest.raises(TokenError) as refused:
        await let_in(lax, authenticator(strict), connect, token)
    assert refused.value.code == "bad_audience"


async def test_a_refusal_is_introduced_by_the_authenticator_in_front(issuer: FakeIssuer) -> None:
    error = AccessDenied("missing_token", "this needs an access token")
    headers = dict(refusal_for({AUTHENTICATOR: authenticator(issuer.verifier())}, error).headers)
    assert headers[b"www-authenticate"] == b'Bearer realm="inner"'
    assert dict(refusal_for({}, error).headers)[b"www-authenticate"] == b'Bearer realm="authkit"'


class Admins:
    """Records in which every user is an admin now, whatever the token says."""

    async def enrich(self, user_id: str) -> Enrichment:
        return Enrichment(allowed=True, roles=("admin",))


async def test_a_remembered_token_admits_its_caller_without_a_coroutine(issuer: FakeIssuer) -> None:
    one, token = authenticator(issuer.verifier()), issuer.mint("ann")
    first = one.admit_token(scope_with(token), token)
    assert not isinstance(first, Principal)
    await first
    scope = scope_with(token)
    caller = one.admit_token(scope, token)
    assert isinstance(caller, Principal)
    assert principal_of(scope) is caller


async def test_roles_are_decided_when_the_caller_is_admitted(issuer: FakeIssuer) -> None:
    verifier = issuer.verifier()
    recorded = Enricher(Admins(), issuers=[issuer.issuer], roles="always")
    for enrichment, roles in ((None, ("staff",)), (Admins(), ("staff",)), (recorded, ("admin",))):
        token = issuer.mint("ann", roles=["staff"])
        for _ in ("new", "remembered"):
            caller = await authenticator(verifier, enrichment).admit(scope_with(token), required=True)
            assert caller is not None
            assert caller.roles == roles
            caller.enrichment = None  # what is decided stays decided
            assert caller.roles == roles


async def test_the_records_that_admitted_a_caller_decide_behind_a_middleware_that_looks_away(
    issuer: FakeIssuer, connect: Connect
) -> None:
    verifier, asked = issuer.verifier(), []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        asked.append(await require_admin().check(scope))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    inner = AuthMiddleware(app, FakeIssuer("https://other.test").verifier(), exclude=["/*"])
    outer = AuthMiddleware(inner, verifier, enrichment=Admins())
    assert (await connect(outer, token=issuer.mint("ann")).run()).status == 200
    assert asked[0].identity == "ann"


async def test_a_principal_made_by_hand_is_neither_an_admin_nor_a_verified_caller(issuer: FakeIssuer) -> None:
    one = authenticator(issuer.verifier(), Admins())
    scope = scope_with(issuer.mint("ann"))
    caller = await one.admit(scope, required=True)
    assert caller is not None
    await require_admin().check(scope)
    scope["user"] = Principal(caller.claims, caller.keys)
    with pytest.raises(AccessDenied) as refused:
        await require_admin().check(scope)
    assert refused.value.code == "forbidden"
    scope["headers"] = []
    with pytest.raises(AccessDenied) as missing:
        await one.admit(scope, required=True)
    assert missing.value.code == "missing_token"
