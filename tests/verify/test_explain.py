"""explain: the verdict of verify, every fault at once, and nothing of the token."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify._policy import token_checks
from authkit_verify._verify.explain.explanation import CheckResult, Explanation
from authkit_verify.config import StricterRules
from authkit_verify.testing import FakeIssuer, FakeKey, encode, seal
from fakes.clock import FakeClock
from fakes.tokens import mutate

NOW = 1_900_000_000.0
ORDER = [
    "shape", "header", "payload", "algorithm", "issuer", "issuer_algorithm", "keys", "signature", "type",
    "expiry", "not_before", "issued_at", "lifetime", "subject", "audience",
    "required_claims", "scope", "proof",
]  # fmt: skip


async def verdict(verifier: Verifier, token: Any) -> str | None:
    try:
        await verifier.verify(token)
    except TokenError as error:
        return error.code
    return None


async def explained(verifier: Verifier, token: Any) -> dict[str, CheckResult]:
    """Return the checks by name, once the verdict is known to be that of verify."""
    explanation = await verifier.explain(token)
    assert explanation.code == await verdict(verifier, token)
    assert [check.name for check in explanation.checks] == ORDER
    return {check.name: check for check in explanation.checks}


def outcomes(checks: dict[str, CheckResult], outcome: str) -> set[str]:
    return {name for name, check in checks.items() if check.outcome == outcome}


def runs(text: str, length: int = 8) -> set[str]:
    return {text[at : at + length] for at in range(len(text) - length + 1)}


def assert_silent(explanation: Explanation, token: str) -> None:
    """Fail when eight characters in a row of the payload or the signature are repeated."""
    said = runs(str(explanation)) | runs(json.dumps(explanation.to_dict()))
    for segment in token.split(".")[1:]:
        assert not runs(segment) & said, str(explanation)


async def test_a_good_token_passes_every_check_that_applies(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        found = await explained(verifier, issuer.mint())
    assert outcomes(found, "skipped") == {"not_before", "lifetime", "required_claims", "scope"}
    assert outcomes(found, "passed") == set(ORDER) - {"not_before", "lifetime", "required_claims", "scope"}


async def test_every_fault_is_named_and_the_first_one_is_the_verdict(issuer: FakeIssuer) -> None:
    token = issuer.mint(
        header={"typ": "logout+jwt"}, lifetime=-400, aud="web", scope="a", nbf=issuer.clock() + 900, sub=""
    )
    async with issuer.verifier(required_scopes=["read"], max_lifetime=10.0) as verifier:
        explanation = await verifier.explain(token)
        found = await explained(verifier, token)
    assert outcomes(found, "failed") == {"type", "expiry", "not_before", "subject", "audience", "scope"}
    assert (explanation.code, explanation.accepted) == ("invalid_token", False)
    assert found["expiry"].code == "token_expired"
    assert found["audience"].code == "bad_audience"
    assert found["scope"].code == "insufficient_scope"


@pytest.mark.parametrize(
    ("minted", "name", "code"),
    [
        ({"lifetime": -400}, "expiry", "token_expired"),
        ({"without": ["exp"]}, "expiry", "missing_exp"),
        ({"exp": "soon"}, "expiry", "invalid_token"),
        ({"nbf": NOW + 61}, "not_before", "invalid_token"),
        ({"iat": NOW + 61}, "issued_at", "invalid_token"),
        ({"iat": 10**400}, "issued_at", "invalid_token"),
        ({"without": ["iat"]}, "lifetime", "invalid_token"),
        ({"lifetime": 1001}, "lifetime", "invalid_token"),
        ({"sub": 7}, "subject", "invalid_token"),
        ({"aud": {"a": 1}}, "audience", "invalid_token"),
        ({"without": ["aud"]}, "audience", "bad_audience"),
        ({"scope": "write"}, "scope", "insufficient_scope"),
        ({"header": {"kid": "other"}}, "keys", "unknown_kid"),
        ({"header": {"alg": "RS256"}}, "algorithm", "disallowed_alg"),
        ({"header": {"crit": ["x"]}}, "header", "invalid_token"),
        ({"key": FakeKey.generate("key-1", "ES256")}, "signature", "invalid_token"),
    ],
)
async def test_one_fault_fails_its_own_check_first(minted: dict[str, Any], name: str, code: str) -> None:
    issuer = FakeIssuer(clock=lambda: NOW)
    async with issuer.verifier(max_lifetime=1000.0, required_scopes=["read"]) as verifier:
        found = await explained(verifier, issuer.mint(**({"scope": "read"} | minted)))
    await issuer.client.aclose()
    first = next(check for check in found.values() if check.code is not None)
    assert (first.name, first.code) == (name, code)


async def test_the_setting_that_decided_is_named(issuer: FakeIssuer) -> None:
    async with issuer.verifier(algorithms=["ES256"], required_scopes=["read"]) as verifier:
        found = await explained(verifier, issuer.mint(aud="web"))
    own = "IssuerAccept(issuer='https://issuer.test')"
    assert found["audience"].setting == f"{own}.audiences = ('api',)"
    assert found["issuer_algorithm"].setting == f"{own}.algorithms = ('ES256',)"
    assert found["scope"].setting == f"{own}.required_scopes = ('read',)"
    assert found["keys"].setting == f"{own}.discovery = None"
    assert found["expiry"].setting == "AcceptConfig.skew = 60.0"
    assert found["issuer"].setting == "AcceptConfig.issuers = ('https://issuer.test',)"


async def test_a_credential_in_the_address_of_the_keys_is_left_out(issuer: FakeIssuer) -> None:
    async with issuer.verifier(jwks_url="https://issuer.test/jwks.json?key=hush") as verifier:
        assert "hush" not in str(await verifier.explain(issuer.mint()))


@pytest.mark.parametrize("iss", ["https://issuer.test/", "HTTPS://issuer.test", " https://issuer.test"])
async def test_an_issuer_that_is_nearly_right_is_pointed_out(issuer: FakeIssuer, iss: str) -> None:
    async with issuer.verifier() as verifier:
        found = await explained(verifier, issuer.mint(iss=iss, aud="web"))
    assert "which differs" in found["issuer"].seen
    assert outcomes(found, "failed") == {"issuer", "audience"}  # one issuer only: its rules are meant
    assert outcomes(found, "unknown") == {"keys", "signature"}
    assert issuer.requests == []


async def test_among_several_issuers_an_unknown_one_leaves_their_rules_open(issuer: FakeIssuer) -> None:
    other = IssuerAccept(issuer="https://other.test", audiences=["b"], algorithms=["EdDSA"])
    config = AcceptConfig(issuers=[issuer.accept(), other], algorithms=["ES256"])
    async with Verifier(config, http_client=issuer.client, clock=issuer.clock) as verifier:
        found = await explained(verifier, issuer.mint(iss="https://evil.test", lifetime=-400))
    assert outcomes(found, "failed") == {"issuer", "expiry"}
    assert {"issuer_algorithm", "type", "lifetime", "audience", "scope"} <= outcomes(found, "unknown")


async def test_a_misshapen_token_is_read_as_far_as_it_can_be(issuer: FakeIssuer) -> None:
    token = issuer.mint(aud="web", lifetime=-400)
    async with issuer.verifier() as verifier:
        for misshapen in (token + "=", token[:-41], token + "\n", "Bearer " + token):
            found = await explained(verifier, misshapen)
            assert {"expiry", "audience"} <= outcomes(found, "failed")
        assert "Bearer" in (await explained(verifier, "bearer " + token))["shape"].seen
        assert "blank" in (await explained(verifier, token + "\n"))["shape"].seen
        for hopeless in ("", "a.b", "ä.b.c", "a" * 20_000, None, 7, b"a.b.c"):
            found = await explained(verifier, hopeless)
            assert outcomes(found, "failed") == {"shape"}
            assert outcomes(found, "unknown") == set(ORDER) - {"shape"}
    assert issuer.requests == []


async def test_unavailable_keys_say_nothing_against_the_token(issuer: FakeIssuer) -> None:
    issuer.break_down()
    async with issuer.verifier() as verifier:
        found = await explained(verifier, issuer.mint())
    assert (found["keys"].outcome, found["keys"].code) == ("unknown", "keys_unavailable")
    assert outcomes(found, "failed") == set()


async def test_pinned_keys_are_named_as_what_they_are(issuer: FakeIssuer) -> None:
    pinned = {"pinned_only": True, "pinned_pems": [issuer.key.pem()]}
    async with issuer.verifier(**pinned) as verifier:
        found = await explained(verifier, issuer.mint())
    assert found["signature"].seen == "made with a key of the pinned set"
    assert found["keys"].setting is not None
    assert found["keys"].setting.endswith(".pinned_only = True")


async def test_explaining_leaves_no_trace(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        assert (await verifier.explain(issuer.mint())).accepted
        await verifier.explain(issuer.mint(lifetime=-400))
        assert len(verifier._cache) == 0
        assert verifier._headers == {}
        before = verifier.counters()[issuer.issuer]["tokens"]
        await verifier.verify(issuer.mint())
        after = verifier.counters()[issuer.issuer]["tokens"]
    assert not any(before.values())
    assert sum(after.values()) == 1


async def test_explaining_asks_the_issuer_no_more_than_verifying_does(clock: FakeClock) -> None:
    asked: list[int] = []
    for call in ("verify", "explain"):
        issuer = FakeIssuer(clock=clock)
        async with issuer.verifier() as verifier:
            judge: Callable[[str], Any] = (
                verifier.explain if call == "explain" else lambda t: verdict(verifier, t)
            )
            for number in range(50):
                await judge(issuer.mint(header={"kid": f"no-{number}"}))
                await judge(issuer.mint(header={"kid": "no", "alg": "HS256"}))
                await judge(issuer.mint(iss="https://evil.test"))
                await judge(seal(FakeKey.generate("key-1", "ES256"), b'{"alg":"ES256"}', b"{}"))
        await issuer.client.aclose()
        asked.append(issuer.fetches)
    assert asked[0] == asked[1]
    assert asked[1] <= 3


async def test_a_rotated_key_is_found_by_explaining_too(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        issuer.rotate()
        assert (await verifier.explain(issuer.mint())).accepted


HOSTILE = "\x1b[31m\x00\r\n\u202e\x7f\u2028"


async def test_hostile_values_are_escaped_and_cut_short(issuer: FakeIssuer) -> None:
    long = HOSTILE + "x" * 150
    token = issuer.mint(
        header={"kid": long, "typ": long}, iss=long, aud=[long] * 9, scope="s" * 500, jti="secret-jti",
        sub="secret-sub", email="secret@mail.test",
    )  # fmt: skip
    async with issuer.verifier() as verifier:
        explanation = await verifier.explain(token)
    text = str(explanation)
    assert text.isascii()
    assert all(line.isprintable() for line in text.split("\n"))
    assert "\\x1b[31m" in text
    assert "x" * 61 not in text
    assert "s" * 61 not in text
    assert "secret" not in text
    assert max(map(len, text.split("\n"))) < 2000
    assert_silent(explanation, token)


async def test_a_key_id_that_repeats_the_signature_is_not_shown(issuer: FakeIssuer) -> None:
    signature = encode(bytes(range(64)))
    header = encode(json.dumps({"alg": "ES256", "kid": signature}).encode())
    payload = encode(json.dumps({"iss": issuer.issuer, "aud": signature[5:], "exp": NOW}).encode())
    token = f"{header}.{payload}.{signature}"
    async with issuer.verifier() as verifier:
        explanation = await verifier.explain(token)
    assert "repeats a part of the token" in str(explanation)
    assert_silent(explanation, token)


async def test_the_table_is_aligned_and_the_record_is_plain_json(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        explanation = await verifier.explain(issuer.mint(aud="web"))
    verdict_line, heads, *rows = str(explanation).splitlines()
    assert verdict_line == "refused: bad_audience"
    assert len(rows) == len(ORDER)
    for head in ("check", "source", "what was seen"):
        assert all(row[heads.index(head) - 1] == " " for row in rows)
    read = json.loads(json.dumps(explanation.to_dict()))
    assert (read["accepted"], read["code"]) == (False, "bad_audience")
    assert [check["name"] for check in read["checks"]] == ORDER


@pytest.mark.parametrize("rule", ["algorithm", "type", "times", "subject", "audience", "scopes"])
async def test_a_rule_of_the_verifier_is_the_rule_of_the_explanation(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    def refuse(*_args: Any) -> None:
        raise TokenError("user_disabled", "a new rule")

    async with issuer.verifier(required_scopes=["a"]) as verifier:
        token = issuer.mint(scope="a")
        assert (await verifier.explain(token)).accepted
        monkeypatch.setattr(token_checks, f"check_{rule}", refuse)
        assert (await verifier.explain(token)).code == "user_disabled"


async def test_rules_on_trial_have_lines_of_their_own_and_decide_nothing(issuer: FakeIssuer) -> None:
    trial = StricterRules(
        token_types=["at+jwt"], audiences=["api-2"], max_lifetime=60.0, algorithms=["PS256"]
    )
    async with issuer.verifier(report_only=trial) as verifier:
        explanation = await verifier.explain(issuer.mint())
        refused = await verifier.explain(issuer.mint(lifetime=-400))
        assert verifier.counters()[issuer.issuer]["would_refuse"] == {}
    tried = {check.name: check for check in explanation.checks if check.report_only}
    assert explanation.accepted
    assert tried["report_only.token_types"].outcome == "passed"
    assert outcomes(tried, "failed") == {
        "report_only.audiences", "report_only.max_lifetime", "report_only.algorithms",
    }  # fmt: skip
    assert tried["report_only.audiences"].code == "bad_audience"
    assert "report_only.audiences = ('api-2',)" in (tried["report_only.audiences"].setting or "")
    assert "does not decide" in str(explanation)
    assert refused.code == "token_expired"
    assert {check.outcome for check in refused.checks if check.report_only} == {"unknown"}


@pytest.mark.timeout(1800)
async def test_the_verdict_equals_verify_on_mutated_tokens(rounds: Callable[[int], int]) -> None:
    dice = random.Random(22)
    issuer = FakeIssuer(algorithm="EdDSA", clock=lambda: NOW)
    odd = [{}, {"lifetime": -400}, {"aud": ["a", "b"]}, {"nbf": NOW + 90}, {"iss": issuer.issuer + "/"}]
    odd.append({"header": {"alg": "RS256"}})
    tokens = [
        issuer.mint(f"user-{n}", roles=["a"], scope="b c", **claims).encode() for n, claims in enumerate(odd)
    ]
    codes: set[str | None] = set()
    async with issuer.verifier() as verifier:
        for _ in range(rounds(20_000)):
            token = dice.choice(tokens)
            text = (mutate(token, dice) if dice.random() < 0.9 else token).decode("latin-1")
            explanation = await verifier.explain(text)
            assert explanation.code == await verdict(verifier, text), str(explanation)
            assert_silent(explanation, text)
            codes.add(explanation.code)
    await issuer.client.aclose()
    assert {None, "invalid_token", "token_expired", "bad_audience", "bad_issuer", "disallowed_alg"} <= codes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "scope", "scp", "auth_time", "x"]),
    JSON,
    max_size=5,
)
HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x"]), JSON, max_size=3)
SIGNER = FakeIssuer(algorithm="EdDSA", clock=lambda: NOW)


@given(header=HEADERS, claims=CLAIMS, longest=st.none() | st.just(30.0))
async def test_the_verdict_equals_verify_on_signed_tokens_of_any_content(
    header: dict[str, Any], claims: dict[str, Any], longest: float | None
) -> None:
    head = {"alg": "EdDSA", "kid": SIGNER.key.kid} | header
    body = {"iss": SIGNER.issuer, "sub": "u", "aud": "api", "exp": NOW + 9, "iat": NOW} | claims
    token = seal(SIGNER.key, json.dumps(head).encode(), json.dumps(body).encode())
    accept = IssuerAccept(
        issuer=SIGNER.issuer, audiences=["api"], pinned_only=True, max_lifetime=longest,
        required_scopes=["a"], pinned_pems=[(SIGNER.key.kid, SIGNER.key.pem())],
    )  # fmt: skip
    verifier = Verifier(AcceptConfig(issuers=[accept], algorithms=["ES256", "EdDSA"]), clock=lambda: NOW)
    explanation = await verifier.explain(token)
    assert explanation.code == await verdict(verifier, token), str(explanation)
    assert_silent(explanation, token)


async def test_the_cause_of_missing_keys_is_in_the_row_of_the_keys(issuer: FakeIssuer) -> None:
    issuer.break_down(404)
    async with issuer.verifier() as verifier:
        explanation = await verifier.explain(issuer.mint("ann"))
    row = next(check for check in explanation.checks if check.name == "keys")
    assert "https://issuer.test/.well-known/jwks.json: the response has status 404" in row.seen
    assert "authkit doctor" in row.seen
