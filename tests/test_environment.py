"""Which environment a service takes itself to be in is said once, when it opens."""

from __future__ import annotations

import logging

import pytest


@pytest.mark.parametrize(
    ("environment", "said"),
    [("test", "environment test, checked as development"), ("", "environment unset, checked as development")],
)
async def test_a_service_says_how_it_was_checked(make_service, caplog, environment: str, said: str) -> None:
    with caplog.at_level(logging.INFO, logger="authkit.service"):
        await make_service(environment=environment)
    assert [record.getMessage() for record in caplog.records if record.name == "authkit.service"] == [said]


async def test_production_is_said_too(make_service, caplog, redis_url: str) -> None:
    with caplog.at_level(logging.INFO, logger="authkit.service"):
        await make_service(environment="prodution", redis_url=redis_url, sms_countries=("*",))
    assert "environment prodution, checked as production" in caplog.text
