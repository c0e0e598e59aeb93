"""The examples of host applications: each is run, with the host's own tables."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from authkit_issuer import Config, Service, errors
from fakes.examples import load
from fakes.mail import Mailbox
from fakes.until import until
from fakes.users import verified_user

TABLES = """
create table public.customers (
    user_id uuid primary key references profiles.users (id), plan text, renamed_at timestamptz
);
create table public.plans (user_id uuid, plan text, paid_until timestamptz);
create table public.orders (
    id bigint generated always as identity primary key, item text, user_id uuid references profiles.users (id)
)
"""


@pytest.fixture(autouse=True)
async def _tables(service: Service) -> AsyncIterator[None]:
    await service.pool.execute(TABLES)
    yield
    await service.pool.execute("drop table public.customers, public.orders, public.plans")


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


async def test_one_application_signs_users_in_and_lets_those_in_who_paid(
    service: Service, config: Config, mailbox: Mailbox
) -> None:
    app = load("host_application").build(dataclasses.replace(config, database_url=None), service.pool)
    password = "correct horse battery"
    users = [
        await verified_user(service, mailbox, f"{n}@example.test", n) for n in ("ada_l", "bob_m", "cy_k")
    ]
    await service.pool.executemany(
        "insert into public.plans values ($1::text::uuid, 'pro', now() + $2::int * interval '1 day')",
        [(users[0], 1), (users[1], -1)],
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://host.test") as client,
    ):

        async def ask(name: str) -> httpx.Response:
            body = {"identifier": f"{name}@example.test", "password": password}
            token = (await client.post("/auth/password/login", json=body)).json()["access_token"]
            return await client.get("/app/reports", headers={"authorization": f"Bearer {token}"})

        assert (await ask("ada_l")).json() == {"reports_of": users[0]}
        for name in ("bob_m", "cy_k"):
            assert (await ask(name)).status_code == 403
        assert (await client.get("/app/reports")).status_code == 401
        assert (await client.get("/auth/auth/capabilities")).status_code == 404
