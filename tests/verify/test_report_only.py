from __future__ import annotations

from typing import Any

import pytest

from authkit_verify import AcceptConfig, Event, StricterRules, TokenError, Verifier
from authkit_verify.testing import FakeIssuer


def trying(issuer: FakeIssuer, heard: list[Event], **rules: Any) -> Verifier:
    accept = issuer.accept(report_only=StricterRules(**rules))
    config = AcceptConfig(issuers=[accept], algorithms=("ES256", "RS256"))
    return Verifier(config, issuer.client, issuer.clock, on_event=heard.append)


@pytest.mark.parametrize(
    ("rules", "passing", "failing", "code"),
    [
        ({"token_types": ["at+jwt"]}, {}, {"header": {"typ": "JWT"}}, "invalid_token"),
        ({"audiences": ["new"]}, {"aud": ["api", "new"]}, {"aud": "api"}, "bad_audience"),
        ({"required_scopes": ["read"]}, {"scope": "read x"}, {"scope": "x"}, "insufficient_scope"),
        ({"max_lifetime": 900}, {"lifetime": 900}, {"lifetime": 901}, "invalid_token"),
        ({"max_lifetime": 900}, {"lifetime": 900}, {"without": ["iat"]}, "invalid_token"),
        ({"required_claims": {"azp": ["web"]}}, {"azp": "web"}, {"azp": "cli"}, "bad_claim"),
        ({"algorithms": ["ES256"]}, {}, None, None),
        ({"algorithms": ["RS256"]}, None, {}, "disallowed_alg"),
    ],
)
async def test_a_rule_on_trial_reports_what_it_would_refuse_and_refuses_nothing(
    issuer: FakeIssuer, rules: dict[str, Any], passing: Any, failing: Any, code: str | None
) -> None:
    heard: list[Event] = []
    async with trying(issuer, heard, **rules) as verifier:
        await verifier.warm()
        heard.clear()
        if passing is not None:
            await verifier.verify(issuer.mint(**passing))
            assert heard == []
        if failing is not None:
            await verifier.verify(issuer.mint(**failing))
            (event,) = heard
            assert (event.kind, event.issuer, event.detail) == ("would_refuse", issuer.issuer, *rules)
            assert event.code == code
        counted = verifier.counters()[issuer.issuer]
        assert counted["would_refuse"] == ({code: 1} if code else {})
        assert counted["tokens"]["accepted"] == (passing is not None) + (failing is not None)


async def test_a_rule_on_trial_and_the_rule_enforced_agree(issuer: FakeIssuer) -> None:
    rules: dict[str, Any] = {"token_types": ["at+jwt"], "required_scopes": ["read"], "max_lifetime": 900}
    tokens = [
        issuer.mint(header={"typ": typ}, scope=scope, lifetime=lifetime)
        for typ in (None, "JWT", "application/AT+jwt", "at+jwt")
        for scope in ("read", "reader", "")
        for lifetime in (900, 901)
    ]
    heard: list[Event] = []
    async with trying(issuer, heard, **rules) as trial, issuer.verifier(**rules) as strict:
        for token in tokens:
            heard.clear()
            await trial.verify(token)
            codes = [event.code for event in heard if event.kind == "would_refuse"]
            refused: list[str | None] = []
            try:
                await strict.verify(token)
            except TokenError as error:
                refused.append(error.code)
            assert set(refused) <= set(codes)
            assert bool(refused) is bool(codes)


async def test_a_token_is_tried_once_however_often_it_comes(issuer: FakeIssuer) -> None:
    heard: list[Event] = []
    async with trying(issuer, heard, required_scopes=["read"], audiences=["new"]) as verifier:
        token = issuer.mint()
        for _ in range(5):
            await verifier.verify(token)
        kinds = [event.kind for event in heard]
        assert kinds.count("would_refuse") == 2
        assert verifier.counters()[issuer.issuer]["would_refuse"] == {
            "bad_audience": 1, "insufficient_scope": 1,
        }  # fmt: skip


async def test_a_refused_token_is_not_tried(issuer: FakeIssuer) -> None:
    heard: list[Event] = []
    async with trying(issuer, heard, required_scopes=["read"]) as verifier:
        with pytest.raises(TokenError):
            await verifier.verify(issuer.mint(lifetime=-100))
        assert [event.kind for event in heard] == ["keys_fetched"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithms": ["HS256"]}, {"algorithms": []}, {"token_types": "JWT"}, {"audiences": []},
        {"required_scopes": [""]}, {"max_lifetime": 0}, {"max_lifetime": float("nan")},
    ],
)  # fmt: skip
def test_rules_that_could_not_be_enforced_are_refused_at_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        StricterRules(**wrong)


async def test_without_rules_on_trial_there_is_nothing_to_try(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        assert verifier._issuers.accepted[issuer.issuer].report_only is None
