from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify.config import SUPPORTED_ALGORITHMS
from authkit_verify.testing import FakeIssuer, FakeKey, encode, seal
from fakes.clock import FakeClock


async def code(verifier: Verifier, token: Any) -> str:
    with pytest.raises(TokenError) as caught:
        await verifier.verify(token)
    return caught.value.code


@pytest.mark.parametrize(
    "alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
async def test_every_algorithm_verifies_and_tampering_shows(alg: str) -> None:
    issuer = FakeIssuer(algorithm=alg)
    async with issuer.verifier() as verifier:
        token = issuer.mint("ann", roles=["staff"])
        claims = await verifier.verify(token)
        assert (claims.user_id, claims.roles) == ("ann", ("staff",))
        head, body, signature = token.split(".")
        other = json.loads(json.dumps(claims.to_dict())) | {"sub": "eve"}
        forged = f"{head}.{encode(json.dumps(other).encode())}.{signature}"
        assert await code(verifier, forged) == "invalid_token"
        assert await code(verifier, f"{head}.{body}.{encode(bytes(64))}") == "invalid_token"
    await issuer.client.aclose()


@pytest.mark.parametrize("alg", SUPPORTED_ALGORITHMS)
async def test_issuer_and_audience_are_enough_for_every_algorithm(alg: str, clock: FakeClock) -> None:
    issuer = FakeIssuer("https://id.test/realm", algorithm=alg, clock=clock)
    async with Verifier(issuer.accept(), http_client=issuer.client, clock=clock) as verifier:
        assert (await verifier.verify(issuer.mint("ann"))).user_id == "ann"
        for other in set(SUPPORTED_ALGORITHMS) - {alg}:
            # Whatever the token says, a key serves the algorithms of its kind, and its own "alg" binds it.
            if {alg, other} != {"EdDSA", "Ed25519"}:
                assert await code(verifier, issuer.mint(header={"alg": other})) == "disallowed_alg"


async def test_an_ed25519_key_has_two_names(clock: FakeClock) -> None:
    for published, signed in (("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")):
        issuer = FakeIssuer(algorithm=published, clock=clock)
        async with Verifier(issuer.accept(), http_client=issuer.client, clock=clock) as verifier:
            assert await verifier.verify(issuer.mint("ann", header={"alg": signed}))
        narrow = AcceptConfig(issuers=[issuer.accept()], algorithms=[published])
        async with Verifier(narrow, http_client=issuer.client, clock=clock) as verifier:
            assert await code(verifier, issuer.mint(header={"alg": signed})) == "disallowed_alg"


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "HS256", "es256", "", "ES384", "RS256"])
async def test_no_other_algorithm_gets_as_far_as_the_keys(issuer: FakeIssuer, alg: str) -> None:
    async with issuer.verifier() as verifier:
        assert await code(verifier, issuer.mint(header={"alg": alg})) == "disallowed_alg"
    assert issuer.fetches == 0


async def test_algorithms_belong_to_one_issuer_each(clock: FakeClock) -> None:
    ec, ed = FakeIssuer(clock=clock), FakeIssuer("https://other.test", algorithm="EdDSA", clock=clock)
    for one in (ec, ed):
        one.client = ec.client
    config = AcceptConfig(
        issuers=[ec.accept(algorithms=["ES256"]), ed.accept(algorithms=["EdDSA"])], algorithms=["RS256"]
    )
    async with Verifier(config, http_client=ec.client, clock=clock) as verifier:
        await verifier.verify(ec.mint())
        assert await code(verifier, ec.mint(key=ed.key)) == "disallowed_alg"
    await ec.client.aclose()


async def test_an_unknown_issuer_causes_no_fetch(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        for iss in ("https://evil.test", issuer.issuer + "/", issuer.issuer.upper(), ""):
            assert await code(verifier, issuer.mint(iss=iss)) == "bad_issuer"
        assert await code(verifier, issuer.mint(without=["iss"])) == "bad_issuer"
        assert await code(verifier, issuer.mint(iss=[issuer.issuer])) == "invalid_token"
    assert issuer.requests == []


async def test_one_issuers_key_does_not_speak_for_another(clock: FakeClock) -> None:
    good, evil = FakeIssuer(clock=clock), FakeIssuer("https://evil.test", clock=clock)
    config = AcceptConfig(
        issuers=[good.accept(), IssuerAccept(issuer=evil.issuer, audiences=["evil-api"])],
        algorithms=["ES256"],
    )
    async with Verifier(config, http_client=good.client, clock=clock) as verifier:
        assert await code(verifier, good.mint(key=evil.key)) == "invalid_token"
        assert await code(verifier, good.mint(aud="evil-api")) == "bad_audience"
    await good.client.aclose()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lifetime": -61}, "token_expired"),
        ({"without": ["exp"]}, "missing_exp"),
        ({"exp": "2000000000"}, "invalid_token"),
        ({"nbf": 4_000_000_000}, "invalid_token"),
        ({"iat": 4_000_000_000}, "invalid_token"),
        ({"without": ["sub"]}, "invalid_token"),
        ({"aud": "other"}, "bad_audience"),
        ({"without": ["aud"]}, "bad_audience"),
        ({"header": {"typ": "logout+jwt"}}, "invalid_token"),
        ({"header": {"crit": ["exp"], "exp": 1}}, "invalid_token"),
        ({"header": {"b64": False}}, "invalid_token"),
    ],
)
async def test_a_genuine_token_is_refused_for_what_it_says(
    issuer: FakeIssuer, changes: dict[str, Any], expected: str
) -> None:
    async with issuer.verifier() as verifier:
        assert await code(verifier, issuer.mint(**changes)) == expected


async def test_the_first_failing_check_names_the_code(issuer: FakeIssuer) -> None:
    """Shape, algorithm, issuer, key id, signature, type, times, audience, scope."""
    async with issuer.verifier(required_scopes=["read"]) as verifier:
        await verifier.warm()
        wrong: dict[str, Any] = {
            "header": {"crit": ["x"], "alg": "HS256", "kid": "unheard", "typ": "x+jwt"},
            "iss": "https://evil.test", "lifetime": -100, "aud": "other",
            "key": FakeKey.generate("evil", "ES256"),
        }  # fmt: skip
        codes = [await code(verifier, issuer.mint(**wrong))]
        steps: list[Any] = ["crit", "alg", "iss", "kid", "key", "typ", "lifetime", "aud"]
        for step in steps:
            if step in wrong["header"]:
                wrong["header"] = {n: v for n, v in wrong["header"].items() if n != step}
                if step == "kid":
                    wrong["header"]["kid"] = issuer.key.kid
            else:
                wrong.pop(step)
            codes.append(await code(verifier, issuer.mint(**wrong)))
    assert codes == [
        "invalid_token", "disallowed_alg", "bad_issuer", "unknown_kid", "invalid_token", "invalid_token",
        "token_expired", "bad_audience", "insufficient_scope",
    ]  # fmt: skip


async def test_any_audience_and_named_types_and_scopes_are_per_issuer(issuer: FakeIssuer) -> None:
    async with issuer.verifier(audiences=[], any_audience=True, token_types=["at+jwt"]) as verifier:
        assert (await verifier.verify(issuer.mint(aud=["x", "y"]))).audience == ("x", "y")
        assert (await verifier.verify(issuer.mint(without=["aud"]))).audience == ()
        assert await code(verifier, issuer.mint(header={"typ": "JWT"})) == "invalid_token"
        assert await code(verifier, issuer.mint(header={"typ": None})) == "invalid_token"
    async with issuer.verifier(required_scopes=["read"], max_lifetime=900) as verifier:
        assert (await verifier.verify(issuer.mint(scope="read write"))).scopes == ("read", "write")
        assert await code(verifier, issuer.mint(scope="reader")) == "insufficient_scope"
        assert await code(verifier, issuer.mint(scope="read", lifetime=901)) == "invalid_token"


async def test_an_embedded_key_is_never_used(issuer: FakeIssuer) -> None:
    evil = FakeKey.generate(issuer.key.kid, "ES256")
    async with issuer.verifier() as verifier:
        for header in ({"jwk": evil.jwk()}, {"jku": "https://evil.test/k"}, {"x5u": "https://evil.test/c"}):
            assert await code(verifier, issuer.mint(key=evil, header=header)) == "invalid_token"
        await verifier.verify(issuer.mint(header={"jwk": evil.jwk()}))
    assert {request.url.host for request in issuer.requests} == {"issuer.test"}


@pytest.mark.parametrize(
    "payload",
    [
        '{"iss":"https://issuer.test","iss":"https://issuer.test"}',
        "[" * 8000,
        '{"a":' * 3000,
        "\ufeff{}",
        "1",
    ],
)
async def test_a_signed_payload_that_is_not_strict_json_is_refused(issuer: FakeIssuer, payload: str) -> None:
    header = json.dumps({"alg": "ES256", "kid": issuer.key.kid}).encode()
    async with issuer.verifier() as verifier:
        assert await code(verifier, seal(issuer.key, header, payload.encode())) == "invalid_token"


@pytest.mark.parametrize("token", [None, b"a.b.c", 1, "", "a.b.c", "." * 100_000, "\ud800", "é.é.é"])
async def test_what_is_not_a_token_is_refused_as_one(issuer: FakeIssuer, token: Any) -> None:
    async with issuer.verifier() as verifier:
        assert await code(verifier, token) == "invalid_token"


REFUSALS = [
    ({"iss": "https://x"}, "bad_issuer", "iss is 'https://x'; see IssuerAccept.issuer"),
    ({"iss": "https://issuer.test/"}, "bad_issuer", "differs from an accepted one by the slash at its end"),
    ({"without": ["iss"]}, "bad_issuer", "it has no iss"),
    ({"aud": "x"}, "bad_audience", "'x'; see audiences"),
    ({"aud": ["x", "y\n", "z", "q"]}, "bad_audience", r"['x', 'y\n', 'z', ...]; see audiences"),
    ({"header": {"alg": "RS256"}}, "disallowed_alg", "'RS256'; algorithms lists ES256"),
    ({"header": {"kid": "k\x1b[31m"}}, "unknown_kid", r"'k\x1b[31m'"),
    ({"typ": "logout+jwt"}, "invalid_token", "'logout+jwt'; see token_types"),
    ({"lifetime": -100}, "token_expired", "100 s ago"),
    ({"nbf": "now + 200"}, "invalid_token", "nbf is 200 s ahead of the clock here"),
    ({"iat": "now + 200"}, "invalid_token", "iat is 200 s ahead of the clock here"),
    ({"aud": "x" * 5000}, "bad_audience", "and 4940 more; see audiences"),
]


@pytest.mark.parametrize(("changes", "expected", "detail"), REFUSALS)
async def test_a_refusal_names_the_value_and_the_setting(
    issuer: FakeIssuer, changes: dict[str, Any], expected: str, detail: str
) -> None:
    now = int(issuer.clock())
    terms = {name: now + 200 if value == "now + 200" else value for name, value in changes.items()}
    async with issuer.verifier() as verifier:
        with pytest.raises(TokenError) as caught:
            await verifier.verify(issuer.mint(**terms))
    assert caught.value.code == expected
    assert caught.value.detail.endswith(detail) or detail in caught.value.detail
    assert caught.value.description == f"{caught.value.reason}: {caught.value.detail}"
    # What is shown to clients and written to logs is printable, and short whatever was sent.
    assert caught.value.description.isascii()
    assert caught.value.description.isprintable()
    assert len(caught.value.description) < 300


async def test_no_refusal_repeats_any_part_of_the_encoded_token(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        for changes in ({"iss": "x"}, {"aud": "x"}, {"header": {"kid": "x"}}, {"sub": ["SECRET"]}):
            token = issuer.mint(**changes)
            with pytest.raises(TokenError) as caught:
                await verifier.verify(token)
            said = str(caught.value) + repr(caught.value)
            assert not any(token[at : at + 8] in said for at in range(len(token) - 8))
            assert "SECRET" not in said


async def test_every_refusal_is_one_line_of_the_log_at_debug(
    issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    async with issuer.verifier() as verifier:
        await verifier.warm()
        for level, lines in ((logging.INFO, 0), (logging.DEBUG, 1)):
            caplog.clear()
            with caplog.at_level(level, "authkit_verify"):
                assert await code(verifier, issuer.mint(aud="x")) == "bad_audience"
            said = [one.getMessage() for one in caplog.records if one.name == "authkit_verify"]
            assert len(said) == lines
    assert said == ["refused a token: bad_audience: the token is for another audience: 'x'; see audiences"]


async def test_a_mutated_claims_object_changes_no_later_verification(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint(roles=["user"])
        claims = await verifier.verify(token)
        with pytest.raises((TypeError, AttributeError)):
            claims.raw["roles"].append("admin")
        assert (await verifier.verify(token)).roles == ("user",)


async def test_the_memory_of_headers_is_bounded_and_closed_to_forged_tokens(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        for n in range(300):
            await code(
                verifier,
                issuer.mint(header={"junk": n}, key=FakeKey("evil", "ES256", issuer.key.private_key)),
            )
        assert len(verifier._headers) == 0
        for n in range(300):
            await verifier.verify(issuer.mint(header={"junk": n}))
        assert 0 < len(verifier._headers) <= 256


async def test_verifying_with_keys_in_memory_never_suspends(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        await verifier.warm()
        with pytest.raises(StopIteration) as done:
            verifier.verify(issuer.mint()).send(None)
        assert done.value.value.user_id == "user-1"


def test_the_default_clocks_are_the_machines_own() -> None:
    import time

    verifier = Verifier(AcceptConfig(issuers=[IssuerAccept(issuer="https://i.test", audiences=["a"])]))
    assert verifier._wall is time.time
