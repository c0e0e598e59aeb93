"""The claims that a token needs, and random payloads under random mappings and requirements."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify import ClaimsMapping, IssuerAccept, TokenError, Verifier
from authkit_verify.testing import FakeIssuer
from fakes.verdicts import code, outcome

Rounds = Callable[[int], int]


async def test_a_token_needs_the_required_values(issuer: FakeIssuer) -> None:
    terms: dict[str, Any] = {
        "required_claims": {
            "token_use": "access",
            "azp": ["a", "b"],
            "tenant.level": 3,
            "mfa": True,
            "acr": ...,
        }
    }
    good: dict[str, Any] = {
        "token_use": "access",
        "azp": "b",
        "tenant": {"level": 3},
        "mfa": True,
        "acr": "x",
    }
    assert await code(issuer, issuer.mint(**good), **terms) is None
    for wrong in (
        {"token_use": "id"}, {"token_use": ["access"]}, {"token_use": "Access"}, {"token_use": None},
        {"azp": "c"}, {"azp": ""}, {"azp": "ab"}, {"tenant": {"level": "3"}}, {"tenant": {"level": 3.0}},
        {"tenant": 3}, {"tenant.level": 3, "tenant": {}}, {"mfa": 1}, {"mfa": "true"}, {"acr": None},
        {"tenant": {"level": True}}, {"tenant": [{"level": 3}]}, {"token_use": {"access": 1}},
    ):  # fmt: skip
        assert await code(issuer, issuer.mint(**good | wrong), **terms) == "bad_claim", wrong
    for absent in good:
        assert await code(issuer, issuer.mint(**good, without=[absent]), **terms) == "bad_claim", absent


async def test_a_refusal_names_the_claim_and_the_setting_and_not_the_value(issuer: FakeIssuer) -> None:
    async with issuer.verifier(required_claims={"azp": "web"}) as verifier:
        with pytest.raises(TokenError) as missing:
            await verifier.verify(issuer.mint())
        with pytest.raises(TokenError) as wrong:
            await verifier.verify(issuer.mint(azp="evil<script>"))
    assert missing.value.description == "the token has no azp, which required_claims asks for"
    assert wrong.value.description == "the token's azp is not one that required_claims accepts"


@pytest.mark.parametrize(
    "required",
    [{"azp": None}, {"azp": []}, {"azp": ""}, {"azp": ["a", None]}, {"azp": 1.5}, {"azp": b"a"},
     {"azp": {"a": 1}}, {"azp": [["a"]]}, ["azp"], "azp"],
)  # fmt: skip
def test_a_required_value_that_was_left_unset_does_not_accept_every_value(required: Any) -> None:
    with pytest.raises(ValueError, match="required_claims"):
        IssuerAccept(issuer="https://a.test", audiences=["api"], required_claims=required)


def test_no_requirement_rests_on_what_users_write_themselves() -> None:
    for terms in (
        {"required_claims": {"user_metadata.staff": True}},
        {"issuer": "https://{tenant}.a.test", "tenants": ["x"], "tenant_claim": "unsafe_metadata.tenant",
         "jwks_url": "https://a.test/keys"},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="users can edit"):
            IssuerAccept(**{"issuer": "https://a.test", "audiences": ["api"]} | terms)


NAMES = ("a", "b", "sub", "aud", "scope", "org", "roles")
SCALARS = ("x", "y", "", "x y", "api", 0, 1, True, False, None, 1.5)


def value(dice: random.Random, depth: int) -> Any:
    """Return a random JSON value."""
    kind = dice.random()
    if depth and kind < 0.35:
        return {dice.choice(NAMES): value(dice, depth - 1) for _ in range(dice.randrange(4))}
    if depth and kind < 0.5:
        return [value(dice, depth - 1) for _ in range(dice.randrange(4))]
    return dice.choice(SCALARS)


def at(payload: Any, name: str) -> Any:
    """Return the value at a dotted path, by another way than the code under test."""
    for step in name.split("."):
        payload = payload.get(step) if isinstance(payload, dict) else None
    return payload


def chosen(dice: random.Random) -> list[str]:
    return [".".join(dice.choices(NAMES, k=dice.randrange(1, 4))) for _ in range(dice.randrange(1, 4))]


@pytest.mark.timeout(900)
async def test_any_payload_under_any_mapping_is_refused_or_accepted_by_rule(rounds: Rounds) -> None:
    dice = random.Random(41)
    issuer = FakeIssuer(algorithm="EdDSA")
    verdicts: dict[str | None, int] = {}
    for _ in range(rounds(200)):
        fields = {name: chosen(dice) for name in ClaimsMapping.__dataclass_fields__ if dice.random() < 0.5}
        required = {
            name: dice.choice([..., "x", ["x", 1], True, 0, [False, "y"]])
            for name in (chosen(dice) if dice.random() < 0.4 else [])
        }
        async with issuer.verifier(claims=ClaimsMapping(**fields), required_claims=required) as verifier:
            for _ in range(40):
                payload = {"aud": "api", "sub": "u"} | value_of(dice)
                verdict = await judged(verifier, issuer.mint(**payload), payload, fields, required)
                verdicts[verdict] = verdicts.get(verdict, 0) + 1
    assert set(verdicts) == {None, "bad_audience", "invalid_token", "bad_claim"}


def value_of(dice: random.Random) -> dict[str, Any]:
    """Return a random JSON object."""
    return {dice.choice(NAMES): value(dice, 3) for _ in range(dice.randrange(6))}


async def judged(verifier: Verifier, token: str, payload: Any, fields: Any, required: Any) -> str | None:
    """Return the verdict, once it and the claims agree with the rule."""
    code = await outcome(verifier, token)
    if code is not None:
        return code
    accepted = await verifier.verify(token)
    audience = first(payload, fields.get("audience", ["aud"]))
    assert audience == "api" or "api" in audience
    assert accepted.user_id == first(payload, fields.get("subject", ["sub"])) != ""
    for name, values in required.items():
        found = at(payload, name)
        listed = values if isinstance(values, list) else [values]
        assert found is not None
        assert values is ... or any(type(found) is type(one) and found == one for one in listed)
    if "roles" in fields:
        assert set(accepted.roles) == {text for name in fields["roles"] for text in texts(at(payload, name))}
    for name in ("groups", "permissions", "org", "org_roles", "username", "client_id", "has_org", "scopes"):
        getattr(accepted, name)
    return None


def first(payload: Any, names: list[str]) -> Any:
    return next(found for name in names if (found := at(payload, name)) is not None)


def texts(found: Any) -> list[str]:
    items = found if isinstance(found, list) else [found]
    return [item for item in items if isinstance(item, str) and (item or isinstance(found, list))]
