"""What the readiness probe says of a database that answers, and takes no writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.clock import FakeClock
from fakes.patience import PATIENCE
from fakes.proxy import Proxy
from fakes.servers import on

MakeService = Callable[..., Awaitable[Service]]

WITHIN = 2.0
"""Seconds in which the probe must say what is."""
FULL = """
    create function profiles.no_space() returns trigger language plpgsql as
    $$ begin raise exception 'no space left' using errcode = '53100'; end $$;
    create trigger no_space before insert on profiles.users for each row execute function profiles.no_space();
"""


async def cause(service: Service) -> str | None:
    problem = (await service.readiness())["database"]
    return None if problem is None else problem.cause


async def becomes(service: Service, expected: str | None, seconds: float = 5 * WITHIN) -> None:
    began = time.monotonic()
    while (found := await cause(service)) != expected:
        assert time.monotonic() - began < seconds, found
        await asyncio.sleep(0.1)


async def run(address: str, *statements: str) -> None:
    for statement in statements:
        await on(address, lambda connection, text=statement: connection.execute(text))


async def test_a_database_that_turned_read_only_is_not_ready_and_ready_soon_after(
    make_service: MakeService, database_url: str
) -> None:
    service = await make_service(pool=None, database_pool_size=15)
    change = f"alter database {urlsplit(database_url).path.lstrip('/')}"
    assert await cause(service) is None
    await run(database_url, f"{change} set default_transaction_read_only = on")
    try:
        assert service.pool is not None
        await service.pool.expire_connections()
        await becomes(service, "read_only")
        with pytest.raises(errors.DatabaseUnavailable):
            await service.users.create("ada@example.test", "ada_l")
        assert await service.users.newest() == []
    finally:
        await on(database_url, lambda connection: connection.execute(
            f"set transaction_read_only = off; {change} reset default_transaction_read_only"
        ))  # fmt: skip
    await becomes(service, None)
    assert (await service.users.create("ada@example.test", "ada_l")).id


async def test_a_full_disk_that_a_request_met_is_not_ready_for_a_while(
    make_service: MakeService, database_url: str
) -> None:
    service = await make_service(pool=None, database_pool_size=15)
    await run(database_url, FULL)
    try:
        with pytest.raises(errors.DatabaseUnavailable):
            await service.users.create("ada@example.test", "ada_l")
        assert await cause(service) == "disk_full"
    finally:
        await run(database_url, "drop function profiles.no_space() cascade")
    await becomes(service, None, 4)


async def test_a_role_that_may_not_write_is_not_ready(make_service: MakeService, database_url: str) -> None:
    setup = (
        "drop role if exists reader; create role reader login; grant usage on schema profiles to reader;"
        "grant select on all tables in schema profiles to reader"
    )
    await run(database_url, setup)
    service = await make_service(pool=None, database_url=database_url.replace("postgres:@", "reader:@"))
    assert await cause(service) == "not_allowed"
    await service.close()
    await run(database_url, "drop owned by reader; drop role reader")


async def test_a_server_that_fell_silent_is_not_ready_within_two_seconds(
    make_service: MakeService, proxy: Proxy, proxied_url: str
) -> None:
    service = await make_service(pool=None, database_url=proxied_url)
    assert await cause(service) is None
    proxy.silent = True
    async with asyncio.timeout(PATIENCE):
        assert await cause(service) == "unreachable"
    proxy.silent = False
    await becomes(service, None)
    await service.close()


async def test_one_process_writes_for_all(make_service: MakeService, database_url: str) -> None:
    services = [await make_service() for _ in range(3)]
    await run(database_url, "update profiles.readiness set written_at = now() - interval '1 minute'")
    before = "select xmin::text from profiles.readiness"
    row = await on(database_url, lambda connection: connection.fetchval(before))
    for service in services:
        assert await cause(service) is None
    written = await on(database_url, lambda connection: connection.fetchval(before))
    assert written != row
    for service in services:
        assert await cause(service) is None
    assert await on(database_url, lambda connection: connection.fetchval(before)) == written


async def test_a_clock_that_is_far_off_stops_the_start_and_a_near_one_is_a_warning(
    make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    for seconds in (400, -400):
        with pytest.raises(errors.StartupError, match=rf"\{seconds:+d} s from the database's"):
            await make_service(clock=FakeClock(time.time() + seconds))
    caplog.clear()
    service = await make_service(clock=lambda: time.time() + 60)
    assert sum("+60 s from the database's" in record.getMessage() for record in caplog.records) == 1
    await service.maintain()
    assert sum("+60 s from the database's" in record.getMessage() for record in caplog.records) == 2
    caplog.clear()
    await make_service(clock=FakeClock(time.time() + 20))
    assert "from the database's" not in caplog.text
