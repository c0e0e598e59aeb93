"""Issuers that other people wrote, on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from fakes import node
from fakes.ports import free_port


@pytest.fixture(scope="session")
def docs_port() -> int:
    """The port of the application whose page is a client of ``provider``."""
    return free_port()


@pytest.fixture(scope="session")
def provider(docs_port: int) -> Iterator[str]:
    """The npm package ``oidc-provider``: JWT access tokens of several algorithms, DPoP, a public client."""
    node.need("oidc-provider")
    redirect = f"http://127.0.0.1:{docs_port}/docs/oauth2-redirect"
    with node.serving("resource_provider.mjs", redirect) as url:
        yield url


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A client of HTTP that keeps cookies."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client
