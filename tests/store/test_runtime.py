"""The Runtime: transactions, savepoints and what waits for the commit."""

from __future__ import annotations

import asyncio
import logging

import asyncpg
import pytest

from authkit_issuer import errors
from authkit_issuer.runtime import Runtime
from authkit_issuer.service import Service
from authkit_issuer.store.query import Query, Statement
from fakes.patience import PATIENCE

ADD = Statement("insert into profiles.session_events (issuer, event) values ('test', $1)")
NAMES = Query(str, "select event from profiles.session_events order by id")


@pytest.fixture
def rt(service: Service) -> Runtime:
    return service.rt


class Stop(Exception):
    """What a host might raise to undo its work."""


def noting(notes: list[str], text: str):
    async def deliver() -> None:
        notes.append(text)

    return deliver


async def test_deliveries_wait_for_the_commit_and_keep_their_order(rt: Runtime) -> None:
    notes: list[str] = []
    async with rt.transaction() as tx:
        await tx.execute(ADD, "one")
        await tx.after_commit(noting(notes, "first"))
        await tx.after_commit(noting(notes, "second"))
        assert notes == []
        assert await rt.all(NAMES) == []
    assert notes == ["first", "second"]
    assert await rt.all(NAMES) == ["one"]


async def test_a_rollback_drops_writes_and_deliveries(rt: Runtime) -> None:
    notes: list[str] = []
    with pytest.raises(Stop):
        async with rt.transaction() as tx:
            await tx.execute(ADD, "one")
            await tx.after_commit(noting(notes, "never"))
            raise Stop
    assert notes == []
    assert await rt.all(NAMES) == []


async def test_a_failing_inner_transaction_drops_only_its_own(rt: Runtime) -> None:
    notes: list[str] = []
    async with rt.transaction() as tx:
        await tx.execute(ADD, "outer")
        await tx.after_commit(noting(notes, "outer"))
        with pytest.raises(Stop):
            async with tx.transaction() as inner:
                await inner.execute(ADD, "inner")
                await inner.after_commit(noting(notes, "inner"))
                raise Stop
        async with tx.transaction() as inner:
            await inner.execute(ADD, "kept")
            await inner.after_commit(noting(notes, "kept"))
        assert notes == []
    assert notes == ["outer", "kept"]
    assert await rt.all(NAMES) == ["outer", "kept"]


async def test_one_failing_delivery_does_not_cost_another(rt: Runtime) -> None:
    notes: list[str] = []

    async def fail() -> None:
        raise Stop

    with pytest.raises(Stop):
        async with rt.transaction() as tx:
            await tx.execute(ADD, "one")
            await tx.after_commit(fail)
            await tx.after_commit(noting(notes, "second"))
    assert notes == ["second"]
    assert await rt.all(NAMES) == ["one"]


async def test_a_cancelled_transaction_leaves_a_clean_connection(rt: Runtime) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with rt.transaction() as tx:
            await tx.execute(ADD, "lost")
            entered.set()
            await asyncio.Event().wait()

    for _ in range(rt.config.database_pool_size + 2):
        entered.clear()
        task = asyncio.create_task(work())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await rt.all(NAMES) == []
    await rt.execute(ADD, "kept")
    assert await rt.all(NAMES) == ["kept"]


async def test_an_exhausted_pool_is_unavailable_and_recovers(make_service, monkeypatch) -> None:
    monkeypatch.setattr("authkit_issuer.store.postgres.ACQUIRE_TIMEOUT", 0.05)
    service = await make_service(database_pool_size=1)
    async with service.rt.transaction():
        with pytest.raises(errors.DatabaseUnavailable):
            await service.rt.all(NAMES)
    assert await service.rt.all(NAMES) == []


async def test_without_a_database_every_call_says_so(make_service) -> None:
    service = await make_service(database_url=None)
    with pytest.raises(errors.StorageNotConfigured):
        await service.users.create("a@example.test", "ada_l")
    with pytest.raises(errors.StorageNotConfigured):
        async with service.transaction():
            pass
    token = await service.tokens.issue_access("some-user", "a@example.test")
    assert (await service.tokens.verify(token.token)).email == "a@example.test"


async def test_background_failures_are_named_counted_and_quiet_about_the_rest(
    rt: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("code 123456 for ada@example.test")

    with caplog.at_level(logging.ERROR):
        rt.background.start(fail, name="mail")
        await rt.background.drain(timeout=PATIENCE)
    assert rt.background.failures == 1
    assert "mail" in caplog.text
    assert "123456" not in caplog.text
    assert "ada@" not in caplog.text


async def test_a_role_that_lost_its_rights_is_an_outage_and_not_a_defect(
    make_service, database_url: str
) -> None:
    from fakes.servers import on

    service = await make_service()
    revoke = "revoke select on profiles.users from low; alter role low nologin"
    setup = (
        "drop role if exists low; create role low login;"
        "grant usage on schema profiles to low; grant select on all tables in schema profiles to low"
    )
    await on(database_url, lambda connection: connection.execute(setup))
    low = database_url.replace("postgres:@", "low:@")
    limited = await make_service(database_url=low)
    try:
        assert await limited.users.get_by_email("ada@example.test") is None
        await on(database_url, lambda connection: connection.execute(revoke))
        with pytest.raises(errors.DatabaseUnavailable):
            await limited.users.get_by_email("ada@example.test")
        await limited.pool.expire_connections()
        assert await limited.health() == {"database": False, "ephemeral_store": True}
    finally:
        await limited.close()
        drop = "drop owned by low; drop role low"
        await on(database_url, lambda connection: connection.execute(drop))
    assert (await service.health())["database"]


@pytest.mark.parametrize("address", ["localhost/db", "postgresql://h:notaport/db", "mysql://h/s3cret"])
async def test_an_unreadable_address_is_one_sentence_that_does_not_repeat_it(make_service, address) -> None:
    with pytest.raises(errors.ConfigError, match="database_url") as refused:
        await make_service(database_url=address)
    assert refused.value.__cause__ is None
    assert "s3cret" not in str(refused.value)


async def test_a_pooler_that_drops_prepared_statements_costs_one_line_that_names_the_setting(
    make_service, caplog
) -> None:
    service = await make_service(database_pool_size=1)
    assert await service.users.newest() == []
    # What the next transaction finds on another connection of a pooler in transaction mode.
    await service.pool.execute("deallocate all")
    assert await service.users.newest() == []
    lines = [record.getMessage() for record in caplog.records if record.name == "authkit.database"]
    assert len(lines) == 1
    assert "AUTHKIT_DATABASE_STATEMENT_CACHE" in lines[0]


async def test_a_statement_that_another_client_of_the_pooler_prepared_costs_such_a_line_too(
    make_service, caplog
) -> None:
    service = await make_service(database_pool_size=1)
    name = await service.pool.fetchval("select max(name) from pg_prepared_statements")
    number = int(name.removeprefix("__asyncpg_stmt_").rstrip("_"), 16)
    for following in range(number + 1, number + 20):
        await service.pool.execute(f"prepare __asyncpg_stmt_{following:x}__ as select 1")
    assert await service.users.newest() == []
    assert "AUTHKIT_DATABASE_STATEMENT_CACHE" in caplog.text


@pytest.mark.parametrize(
    "statement",
    [
        "insert into profiles.users (email) values ('Secret@example.test')",
        "insert into profiles.org_members (org_id, user_id) values (gen_random_uuid(), gen_random_uuid())",
        "insert into profiles.roles (id, slug, name) values (gen_random_uuid(), 'admin', 'secret')",
    ],
)
async def test_a_row_that_the_database_refuses_is_not_quoted_by_the_error(
    rt: Runtime, statement: str
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await rt.execute(Statement(statement))
    assert "violates" in str(refused.value)
    assert "DETAIL" not in str(refused.value)
