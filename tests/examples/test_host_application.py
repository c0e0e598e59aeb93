"""The examples of host applications: each is run, with the host's own tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from authkit_issuer import Service, errors
from fakes.examples import load
from fakes.until import until

TABLES = """
create table public.customers (
    user_id uuid primary key references profiles.users (id), plan text, renamed_at timestamptz
);
create table public.orders (
    id bigint generated always as identity primary key, item text, user_id uuid references profiles.users (id)
)
"""


@pytest.fixture(autouse=True)
async def _tables(service: Service) -> AsyncIterator[None]:
    await service.pool.execute(TABLES)
    yield
    await service.pool.execute("drop table public.customers, public.orders")


async def test_a_customer_and_an_account_are_one_transaction(service: Service, mailbox) -> None:
    example = load("host_transaction")
    user_id = await example.import_user(service, "ada@example.test", "ada_l")
    assert len(await service.sessions.list_for_user(user_id)) == 1
    with pytest.raises(errors.UsernameInUse):
        await example.import_user(service, "other@example.test", "ADA_L")
    assert await service.users.get_by_email("other@example.test") is None
    assert await service.pool.fetchval("select count(*) from public.customers") == 1
    await example.rename_customer(service, service.pool, user_id, "ada_byron")
    assert await service.pool.fetchval("select renamed_at is not null from public.customers")
    await until(lambda: [mail.kind for mail in mailbox.messages] == ["username_changed"])


@pytest.fixture
async def engine(service: Service, database_url: str) -> AsyncIterator[Any]:
    sqlalchemy = pytest.importorskip("sqlalchemy.ext.asyncio", reason="SQLAlchemy is not installed")
    made = sqlalchemy.create_async_engine(
        database_url.replace("postgresql://", "postgresql+asyncpg://").partition("?")[0],
        connect_args={"host": await service.pool.fetchval("show unix_socket_directories")},
    )
    yield made
    await made.dispose()


async def test_the_service_joins_a_transaction_of_sqlalchemy(service: Service, engine: Any) -> None:
    sign_up = load("sqlalchemy_transaction").sign_up
    user_id = await sign_up(engine, service, "ada@example.test", "ada_l")
    assert str(await service.pool.fetchval("select user_id from public.orders")) == user_id
    with pytest.raises(errors.UsernameInUse):
        await sign_up(engine, service, "other@example.test", "ada_l")
    assert await service.pool.fetchval("select count(*) from public.orders") == 1


async def test_a_connection_of_sqlalchemy_that_has_not_begun_is_refused(
    service: Service, engine: Any
) -> None:
    async with engine.begin() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        with pytest.raises(errors.NotJoinable, match="first statement"):
            async with service.transaction(connection=raw):
                raise AssertionError
