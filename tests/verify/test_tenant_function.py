"""A function that decides on tenants: asked seldom, about genuine tokens alone, and closed while it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify import AuthMiddleware, Verifier, presets
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock
from fakes.verdicts import accepted_or_code as outcome

pytestmark = pytest.mark.virtual_time

Connect = Callable[..., Any]


class Register:
    """A host's register of tenants, which counts the questions."""

    def __init__(self, *tenants: str) -> None:
        self.tenants = set(tenants)
        self.asked: list[str] = []
        self.fault: Exception | None = None
        self.delay = 0.0

    async def accepts(self, tenant: str) -> bool:
        self.asked.append(tenant)
        await asyncio.sleep(self.delay)
        if self.fault is not None:
            raise self.fault
        return tenant in self.tenants


@pytest.fixture
def provider(clock: FakeClock) -> FakeIssuer:
    return FakeIssuer("https://login.test/{tenant}/v2.0", clock=clock, tenant_claim="tid")


def token(provider: FakeIssuer, tenant: str, **claims: Any) -> str:
    return provider.mint("ann", **provider.claims_of(tenant) | claims)


async def test_a_function_is_asked_once_per_tenant_and_minute(provider: FakeIssuer, clock: FakeClock) -> None:
    register = Register("acme")
    verifier = provider.verifier(tenants=register.accepts)
    register.delay = 0.01
    sent = [token(provider, "acme", jti=str(number)) for number in range(20)]
    await asyncio.gather(*(verifier.verify(one) for one in sent))
    assert register.asked == ["acme"]
    clock.advance(61)
    await asyncio.gather(*(verifier.verify(one) for one in sent))
    assert register.asked == ["acme"] * 2


async def test_a_plain_function_decides_as_well(provider: FakeIssuer) -> None:
    verifier = provider.verifier(tenants=lambda tenant: tenant == "acme")
    assert await outcome(verifier, token(provider, "acme")) == "accepted"
    assert await outcome(verifier, token(provider, "evil")) == "bad_tenant"


async def test_a_tenant_that_is_removed_is_refused_within_a_minute_cached_tokens_included(
    provider: FakeIssuer, clock: FakeClock
) -> None:
    register = Register("acme")
    verifier = provider.verifier(tenants=register.accepts)
    sent = token(provider, "acme")
    assert await outcome(verifier, sent) == "accepted"
    register.tenants.clear()
    clock.advance(30)
    assert verifier.recall(sent) is not None
    clock.advance(31)
    assert verifier.recall(sent) is None
    assert await outcome(verifier, sent) == "bad_tenant"


async def test_the_minute_begins_with_the_question_and_not_with_its_answer(
    provider: FakeIssuer, clock: FakeClock
) -> None:
    register = Register("acme")

    async def slowly(tenant: str) -> bool:
        accepted = await register.accepts(tenant)
        clock.advance(1.5)
        return accepted

    verifier = provider.verifier(tenants=slowly)
    sent = token(provider, "acme")
    assert await outcome(verifier, sent) == "accepted"
    register.tenants.clear()
    clock.advance(58.5)
    assert await outcome(verifier, sent) == "bad_tenant"


async def test_a_refusal_is_remembered_for_ten_seconds(provider: FakeIssuer, clock: FakeClock) -> None:
    register = Register()
    verifier = provider.verifier(tenants=register.accepts)
    for _ in range(3):
        assert await outcome(verifier, token(provider, "acme")) == "bad_tenant"
    assert register.asked == ["acme"]
    register.tenants.add("acme")
    clock.advance(11)
    assert await outcome(verifier, token(provider, "acme")) == "accepted"


async def test_a_function_is_asked_about_genuine_tokens_alone(provider: FakeIssuer) -> None:
    register = Register("acme")
    verifier = provider.verifier(tenants=register.accepts)
    for bad in (
        provider.mint_forged(**provider.claims_of("acme")),
        token(provider, "acme", aud="another"),
        token(provider, "acme", exp=1),
        token(provider, "acme", tid="globex"),
    ):
        assert await outcome(verifier, bad) != "accepted"
        await verifier.explain(bad)
    assert register.asked == []


async def test_a_function_that_fails_refuses_as_an_outage_and_is_logged_once(
    provider: FakeIssuer, caplog: pytest.LogCaptureFixture, connect: Connect
) -> None:
    register = Register("acme")
    register.fault = ConnectionError("no database")
    verifier = provider.verifier(tenants=register.accepts)

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    answer = await connect(AuthMiddleware(app, verifier), token=token(provider, "acme")).run()
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "issuer_check_unavailable")
    assert answer.header("retry-after") is not None
    assert await outcome(verifier, token(provider, "acme")) == "issuer_check_unavailable"
    warnings = [line for line in caplog.records if line.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "tenants of https://login.test/{tenant}/v2.0 failed" in warnings[0].getMessage()
    register.fault = None
    assert await outcome(verifier, token(provider, "acme")) == "accepted"


async def test_an_outage_after_the_minute_ends_cached_tokens_too(
    provider: FakeIssuer, clock: FakeClock
) -> None:
    register = Register("acme")
    verifier = provider.verifier(tenants=register.accepts)
    sent = token(provider, "acme")
    assert await outcome(verifier, sent) == "accepted"
    register.fault = OSError()
    clock.advance(61)
    assert await outcome(verifier, sent) == "issuer_check_unavailable"


@pytest.mark.parametrize("answer", [None, 1, "yes", object()])
async def test_an_answer_that_is_neither_true_nor_false_accepts_nothing(
    provider: FakeIssuer, answer: Any
) -> None:
    verifier = provider.verifier(tenants=lambda _tenant: answer)
    assert await outcome(verifier, token(provider, "acme")) == "issuer_check_unavailable"


async def test_a_request_that_is_cancelled_does_not_take_the_answer_from_the_others(
    provider: FakeIssuer,
) -> None:
    register = Register("acme")
    register.delay = 0.05
    verifier = provider.verifier(tenants=register.accepts)
    await verifier.warm()
    first = asyncio.create_task(verifier.verify(token(provider, "acme", jti="1")))
    second = asyncio.create_task(verifier.verify(token(provider, "acme", jti="2")))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second).tenant == "acme"
    assert register.asked == ["acme"]


def test_a_function_works_on_a_loop_for_each_call(provider: FakeIssuer) -> None:
    register = Register("acme")
    verifier = provider.verifier(tenants=register.accepts)
    for number in range(3):
        assert asyncio.run(outcome(verifier, token(provider, "acme", jti=str(number)))) == "accepted"
    assert register.asked == ["acme"]


async def test_explain_asks_only_about_a_token_that_nothing_else_refuses(provider: FakeIssuer) -> None:
    register = Register()
    verifier = provider.verifier(tenants=register.accepts)
    found = await verifier.explain(token(provider, "acme", aud="another"))
    assert (found.code, register.asked) == ("bad_audience", [])
    row = next(check for check in found.checks if check.name == "tenant")
    assert (row.outcome, row.code) == ("unknown", None)
    assert ".tenants = 'a function'" in str(row.setting)
    assert (await verifier.explain(token(provider, "acme"))).code == "bad_tenant"
    register.fault = OSError()
    found = await verifier.explain(token(provider, "globex"))
    row = next(check for check in found.checks if check.name == "tenant")
    assert (row.outcome, row.code) == ("unknown", "issuer_check_unavailable")


async def test_the_function_of_entra_gets_directory_ids_alone(clock: FakeClock) -> None:
    register = Register("common", "8eaef023-2b34-4da1-9baa-8bc8c9d6a490")
    accept = presets.entra(tenants=register.accepts, audiences=["api"])
    fake = FakeIssuer.of(accept, clock=clock)
    verifier = Verifier(accept, fake.client, clock)
    assert await outcome(verifier, token(fake, "common")) == "bad_tenant"
    assert register.asked == []
    assert await outcome(verifier, token(fake, "8eaef023-2b34-4da1-9baa-8bc8c9d6a490")) == "accepted"


async def test_many_tenants_are_asked_about_at_once_and_no_more_than_a_hundred(provider: FakeIssuer) -> None:
    register = Register(*(f"t{number}" for number in range(150)))
    register.delay = 0.1
    verifier = provider.verifier(tenants=register.accepts)
    await verifier.warm()
    sent = [token(provider, tenant) for tenant in sorted(register.tenants)]
    found = await asyncio.gather(*(outcome(verifier, one) for one in sent))
    assert (found.count("accepted"), found.count("issuer_check_unavailable")) == (100, 50)
    found = await asyncio.gather(*(outcome(verifier, one) for one in sent))
    assert set(found) == {"accepted"}
