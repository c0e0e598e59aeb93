"""A service with passkeys, a user, and an authenticator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from authkit_issuer.service import Service
from fakes.factors import PASSWORD, new_user
from fakes.passkeys import SETTINGS, Authenticator


@pytest.fixture
async def service(make_service: Callable[..., Awaitable[Service]]) -> Service:
    return await make_service(**SETTINGS)


@pytest.fixture
async def user_id(service: Service) -> str:
    """A user with a verified address and a password."""
    return await new_user(service, password=PASSWORD)


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator()
