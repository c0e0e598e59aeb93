from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify import AccessDenied, AuthMiddleware, Enrichment, TokenError, Verifier, refusal_for
from authkit_verify._asgi.authenticator import GATE, Gate, gate_of
from authkit_verify._asgi.challenge import Challenge
from authkit_verify._asgi.enrichment import enricher_for
from authkit_verify._asgi.principal import principal_of
from authkit_verify.testing import FakeIssuer

Connect = Callable[..., Any]


def gate(verifier: Verifier, enrichment: Any = None) -> Gate:
    return Gate(
        challenge=Challenge(realm="inner"),
        verifier=verifier,
        enricher=enricher_for(enrichment, verifier.config),
    )


class Everybody:
    async def enrich(self, user_id: str) -> Enrichment:
        return Enrichment(allowed=True, email=f"{user_id}@records.test")


def scope_with(token: str | None) -> dict[str, Any]:
    headers = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
    return {"type": "http", "method": "GET", "path": "/", "headers": headers}


def test_a_gate_is_only_what_the_middleware_left() -> None:
    assert gate_of({}) is None
    assert gate_of({GATE: "forged"}) is None


async def test_a_caller_is_written_where_frameworks_and_guards_look(issuer: FakeIssuer) -> None:
    one = gate(issuer.verifier())
    scope = scope_with(issuer.mint("ann", scope="read"))
    caller = await one.admit(scope, required=True, scopes=("read",))
    assert caller is principal_of(scope)
    assert caller.identity == "ann"
    assert caller.gate is gate_of(scope) is one
    assert scope["state"]["authkit"].user_id == "ann"


async def test_nobody_comes_in_without_a_token_where_one_or_a_scope_is_asked_for(issuer: FakeIssuer) -> None:
    one = gate(issuer.verifier())
    assert await one.admit(scope_with(None), required=False) is None
    for terms in ({"required": True}, {"required": False, "scopes": ("read",)}):
        with pytest.raises(AccessDenied) as refused:
            await one.admit(scope_with(None), **terms)
        assert refused.value.code == "missing_token"
    with pytest.raises(AccessDenied) as lacking:
        await one.admit(scope_with(issuer.mint(scope="read")), required=True, scopes=("read", "write"))
    assert (lacking.value.code, lacking.value.scopes) == ("insufficient_scope", ("read", "write"))


async def let_in(outer: Verifier, inner: Gate, connect: Connect, token: str) -> Any:
    """Return the caller whom the inner gate finds behind a middleware over the outer verifier."""
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(await inner.admit(scope, required=True))

    await connect(AuthMiddleware(app, outer), token=token).run()
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
    plain = gate(verifier)
    assert (await let_in(verifier, plain, connect, issuer.mint("ann"))).gate is not plain
    asking = gate(verifier, Everybody())
    caller = await let_in(verifier, asking, connect, issuer.mint("ann"))
    assert caller.gate is asking
    assert caller.email == "ann@records.test"
    assert caller.lease is not None
    assert len(judged) == 2


async def test_what_a_laxer_verifier_let_in_does_not_pass_a_stricter_one(
    issuer: FakeIssuer, connect: Connect
) -> None:
    lax, strict = issuer.verifier(any_audience=True, audiences=()), issuer.verifier()
    token = issuer.mint("ann", aud="another")
    with pytest.raises(TokenError) as refused:
        await let_in(lax, gate(strict), connect, token)
    assert refused.value.code == "bad_audience"


async def test_a_refusal_is_introduced_by_the_gate_in_front(issuer: FakeIssuer) -> None:
    error = AccessDenied("missing_token", "this needs an access token")
    headers = dict(refusal_for({GATE: gate(issuer.verifier())}, error).headers)
    assert headers[b"www-authenticate"] == b'Bearer realm="inner"'
    assert dict(refusal_for({}, error).headers)[b"www-authenticate"] == b'Bearer realm="authkit"'
