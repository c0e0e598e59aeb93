"""A service with recovery, and a user who has an app and three contacts."""

from __future__ import annotations

import pytest

from authkit_issuer.service import Service
from fakes.factors import EMAIL, PASSWORD, with_app
from fakes.mail import Mailbox
from fakes.recovery import DELAY, FACTOR_NUMBER, NUMBER
from fakes.users import finish_background


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(recovery_delay=DELAY)


@pytest.fixture
async def ada(service: Service, mailbox: Mailbox) -> str:
    """A user with an app, a verified number, and another number that gets codes."""
    user_id, _, _ = await with_app(service, EMAIL, password=PASSWORD)
    assert service.pool is not None
    await service.pool.execute(
        "update profiles.users set phone_number = $2, phone_verified = true where id = $1::text::uuid",
        user_id,
        NUMBER,
    )
    await service.pool.execute(
        "insert into profiles.second_factors (user_id, kind, phone_number)"
        " values ($1::text::uuid, 'sms', $2)",
        user_id,
        FACTOR_NUMBER,
    )
    await finish_background(service)
    mailbox.messages.clear()
    return user_id
