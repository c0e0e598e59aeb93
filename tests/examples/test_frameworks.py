"""Every framework's example answers alike: its caller, and refusals for no token and for a wrong scope."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from django.test import override_settings

from authkit_verify import SyncVerifier
from authkit_verify.testing import FakeIssuer
from fakes.examples import load
from fakes.repository import ROOT

EXAMPLES = ["verify_only", "starlette_app", "fastapi_app", "litestar_app", "quart_app", "django_app"]


@pytest.fixture
async def issuer() -> AsyncIterator[FakeIssuer]:
    """An issuer in process."""
    made = FakeIssuer()
    yield made
    await made.client.aclose()


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Take back what a framework sets of the root logger: Litestar does, as users of the example want it."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@asynccontextmanager
async def application(name: str, issuer: FakeIssuer) -> AsyncIterator[Any]:
    """Give the application of an example, with a verifier of the fake issuer."""
    example: Any = load(name)
    if name != "django_app":
        yield example.build(issuer.verifier())
        return
    verifier = SyncVerifier(issuer.accept(), issuer.client)
    with override_settings(**example.SETTINGS | {"AUTHKIT": {"VERIFIER": verifier}}):
        yield example.get_asgi_application()
    await asyncio.to_thread(verifier.close)


@pytest.fixture(params=EXAMPLES)
async def client(request: pytest.FixtureRequest, issuer: FakeIssuer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of one example, which accepts the tokens of the fake issuer."""
    async with (
        application(request.param, issuer) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app.example.test") as made,
    ):
        yield made


async def test_a_token_gets_its_user_in(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    answer = await client.get("/me", headers=issuer.bearer("ann", roles=["staff"]))
    assert (answer.status_code, answer.json()) == (200, {"user_id": "ann", "roles": ["staff"]})


async def test_no_token_and_a_bad_one_are_401_with_a_challenge(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    bare = await client.get("/me")
    assert (bare.status_code, bare.headers["www-authenticate"]) == (401, 'Bearer realm="authkit"')
    for token in (issuer.mint_expired(), issuer.mint_forged(), issuer.mint(aud="another"), "x"):
        answer = await client.get("/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_scope_opens_its_route_and_another_does_not(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    allowed = await client.get("/orders", headers=issuer.bearer("ann", scope="orders:read profile"))
    assert (allowed.status_code, allowed.json()) == (200, {"orders_of": "ann"})
    for scope in ("orders", "orders:write"):
        denied = await client.get("/orders", headers=issuer.bearer("ann", scope=scope))
        assert denied.status_code == 403


async def test_an_outage_of_the_issuer_is_503_and_blames_no_token(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    issuer.break_down()
    answer = await client.get("/me", headers=issuer.bearer("ann"))
    assert (answer.status_code, "www-authenticate" in answer.headers) == (503, False)
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("client", EXAMPLES[1:], indirect=True)
async def test_a_role_opens_its_route(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    assert (await client.get("/reports", headers=issuer.bearer("ann", roles=["staff"]))).status_code == 200
    assert (await client.get("/reports", headers=issuer.bearer("ann"))).status_code == 403


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_served_as_it_stands(name: str) -> None:
    assert callable(load(name).app)


def test_the_example_of_django_has_settings_of_its_own() -> None:
    # Those of a process are made once; in this one they are the tests'.
    asked = """
        import asyncio, httpx
        from examples.django_app import app
        async def ask():
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as client:
                print((await client.get("/me")).headers["www-authenticate"])
        asyncio.run(ask())
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(asked)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, 'Bearer realm="authkit"\n'), done.stderr
