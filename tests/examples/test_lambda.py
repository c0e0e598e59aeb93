"""The example of AWS Lambda: events go in one by one, and the event loop stands still or ends in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock
from fakes.examples import load


def event(path: str, headers: dict[str, str], version: str) -> dict[str, Any]:
    """Return an event of API Gateway: of an HTTP API (2.0), or of a REST API (1.0)."""
    if version == "2.0":
        return {
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
            "headers": {"host": "api.example.test"} | {name.lower(): text for name, text in headers.items()},
            "requestContext": {
                "http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
                "stage": "$default",
            },
            "isBase64Encoded": False,
        }  # fmt: skip
    return {
        "resource": "/{proxy+}", "path": path, "httpMethod": "GET", "queryStringParameters": None,
        "multiValueHeaders": {name: [text] for name, text in headers.items()}, "headers": headers,
        "requestContext": {"resourcePath": "/{proxy+}", "identity": {"sourceIp": "192.0.2.1"}},
        "body": None, "isBase64Encoded": False,
    }  # fmt: skip


class Function:
    """A deployed function: it is called with events, each on a loop of its own or all on one."""

    def __init__(self, issuer: FakeIssuer, *, loop_per_event: bool) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_per_event = loop_per_event
        self.use_new_loop()
        self.example = load("lambda_app")
        self._handler = self.example.build(issuer.verifier())

    def __call__(self, path: str, headers: dict[str, str], version: str = "2.0") -> Any:
        if self._loop_per_event:
            self.use_new_loop()
        return self._handler(event(path, headers, version), None)

    def use_new_loop(self) -> None:
        self.close()
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()
        asyncio.set_event_loop(None)


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    made = FakeIssuer(clock=clock)
    made.slow(0.02)  # any network takes a moment, in which the event ends
    return made


@pytest.fixture(params=[False, True], ids=["one loop", "a loop per event"])
def function(request: pytest.FixtureRequest, issuer: FakeIssuer) -> Iterator[Function]:
    made = Function(issuer, loop_per_event=request.param)
    yield made
    made.close()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_events_are_answered_as_requests(function: Function, issuer: FakeIssuer, version: str) -> None:
    for _ in range(2):  # new, then cached
        answer = function("/me", issuer.bearer("ann", roles=["staff"]), version)
        assert answer["statusCode"] == 200
        assert json.loads(answer["body"]) == {"user_id": "ann", "roles": ["staff"]}
    bare = function("/me", {}, version)
    assert bare["statusCode"] == 401
    assert 'Bearer realm="authkit"' in str(bare)
    assert function("/me", issuer.bearer(aud="x"), version)["statusCode"] == 401
    assert function("/orders", issuer.bearer("ann"), version)["statusCode"] == 403
    assert function("/orders", issuer.bearer("ann", scope="orders:read"), version)["statusCode"] == 200


def test_a_withdrawn_key_is_refused_once_its_time_is_over(
    function: Function, issuer: FakeIssuer, clock: FakeClock
) -> None:
    headers = issuer.bearer("ann", lifetime=100_000)
    assert function("/me", headers)["statusCode"] == 200
    issuer.rotate(keep=False)
    clock.advance(310)
    assert function("/me", headers)["statusCode"] == 401


def test_a_withdrawn_key_is_refused_though_events_cut_every_fetch_off(
    function: Function, issuer: FakeIssuer, clock: FakeClock
) -> None:
    headers = issuer.bearer("ann", lifetime=100_000)
    assert function("/me", headers)["statusCode"] == 200
    issuer.rotate(keep=False)
    seen = []
    for _ in range(10):  # from the moment when a fetch is due until the keys are 300 s old
        clock.advance(30.5)
        seen.append(function("/me", headers)["statusCode"])
    assert seen[-1] == 401


def test_a_new_key_is_accepted_at_once(function: Function, issuer: FakeIssuer) -> None:
    assert function("/me", issuer.bearer("ann"))["statusCode"] == 200
    issuer.rotate()
    assert function("/me", issuer.bearer("ann"))["statusCode"] == 200


def test_the_example_can_be_deployed_as_it_is(function: Function) -> None:
    assert callable(function.example.handler)
