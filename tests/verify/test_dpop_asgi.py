"""DPoP in the middleware: which header counts, which URL, and which challenge answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from authkit_verify import (
    AuthMiddleware,
    DPoP,
    Enrichment,
    TokenError,
    Verifier,
    refusal_for,
    request_proof,
    require_role,
)
from authkit_verify.config import AcceptConfig
from authkit_verify.testing import FakeClient, FakeIssuer
from fakes.clock import FakeClock

Connect = Callable[..., Any]
ALGS = 'DPoP algs="ES256 EdDSA"'


@pytest.fixture
def client(clock: FakeClock) -> FakeClient:
    return FakeClient(clock=clock)


def announcing(issuer: FakeIssuer, **terms: Any) -> Verifier:
    config = AcceptConfig(issuers=[issuer.accept(**terms)], algorithms=["ES256"])
    return Verifier(config, issuer.client, issuer.clock, dpop=DPoP(algorithms=["ES256", "EdDSA"]))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["user"].identity.encode()})


def sent(headers: dict[str, str], *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return [(b"host", b"api.test"), *pairs, *more]


async def test_the_dpop_scheme_needs_exactly_one_proof(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    async with issuer.verifier() as verifier:
        app, token = AuthMiddleware(echo, verifier), issuer.mint("ann", cnf=client.cnf)

        async def ask(*headers: tuple[bytes, bytes]) -> Any:
            return await connect(app, headers=[(b"host", b"api.test"), *headers]).run()

        def proof() -> tuple[bytes, bytes]:
            return b"dpop", client.proof(token, "GET", "http://api.test/").encode()

        for scheme in (b"DPoP ", b"dpop ", b"DPOP  "):
            assert (await ask((b"authorization", scheme + token.encode()), proof())).body == b"ann"
        dpop = (b"authorization", b"DPoP " + token.encode())
        both = b"Basic a, DPoP " + token.encode()
        for headers, code in (
            ([dpop], "invalid_dpop_proof"),
            ([dpop, proof(), proof()], "invalid_dpop_proof"),
            ([dpop, (b"dpop", proof()[1] + b", " + proof()[1])], "invalid_dpop_proof"),
            ([dpop, (b"dpop", b"\xff")], "invalid_dpop_proof"),
            ([(b"authorization", b"Bearer " + token.encode()), proof()], "invalid_token"),
            ([dpop, dpop, proof()], "invalid_request"),
            ([(b"authorization", b"DPoP"), proof()], "invalid_request"),
            ([(b"authorization", b"DPoP " + token.encode() + b" a"), proof()], "invalid_request"),
            ([(b"authorization", both), proof()], "invalid_request"),
            ([(b"authorization", b"DPoP\t" + token.encode()), proof()], "invalid_request"),
            ([(b"authorization", b"Basic a"), proof()], "missing_token"),
        ):
            refused = await ask(*headers)
            assert (refused.status, f'"error":"{code}"' in refused.body.decode()) == (
                400 if code == "invalid_request" else 401,
                True,
            )


async def test_where_no_token_is_required_a_bad_proof_is_refused_all_the_same(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    async with issuer.verifier() as verifier:
        app = AuthMiddleware(echo, verifier, required=False)
        token = issuer.mint(cnf=client.cnf)
        headers = sent(client.headers(token, "POST", "http://api.test/"))
        assert (await connect(app, headers=headers).run()).status == 401
        assert (await connect(app, headers=[]).run()).status == 200


async def test_a_challenge_announces_dpop_where_it_is_configured(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    token = issuer.mint(cnf=client.cnf)
    async with announcing(issuer) as verifier:
        app = AuthMiddleware(echo, verifier, resource="https://api.test")
        bare = await connect(app).run()
        metadata = 'resource_metadata="https://api.test/.well-known/oauth-protected-resource"'
        assert bare.header("www-authenticate") == f'Bearer realm="authkit", {metadata}, {ALGS}'
        as_bearer = (await connect(app, token=token).run()).header("www-authenticate")
        assert as_bearer.startswith('Bearer realm="authkit", error="invalid_token", error_description="')
        assert as_bearer.endswith(ALGS)
        headers = sent(client.headers(token, "POST", "http://api.test/"))
        refused = (await connect(app, headers=headers).run()).header("www-authenticate")
        assert refused == (
            'DPoP realm="authkit", error="invalid_dpop_proof", error_description="the DPoP proof\'s htm is '
            f'not the method of the request", {metadata}, algs="ES256 EdDSA"'
        )
        document = await connect(app, path="/.well-known/oauth-protected-resource").run()
        assert b'"dpop_signing_alg_values_supported":["ES256","EdDSA"]' in document.body
        assert b"dpop_bound_access_tokens_required" not in document.body
    async with issuer.verifier(dpop="required") as verifier:
        app = AuthMiddleware(echo, verifier, resource="https://api.test")
        assert "DPoP algs=" in (await connect(app).run()).header("www-authenticate")
        document = await connect(app, path="/.well-known/oauth-protected-resource").run()
        assert b'"dpop_bound_access_tokens_required":true' in document.body


async def test_by_default_challenges_and_metadata_are_those_without_dpop(
    issuer: FakeIssuer, connect: Connect
) -> None:
    async with issuer.verifier() as verifier:
        app = AuthMiddleware(echo, verifier, resource="https://api.test")
        assert "DPoP" not in (await connect(app).run()).header("www-authenticate")
        document = await connect(app, path="/.well-known/oauth-protected-resource").run()
        assert b"dpop" not in document.body


async def test_a_refusal_after_the_admission_answers_in_the_scheme_of_the_request(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    async def denying(scope: Any, _receive: Any, _send: Any) -> None:
        assert refusal_for(scope, TokenError("invalid_token", "no")).headers[-1][1].startswith(b"DPoP ")
        await require_role("boss").check(scope)
        raise TokenError("invalid_token", "no")

    async with issuer.verifier() as verifier:
        for roles, status in ((["boss"], 401), ([], 403)):
            token = issuer.mint(cnf=client.cnf, roles=roles)
            headers = sent(client.headers(token, "GET", "http://api.test/"))
            answer = await connect(AuthMiddleware(denying, verifier), headers=headers).run()
            assert answer.status == status
            if status == 401:
                assert answer.header("www-authenticate").startswith("DPoP ")


async def test_records_are_asked_about_the_caller_of_a_bound_token(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    class Records:
        async def enrich(self, user_id: str) -> Enrichment:
            return Enrichment(allowed=user_id == "ann")

    async with issuer.verifier() as verifier:
        app = AuthMiddleware(echo, verifier, enrichment=Records())
        for user, status in (("ann", 200), ("bob", 401)):
            token = issuer.mint(user, cnf=client.cnf)
            headers = sent(client.headers(token, "GET", "http://api.test/"))
            assert (await connect(app, headers=headers).run()).status == status


async def test_a_websocket_takes_the_proof_of_its_handshake(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    async with issuer.verifier() as verifier:
        app = AuthMiddleware(echo, verifier, websocket_query="token")
        token = issuer.mint(cnf=client.cnf)
        scope = {"type": "websocket", "scheme": "wss", "extensions": {"websocket.http.response": {}}}

        async def ask(headers: Any, **more: Any) -> list[str]:
            connection = connect(app, headers=headers, **scope, **more)
            connection.incoming.put_nowait({"type": "websocket.connect"})
            connection.incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
            await connection.app(connection.scope, connection.incoming.get, connection._send)
            return [message["type"] for message in connection.sent]

        refused = ["websocket.http.response.start", "websocket.http.response.body"]
        for url in ("wss://api.test/", "https://api.test/"):
            assert await ask(sent(client.headers(token, "GET", url))) == ["websocket.accept"]
        assert await ask(sent(client.headers(token, "POST", "wss://api.test/"))) == refused
        assert await ask(sent({}), query_string=b"token=" + token.encode()) == refused
        headers = sent(client.headers(token, "GET", "wss://api.test/"))
        assert await ask(headers, query_string=b"token=" + issuer.mint().encode()) == refused


async def test_a_lease_is_renewed_with_a_bound_token_and_its_proof(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    async with issuer.verifier() as verifier:
        first, second = issuer.mint("ann", cnf=client.cnf), issuer.mint("ann", cnf=client.cnf, jti="2")

        async def renewing(scope: Any, _receive: Any, send: Any) -> None:
            lease = scope["user"].lease
            with pytest.raises(TokenError, match="DPoP"):
                await lease.renew(second)
            text = client.proof(second, "GET", "http://api.test/")
            claims = await lease.renew(second, proof=request_proof(scope, verifier, dpop=text))
            assert claims.token_id == "2"
            await echo(scope, _receive, send)

        headers = sent(client.headers(first, "GET", "http://api.test/"))
        assert (await connect(AuthMiddleware(renewing, verifier), headers=headers).run()).status == 200


async def test_no_text_that_the_cache_knows_a_bound_token_by_opens_without_its_proof(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    async with issuer.verifier() as verifier:
        app, token = AuthMiddleware(echo, verifier, websocket_query="token"), issuer.mint(cnf=client.cnf)
        headers = sent(client.headers(token, "GET", "http://api.test/"))
        assert (await connect(app, headers=headers).run()).status == 200
        known = {entry.token for entry in verifier._cache._young.values()}
        for text in known | {token, f"bound {token}", f" {token}", f"{token} "}:
            assert verifier.recall(text) is None
            with pytest.raises(TokenError, match="invalid_token"):
                await verifier.verify(text)
            scope = {"type": "websocket", "query_string": b"token=" + quote(text).encode()}
            assert (await connect(app, **scope).run()).sent[0]["type"] == "websocket.close"
