"""The host's rows and the service's commit together, in a transaction of either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from authkit_issuer import AuthSessionEvent, NotJoinable, Service, errors
from fakes.until import until
from fakes.users import finish_background

CUSTOMERS = """
create table public.customers (
    user_id uuid primary key references profiles.users (id), plan text check (plan <> 'none')
)
"""
ADD = "insert into public.customers values ($1::text::uuid, $2)"
COUNTS = "select (select count(*) from profiles.users), (select count(*) from public.customers)"


class Stop(Exception):
    """What a host might raise to undo its work."""


@pytest.fixture
async def host(shared_pool) -> AsyncIterator[asyncpg.Connection]:
    async with shared_pool.acquire() as connection:
        await connection.execute(CUSTOMERS)
        yield connection
        await connection.execute("drop table public.customers")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authkit_issuer.runtime.FIRST_LOOK", 0.01)
    monkeypatch.setattr("authkit_issuer.runtime.LONGEST_LOOK", 0.02)


@pytest.fixture
async def ada(service: Service) -> str:
    return (await service.users.create("ada@example.test", "ada_l")).id


async def test_rows_of_the_host_that_refer_to_a_new_user_commit_with_the_user(service, host) -> None:
    async with service.transaction() as tx:
        user = await tx.users.create("ada@example.test", "ada_l")
        await tx.connection.execute(ADD, user.id, "free")
        assert tuple(await host.fetchrow(COUNTS)) == (0, 0)
    assert tuple(await host.fetchrow(COUNTS)) == (1, 1)


async def test_a_statement_of_the_host_that_fails_undoes_the_user_too(service, host) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        async with service.transaction() as tx:
            user = await tx.users.create("ada@example.test", "ada_l")
            await tx.connection.execute(ADD, user.id, "none")
    assert tuple(await host.fetchrow(COUNTS)) == (0, 0)


async def test_the_connection_belongs_to_its_transaction_alone(service) -> None:
    with pytest.raises(NotJoinable, match="use the yielded one"):
        _ = service.connection
    async with service.transaction() as tx, tx.transaction() as inner:
        assert inner.connection is tx.connection
        kept = tx.connection
    with pytest.raises(asyncpg.InterfaceError, match="released"):
        await kept.execute("select 1")


async def test_nothing_is_sent_before_the_host_commits(service, host, mailbox, ada) -> None:
    async with host.transaction():
        async with service.transaction(connection=host) as tx:
            assert tx.connection is host
            await tx.users.update_username(ada, "ada_byron")
            await host.execute(ADD, ada, "free")
        await asyncio.sleep(0.1)
        assert mailbox.messages == []
        assert (await service.users.get(ada)).username == "ada_l"
    await until(lambda: [mail.kind for mail in mailbox.messages] == ["username_changed"])
    assert (await service.users.get(ada)).username == "ada_byron"
    assert tuple(await host.fetchrow(COUNTS)) == (1, 1)


async def test_a_rollback_of_the_host_undoes_everything_and_sends_nothing(
    service, host, mailbox, ada
) -> None:
    with pytest.raises(Stop):
        async with host.transaction():
            async with service.transaction(connection=host) as tx:
                await tx.users.update_username(ada, "ada_byron")
                await host.execute(ADD, ada, "free")
            raise Stop
    await tx.deliver()
    await finish_background(service)
    assert mailbox.messages == []
    assert (await service.users.get(ada)).username == "ada_l"
    assert tuple(await host.fetchrow(COUNTS)) == (1, 0)


async def test_a_host_that_does_not_want_to_wait_delivers_after_its_commit(
    service, host, mailbox, ada, monkeypatch
) -> None:
    monkeypatch.setattr("authkit_issuer.runtime.FIRST_LOOK", 60.0)
    async with host.transaction():
        async with service.transaction(connection=host) as tx:
            await tx.users.update_username(ada, "ada_byron")
        with pytest.raises(NotJoinable, match="commit it first"):
            await tx.deliver()
    assert mailbox.messages == []
    for _ in range(2):  # the second call finds nothing
        await tx.deliver()
        await until(lambda: len(mailbox.messages) == 1)


async def test_a_block_that_fails_is_undone_alone(service, host, mailbox, ada) -> None:
    async with host.transaction():
        await host.execute(ADD, ada, "free")
        with pytest.raises(errors.UsernameTooShort):
            async with service.transaction(connection=host) as tx:
                await tx.users.update_username(ada, "ada_byron")
                await tx.users.update_username(ada, "a")
        async with service.transaction(connection=host) as tx:
            await tx.users.create("bob@example.test", "bob_m")
    await tx.deliver()
    await finish_background(service)
    assert (await service.users.get(ada)).username == "ada_l"
    assert tuple(await host.fetchrow(COUNTS)) == (2, 1)
    assert mailbox.messages == []


async def test_a_sink_receives_the_events_of_a_hosts_transaction_and_none_of_a_rollback(
    make_service, host
) -> None:
    class Sink:
        name = "sink"

        def __init__(self) -> None:
            self.heard: list[str] = []

        async def log_session_event(self, event: AuthSessionEvent) -> None:
            self.heard.append(str(event.data.get("after")))

    sink = Sink()
    service = await make_service(event_loggers=[sink])
    ada = (await service.users.create("ada@example.test", "ada_l")).id
    for name, kept in (("ada_undone", False), ("ada_byron", True)):
        transaction = host.transaction()
        await transaction.start()
        async with service.transaction(connection=host) as tx:
            await tx.users.update_username(ada, name)
        await (transaction.commit() if kept else transaction.rollback())
    await until(lambda: "ada_byron" in sink.heard)
    assert "ada_undone" not in sink.heard


async def test_what_would_not_be_atomic_is_refused(service, host, make_service, ada) -> None:
    async def join(connection: object, at: Service = service) -> None:
        async with at.transaction(connection=connection):
            raise AssertionError

    with pytest.raises(NotJoinable, match="no open transaction"):
        await join(host)
    with pytest.raises(TypeError, match="driver_connection"):
        await join(object())
    for isolation in ("repeatable_read", "serializable"):
        async with host.transaction(isolation=isolation):
            with pytest.raises(NotJoinable, match="begin it as read committed"):
                await join(host)
    async with host.transaction():
        async with service.transaction() as tx:
            with pytest.raises(NotJoinable):
                await join(host, at=tx)
            with pytest.raises(NotJoinable, match="deliver alone"):
                await tx.deliver()
        async with service.transaction(connection=host) as tx:
            with pytest.raises(NotJoinable):
                await tx.passwords.change(ada, "correct horse battery", "another horse battery")
        with pytest.raises(errors.StorageNotConfigured):
            await join(host, at=await make_service(database_url=None))


async def test_an_outage_after_the_commit_delays_what_is_sent(
    service, host, mailbox, ada, monkeypatch
) -> None:
    read, outages = service.rt.store.fetch_one, [errors.DatabaseUnavailable()] * 3

    async def down_at_first(query, args):
        if outages and "pg_xact_status" in query.sql:
            raise outages.pop()
        return await read(query, args)

    monkeypatch.setattr(
        type(service.rt.store), "fetch_one", lambda _, query, args: down_at_first(query, args)
    )
    async with host.transaction(), service.transaction(connection=host) as tx:
        await tx.users.update_username(ada, "ada_byron")
    await until(lambda: [mail.kind for mail in mailbox.messages] == ["username_changed"])
    assert outages == []
