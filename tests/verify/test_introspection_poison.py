"""A token on which an introspection endpoint fails, as it would in an outage: the others are not put off."""

from __future__ import annotations

import httpx
import pytest

from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock
from fakes.introspection import asked, judge
from fakes.verdicts import identity_or_code as outcome


@pytest.mark.parametrize("fault", [401, 404, 405, 502, 504, httpx.RemoteProtocolError, httpx.ReadTimeout])
async def test_a_token_on_which_the_endpoint_fails_as_in_an_outage_puts_off_no_other(
    issuer: FakeIssuer, clock: FakeClock, fault: int | type[httpx.TransportError]
) -> None:
    def answer(token: str) -> httpx.Response:
        if not token.startswith("poison"):
            return httpx.Response(200, json={"active": True, "sub": "ann", "aud": "api", "exp": clock() + 9})
        if isinstance(fault, int):
            return httpx.Response(fault)
        raise fault("")

    issuer.endpoint.answer = answer
    async with judge(issuer, max_ttl=0.0) as verifier:
        assert await outcome(verifier, "good") == "ann"
        for n in range(10):
            assert await outcome(verifier, f"poison-{n}") == "introspection_unavailable"
            assert await outcome(verifier, "good") == "ann"
        before = asked(issuer)
        assert await outcome(verifier, "poison-9") == "introspection_unavailable"
        assert asked(issuer) == before, "it is put off itself"
