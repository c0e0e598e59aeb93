"""DPoP (RFC 9449): the checks of section 4.3, one fault at a time, and the refusals of section 7."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify import (
    AuthMiddleware,
    DPoP,
    IssuerAccept,
    Principal,
    Proof,
    TokenError,
    Verifier,
    require_scope,
)
from authkit_verify.config import AcceptConfig
from authkit_verify.testing import FakeClient, FakeIssuer, FakeKey, seal
from fakes.clock import FakeClock

Connect = Callable[..., Any]
URL = "https://api.test/orders"


@pytest.fixture
def client(clock: FakeClock) -> FakeClient:
    return FakeClient(clock=clock)


def verifier_of(issuer: FakeIssuer, dpop: DPoP | None = None, **terms: Any) -> Verifier:
    config = AcceptConfig(issuers=[issuer.accept(**terms)], algorithms=[issuer.algorithm])
    return Verifier(config, issuer.client, issuer.clock, dpop=dpop)


def shown(client: FakeClient, token: str, **terms: Any) -> Proof:
    proof = client.proof(token, "GET", URL, **terms)
    return Proof(dpop=proof, method="GET", url=URL)


async def refusal(verifier: Verifier, token: str, proof: Proof | None = None) -> TokenError:
    """Return the refusal, once ``explain`` has foretold its code."""
    explained = await verifier.explain(token, proof=proof)
    with pytest.raises(TokenError) as caught:
        await verifier.verify(token, proof=proof)
    assert explained.code == caught.value.code
    return caught.value


async def answered(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["user"].identity.encode()})


def asked(headers: dict[str, str], **scope: Any) -> dict[str, Any]:
    """Return the scope of a request for ``URL``."""
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"headers": [(b"host", b"api.test"), *pairs], "scheme": "https", "path": "/orders"} | scope


async def test_a_bound_token_with_its_proof_is_accepted(issuer: FakeIssuer, client: FakeClient) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint("ann", cnf=client.cnf)
        for _ in range(2):  # examined, then from the cache
            claims = await verifier.verify(token, proof=shown(client, token))
            assert claims.user_id == "ann"
        counted = verifier.counters()[issuer.issuer]["tokens"]
    assert counted == {"accepted": 1, "accepted_from_cache": 1}


@pytest.mark.parametrize("alg", ["RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
async def test_a_proof_may_be_made_with_any_asymmetric_algorithm(issuer: FakeIssuer, alg: str) -> None:
    client = FakeClient(algorithm=alg, clock=issuer.clock)
    async with issuer.verifier() as verifier:
        token = issuer.mint(cnf=client.cnf)
        await verifier.verify(token, proof=shown(client, token))


async def test_a_bound_token_without_its_proof_is_refused_always(
    issuer: FakeIssuer, client: FakeClient
) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint(cnf=client.cnf)
        bare = [None, Proof(), Proof(method="GET", url=URL), Proof(certificate="A" * 43)]
        for proof in bare:
            assert (await refusal(verifier, token, proof)).code == "invalid_token"
        await verifier.verify(token, proof=shown(client, token))
        for proof in bare:  # the token is cached now
            error = await refusal(verifier, token, proof)
            assert (error.code, "DPoP scheme" in error.description) == ("invalid_token", True)
        assert verifier.recall(token) is None


@pytest.mark.parametrize(
    "cnf",
    [
        None, {}, [], "jkt", 7, {"jkt": None}, {"jkt": ""}, {"jkt": ["a"]}, {"x5t#S256": 1}, {"kid": "a"},
        {"jwk": {"kty": "EC"}}, {"jku": "https://a.test"}, {"x5t#S512": "a"}, {"JKT": "a"},
    ],
)  # fmt: skip
async def test_a_confirmation_that_cannot_be_checked_is_refused(issuer: FakeIssuer, cnf: Any) -> None:
    client = FakeClient(clock=issuer.clock)
    async with issuer.verifier() as verifier:
        token = issuer.mint(cnf=cnf)
        for proof in (None, shown(client, token)):
            assert (await refusal(verifier, token, proof)).code == "invalid_token"
        if isinstance(cnf, dict) and cnf:  # nor does a method that can be checked excuse it
            token = issuer.mint(cnf={"kid": "a"} | client.cnf | {n: v for n, v in cnf.items() if n != "jkt"})
            assert (await refusal(verifier, token, shown(client, token))).code == "invalid_token"


async def test_a_token_that_is_not_bound_is_refused_with_the_dpop_scheme(
    issuer: FakeIssuer, client: FakeClient
) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint()
        assert (await refusal(verifier, token, shown(client, token))).code == "invalid_token"
        await verifier.verify(token)  # cached
        assert (await refusal(verifier, token, shown(client, token))).code == "invalid_token"


OTHER = FakeKey.generate("other", "ES256")
PRIVATE = {"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "c"}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"header": {"typ": "JWT"}}, "typ"),
        ({"header": {"typ": None}}, "typ"),
        ({"header": {"typ": "at+jwt"}}, "typ"),
        ({"header": {"alg": "none"}}, "algorithm"),
        ({"header": {"alg": "HS256"}}, "algorithm"),
        ({"header": {"alg": "RS256"}}, "fit its jwk"),
        ({"header": {"crit": ["a"]}}, "crit"),
        ({"header": {"jwk": None}}, "jwk cannot be used"),
        ({"header": {"jwk": PRIVATE}}, "private"),
        ({"header": {"jwk": {"kty": "oct", "k": "AAAA"}}}, "private or symmetric"),
        ({"header": {"jwk": {name: OTHER.jwk()[name] for name in ("kty", "crv", "x", "y")}}}, "another key"),
        ({"htm": "POST"}, "method"),
        ({"htm": "get"}, "method"),
        ({"without": ["htm"]}, "method"),
        ({"htu": "https://api.test/other"}, "URL"),
        ({"htu": "https://api.test/orders/"}, "URL"),
        ({"htu": "https://evil.test/orders"}, "scheme or host"),
        ({"htu": "http://api.test/orders"}, "scheme or host"),
        ({"htu": "https://api.test:444/orders"}, "scheme or host"),
        ({"htu": "/orders"}, "URL"),
        ({"htu": 7}, "URL"),
        ({"without": ["htu"]}, "URL"),
        ({"ath": "A" * 43}, "ath"),
        ({"without": ["ath"]}, "ath"),
        ({"jti": ""}, "jti"),
        ({"jti": "a" * 129}, "jti"),
        ({"jti": 7}, "jti"),
        ({"without": ["jti"]}, "jti"),
        ({"iat": "now"}, "not a time"),
        ({"iat": True}, "not a time"),
        ({"iat": 1e300}, "not a time"),
        ({"without": ["iat"]}, "not a time"),
        ({"x": "a" * 9000}, "longer than 8192 characters"),
    ],
)
async def test_each_fault_of_a_proof_is_refused_by_its_name(
    issuer: FakeIssuer, client: FakeClient, fault: Any, words: str
) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint(cnf=client.cnf)
        error = await refusal(verifier, token, shown(client, token, **fault))
    assert error.code == "invalid_dpop_proof"
    assert words in error.description


async def test_a_proof_of_another_token_key_or_signature_is_refused(
    issuer: FakeIssuer, client: FakeClient
) -> None:
    thief = FakeClient(clock=issuer.clock)
    async with issuer.verifier() as verifier:
        token, other = issuer.mint(cnf=client.cnf), issuer.mint("bob", cnf=client.cnf)
        assert "ath" in (await refusal(verifier, token, shown(client, other))).description
        assert "another key" in (await refusal(verifier, token, shown(thief, token))).description
        good = client.proof(token, "GET", URL)
        forged = good.rpartition(".")[0] + "." + thief.proof(token, "GET", URL).rpartition(".")[2]
        error = await refusal(verifier, token, Proof(dpop=forged, method="GET", url=URL))
        assert "signature" in error.description
        await verifier.verify(token, proof=Proof(dpop=good, method="GET", url=URL))
        # The key of a good proof is remembered by its header: what it signs is still checked.
        assert (
            "signature"
            in (await refusal(verifier, token, Proof(dpop=forged, method="GET", url=URL))).description
        )


@pytest.mark.parametrize(
    "text", ["", "a", "a.b.c", "a.b.c.d.e", "é", "a" * 9000, "e30.e30.", "bnVsbA.e30.AA"]
)
async def test_what_is_not_a_proof_is_refused_as_one(
    issuer: FakeIssuer, client: FakeClient, text: str
) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint(cnf=client.cnf)
        error = await refusal(verifier, token, Proof(dpop=text, method="GET", url=URL))
    assert error.code == "invalid_dpop_proof"
    assert "the token" not in error.description


async def test_a_proof_is_accepted_once(issuer: FakeIssuer, client: FakeClient) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint(cnf=client.cnf)
        proof = shown(client, token)
        await verifier.verify(token, proof=proof)
        with pytest.raises(TokenError, match="used before") as caught:
            await verifier.verify(token, proof=proof)
        assert caught.value.code == "invalid_dpop_proof"
        # The same jti with another htu, and so another proof, is a replay as well; another key's is not.
        with pytest.raises(TokenError, match="used before"):
            again = client.proof(token, "POST", URL, jti="one"), client.proof(token, "GET", URL, jti="one")
            for method, text in zip(("POST", "GET"), again, strict=True):
                await verifier.verify(token, proof=Proof(dpop=text, method=method, url=URL))
        other = FakeClient(clock=issuer.clock)
        foreign = issuer.mint(cnf=other.cnf)
        await verifier.verify(foreign, proof=shown(other, foreign, jti="one"))


async def test_the_refusal_of_a_cached_token_is_a_line_of_the_log_at_debug(
    issuer: FakeIssuer, client: FakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    token = issuer.mint("ann", cnf=client.cnf)
    async with verifier_of(issuer) as verifier:
        proof = shown(client, token)
        await verifier.verify(token, proof=proof)
        with caplog.at_level(logging.DEBUG, "authkit_verify"), pytest.raises(TokenError):
            await verifier.verify(token, proof=proof)
    said = [one.getMessage() for one in caplog.records if one.getMessage().startswith("refused a token")]
    assert len(said) == 1
    assert said[0].startswith("refused a token: invalid_dpop_proof")


async def test_a_refused_proof_is_not_used_up(issuer: FakeIssuer, client: FakeClient) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint(cnf=client.cnf)
        proof = shown(client, token)
        with pytest.raises(TokenError, match="method"):
            await verifier.verify(token, proof=Proof(dpop=proof.dpop, method="POST", url=URL))
        assert (await verifier.explain(token, proof=proof)).accepted
        await verifier.verify(token, proof=proof)


async def test_fifty_requests_with_one_proof_have_one_winner(issuer: FakeIssuer, client: FakeClient) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint(cnf=client.cnf)
        proof = shown(client, token)
        tries = (verifier.verify(token, proof=proof) for _ in range(50))
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, TokenError)]
    assert {one.code for one in refused} == {"invalid_dpop_proof"}
    assert len(refused) == 49


@pytest.mark.parametrize(("shift", "accepted"), [(-301, False), (-300, True), (30, True), (31, False)])
async def test_a_proof_is_accepted_from_its_skew_to_its_age(
    issuer: FakeIssuer, client: FakeClient, clock: FakeClock, *, shift: int, accepted: bool
) -> None:
    clock.advance(-(clock() % 1))
    async with issuer.verifier() as verifier:
        token = issuer.mint(cnf=client.cnf)
        proof = shown(client, token, iat=int(clock()) + shift)
        if accepted:
            await verifier.verify(token, proof=proof)
        else:
            error = await refusal(verifier, token, proof)
            assert "300 s ago or 30 s in the future" in error.description


async def test_a_used_proof_is_remembered_until_it_is_too_old(
    issuer: FakeIssuer, client: FakeClient, clock: FakeClock
) -> None:
    asked: list[float] = []

    class Cache:
        async def first_use(self, key: str, ttl: float) -> bool:
            assert len(key) == 43
            asked.append(ttl)
            return True

    async with verifier_of(issuer, DPoP(max_age=100, skew=10, replay_cache=Cache())) as verifier:
        token = issuer.mint(cnf=client.cnf)
        clock.advance(-(clock() % 1))
        for shift in (-100, 0, 10):
            await verifier.verify(token, proof=shown(client, token, iat=int(clock()) + shift))
    assert asked == [10, 110, 120]


@pytest.mark.parametrize("answer", [OSError("down"), RuntimeError("odd"), None, 1, "yes"])
async def test_a_replay_cache_that_fails_lets_no_proof_pass(
    issuer: FakeIssuer, client: FakeClient, answer: Any
) -> None:
    class Cache:
        async def first_use(self, key: str, ttl: float) -> bool:
            if isinstance(answer, Exception):
                raise answer
            return answer

    async with verifier_of(issuer, DPoP(replay_cache=Cache())) as verifier:
        token = issuer.mint(cnf=client.cnf)
        with pytest.raises(TokenError) as caught:
            await verifier.verify(token, proof=shown(client, token))
    failed = isinstance(answer, Exception)
    assert caught.value.code == ("replay_check_unavailable" if failed else "invalid_dpop_proof")


async def test_a_replay_cache_that_hangs_is_waited_for_a_bounded_time(
    issuer: FakeIssuer, client: FakeClient, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    class Cache:
        async def first_use(self, key: str, ttl: float) -> bool:
            await asyncio.sleep(3600)
            return True

    monkeypatch.setattr("authkit_verify._policy.proof.dpop_proof.REPLAY_TIMEOUT", 0.01)
    async with verifier_of(issuer, DPoP(replay_cache=Cache())) as verifier:
        token = issuer.mint(cnf=client.cnf)
        scope = asked(client.headers(token, "GET", URL))
        answer = await connect(AuthMiddleware(answered, verifier), **scope).run()
    assert (answer.status, answer.header("retry-after")) == (503, "5")
    assert b"replay_check_unavailable" in answer.body


async def test_an_issuer_may_require_or_forbid_bound_tokens(issuer: FakeIssuer, client: FakeClient) -> None:
    bound, bare = issuer.mint(cnf=client.cnf), issuer.mint()
    async with issuer.verifier(dpop="required") as verifier:
        await verifier.verify(bound, proof=shown(client, bound))
        error = await refusal(verifier, bare)
        assert (error.code, "required" in error.description) == ("invalid_token", True)
        assert (await refusal(verifier, bare, shown(client, bare))).code == "invalid_token"
    async with issuer.verifier(dpop="disabled") as verifier:
        await verifier.verify(bare)
        error = await refusal(verifier, bound, shown(client, bound))
        assert (error.code, "disabled" in error.description) == ("invalid_token", True)
        assert (await refusal(verifier, bound)).code == "invalid_token"
    with pytest.raises(ValueError, match="dpop must be"):
        IssuerAccept(issuer="https://a.test", audiences=["a"], dpop="on")  # type: ignore[arg-type]


async def test_a_host_header_of_the_clients_choice_does_not_count_beside_public_origins(
    issuer: FakeIssuer, client: FakeClient
) -> None:
    async with verifier_of(issuer, DPoP(public_origins=["https://API.test:443"])) as verifier:
        token = issuer.mint(cnf=client.cnf)
        inside = client.proof(token, "GET", URL)
        await verifier.verify(
            token, proof=Proof(dpop=inside, method="GET", url="http://10.0.0.7:8000/orders")
        )
        url = "https://other.test/orders"
        outside = Proof(dpop=client.proof(token, "GET", url), method="GET", url=url)
        assert "scheme or host" in (await refusal(verifier, token, outside)).description


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithms": []}, {"algorithms": ["HS256"]}, {"algorithms": "ES256"}, {"max_age": 0},
        {"skew": -1}, {"max_age": float("inf")}, {"public_origins": ["api.test"]},
        {"public_origins": ["https://a/b"]}, {"public_origins": "https://a"},
        {"nonce_secrets": [b"short"]}, {"nonce_secrets": b"x" * 32},
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_when_it_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"DPoP.*{next(iter(wrong))}"):
        DPoP(**wrong)


async def test_only_the_listed_algorithms_make_proofs(issuer: FakeIssuer, client: FakeClient) -> None:
    async with verifier_of(issuer, DPoP(algorithms=["EdDSA"])) as verifier:
        token = issuer.mint(cnf=client.cnf)
        assert "algorithm" in (await refusal(verifier, token, shown(client, token))).description


async def test_a_nonce_is_required_issued_and_renewed(
    issuer: FakeIssuer, client: FakeClient, clock: FakeClock, connect: Connect
) -> None:
    settings = DPoP(require_nonce=True, nonce_secrets=[b"n" * 32, b"o" * 32])
    async with verifier_of(issuer, settings) as verifier:
        app, token = AuthMiddleware(answered, verifier), issuer.mint(cnf=client.cnf, lifetime=9999)

        async def ask(**claims: Any) -> Any:
            scope = asked(client.headers(token, "GET", URL, **claims))
            return await connect(app, **scope).run()

        refused = await ask()
        nonce = refused.header("dpop-nonce")
        assert refused.status == 401
        assert 'DPoP realm="authkit", error="use_dpop_nonce"' in refused.header("www-authenticate")
        accepted = await ask(nonce=nonce, iat=0)  # the time of the nonce counts, not the client's clock
        assert (accepted.status, accepted.body) == (200, b"user-1")
        clock.advance(301)
        assert b"use_dpop_nonce" in (await ask(nonce=nonce)).body
        assert (await ask(nonce=accepted.header("dpop-nonce"))).status == 401
        assert (await ask(nonce=(await ask()).header("dpop-nonce"))).status == 200
        for other in ("", "AAAA", "A" * 32, nonce[:-1] + "%", 7, None):
            assert b"use_dpop_nonce" in (await ask(nonce=other)).body
        # Another machine with the older secret alone, whose nonces are accepted here.
        old = verifier_of(issuer, DPoP(require_nonce=True, nonce_secrets=[b"o" * 32])).dpop_nonce()
        assert (await ask(nonce=old)).status == 200
        foreign = verifier_of(issuer, DPoP(require_nonce=True)).dpop_nonce()
        assert (await ask(nonce=foreign)).status == 401


async def test_without_require_nonce_no_nonce_is_issued(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    async with issuer.verifier() as verifier:
        assert verifier.dpop_nonce() is None
        token = issuer.mint(cnf=client.cnf)
        scope = asked(client.headers(token, "GET", URL, nonce="anything"))
        answer = await connect(AuthMiddleware(answered, verifier), **scope).run()
    assert (answer.status, answer.header("dpop-nonce")) == (200, None)


async def test_a_forged_key_cannot_hide_behind_a_second_spelling(
    issuer: FakeIssuer, client: FakeClient
) -> None:
    """The thumbprint is of the key itself, so other members of the jwk change nothing."""
    async with issuer.verifier() as verifier:
        token = issuer.mint(cnf=client.cnf)
        jwk = client.key.jwk()
        padded = {**jwk, "x": jwk["x"] + "=", "kid": "a", "use": "sig"}
        await verifier.verify(token, proof=shown(client, token, header={"jwk": padded}))
        signed = seal(OTHER, b'{"typ":"dpop+jwt","alg":"ES256","jwk":{}}', b"{}")
        proof = Proof(dpop=signed, method="GET", url=URL)
        assert (await refusal(verifier, token, proof)).code == "invalid_dpop_proof"


async def test_a_guard_and_the_records_see_the_caller_of_a_bound_token(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    async with issuer.verifier() as verifier:
        app = AuthMiddleware(AuthMiddleware(require_scope("orders:read")(answered), verifier), verifier)
        token = issuer.mint("ann", scope="orders:read", cnf=client.cnf)
        answer = await connect(app, **asked(client.headers(token, "GET", URL))).run()
        assert (answer.status, answer.body) == (200, b"ann")
        assert isinstance(answer.scope["user"], Principal)
        bare = client.headers(issuer.mint("ann", cnf=client.cnf), "GET", URL)
        assert (answer := await connect(app, **asked(bare)).run()).status == 403
        challenge = 'DPoP realm="authkit", error="insufficient_scope"'
        assert answer.header("www-authenticate").startswith(challenge)
