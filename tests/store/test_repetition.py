"""Transactions that the server gave up run again, once each, and never on other grounds than before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from authkit_issuer import errors
from authkit_issuer.runtime import Runtime
from authkit_issuer.service import Service
from authkit_issuer.store.query import Query, Statement
from fakes.proxy import Proxy
from fakes.servers import on
from fakes.transaction_isolation import default_isolation_of

pytestmark = pytest.mark.usefixtures("patient")

ADD = Statement("insert into profiles.session_events (issuer, event) values ('test', $1)")
COUNT = Query(int, "select count(*) from profiles.session_events where event = $1")
TOUCH = Query(str, "update profiles.roles set description = $2 where slug = $1 returning slug")
READ = Query(str, "select slug from profiles.roles where slug = $1")


@pytest.fixture(params=["repeatable_read", "serializable"])
def strict(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A server that gives more than it was asked for, as some distributed ones do."""
    monkeypatch.setattr("authkit_issuer.store.postgres.ISOLATION", request.param)
    monkeypatch.setattr("authkit_issuer.store.repetition.ISOLATION", request.param)
    # On a busy machine each transaction lasts longer, and loses more often.
    monkeypatch.setattr("authkit_issuer.store.repetition.MAX_REPETITIONS", 1000)
    return request.param


@pytest.fixture
async def roles(service: Service) -> AsyncIterator[Runtime]:
    assert service.pool is not None
    await service.pool.execute(
        "insert into profiles.roles (id, slug, name)"
        " values (gen_random_uuid(), 'one', 'one'), (gen_random_uuid(), 'two', 'two')"
    )
    return service.rt


def note(notes: list[str], text: str) -> Callable[[], Awaitable[None]]:
    async def deliver() -> None:
        notes.append(text)

    return deliver


async def test_twenty_of_twenty_concurrent_sign_ins_of_one_user_succeed(
    service: Service, strict: str
) -> None:
    user = (await service.users.create("ada@example.test", "ada_l")).id

    async def sign_in() -> str:
        while True:
            try:
                return (await service.sessions.issue(user)).session_id
            except errors.DatabaseUnavailable:
                # A commit that only SERIALIZABLE refuses: its session has another end when it is repeated.
                if strict != "serializable":
                    raise

    assert len(set(await asyncio.gather(*(sign_in() for _ in range(20))))) == 20


@pytest.mark.usefixtures("strict")
async def test_thirty_exchanges_of_one_token_have_one_successor(service: Service) -> None:
    user = (await service.users.create("ada@example.test", "ada_l")).id
    issued = await service.sessions.issue(user)
    pairs = await asyncio.gather(*(service.sessions.exchange(issued.refresh_token) for _ in range(30)))
    assert len({pair.refresh_token for pair in pairs}) == 1


async def test_both_sides_of_a_deadlock_commit_and_deliver_once(roles: Runtime) -> None:
    notes: list[str] = []
    meet = asyncio.Barrier(2)

    async def work(mine: str, other: str) -> None:
        async with roles.transaction() as tx:
            assert await tx.maybe(TOUCH, mine, mine) == mine
            await tx.after_commit(note(notes, mine))
            await meet.wait()
            assert await tx.maybe(TOUCH, other, mine) == other

    await asyncio.gather(work("one", "two"), work("two", "one"))
    assert sorted(notes) == ["one", "two"]
    found = await roles.all(Query(str, "select description from profiles.roles where slug in ('one', 'two')"))
    assert len(set(found)) == 1


async def test_a_deadlock_inside_a_savepoint_is_repeated_with_what_was_before_it(roles: Runtime) -> None:
    meet = asyncio.Barrier(2)

    async def work(mine: str, other: str) -> None:
        async with roles.transaction() as tx:
            await tx.execute(ADD, mine)
            async with tx.transaction() as undone:
                await undone.execute(ADD, "undone")
                with pytest.raises(ZeroDivisionError):
                    async with undone.transaction() as inner:
                        await inner.execute(ADD, "inner")
                        raise ZeroDivisionError
                async with undone.transaction() as inner:
                    await inner.maybe(TOUCH, mine, mine)
                    await meet.wait()
                    await inner.maybe(TOUCH, other, mine)

    await asyncio.gather(work("one", "two"), work("two", "one"))
    for event, times in {"one": 1, "two": 1, "undone": 2, "inner": 0}.items():
        assert await roles.one(COUNT, event) == times


async def test_a_transaction_that_read_something_else_before_is_not_repeated(
    roles: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_issuer.store.postgres.ISOLATION", "repeatable_read")
    monkeypatch.setattr("authkit_issuer.store.repetition.ISOLATION", "repeatable_read")
    notes: list[str] = []
    with pytest.raises(errors.DatabaseUnavailable):
        async with roles.transaction() as tx:
            assert await tx.one(COUNT, "new") == 0
            await roles.execute(ADD, "new")
            await roles.execute(TOUCH, "one", "meanwhile")
            await tx.after_commit(note(notes, "never"))
            await tx.maybe(TOUCH, "one", "late")
    assert notes == []
    assert await roles.one(COUNT, "new") == 1
    assert await roles.maybe(Query(str, "select description from profiles.roles where slug = $1"), "one") == (
        "meanwhile"
    )


@pytest.mark.parametrize("changed", [False, True])
async def test_a_commit_that_the_server_refuses_is_repeated_on_the_same_grounds_alone(
    roles: Runtime, monkeypatch: pytest.MonkeyPatch, *, changed: bool
) -> None:
    monkeypatch.setattr("authkit_issuer.store.postgres.ISOLATION", "serializable")
    monkeypatch.setattr("authkit_issuer.store.repetition.ISOLATION", "serializable")
    notes: list[str] = []
    meet = asyncio.Barrier(2)

    async def work(mine: str, read: str) -> None:
        async with roles.transaction() as tx:
            await tx.one(COUNT, read)
            await tx.execute(ADD, mine)
            await tx.after_commit(note(notes, mine))
            await meet.wait()

    read = ("two", "one") if changed else ("neither", "neither")
    results = await asyncio.gather(work("one", read[0]), work("two", read[1]), return_exceptions=True)
    failed = [result for result in results if result is not None]
    assert len(notes) == 2 - len(failed)
    assert {type(result) for result in failed} <= {errors.DatabaseUnavailable}
    assert len(failed) <= changed
    total = sum([await roles.one(COUNT, event) for event in ("one", "two")])
    assert total == len(notes)


async def test_a_statement_of_the_host_ends_the_repetition(service: Service, roles: Runtime) -> None:
    meet = asyncio.Barrier(2)

    async def work(mine: str, other: str) -> None:
        async with service.transaction() as tx:
            await tx.connection.execute(
                "insert into profiles.session_events (issuer, event) values ('t', 'host')"
            )
            await tx.rt.maybe(TOUCH, mine, mine)
            await meet.wait()
            await tx.rt.maybe(TOUCH, other, mine)

    results = await asyncio.gather(work("one", "two"), work("two", "one"), return_exceptions=True)
    assert sorted(str(type(result).__name__) for result in results) == ["DatabaseUnavailable", "NoneType"]
    assert await roles.one(COUNT, "host") == 1


async def test_a_plan_that_a_change_of_the_schema_outdated_is_made_again_inside_a_transaction(
    make_service: Callable[..., Awaitable[Service]], empty_database_url: str
) -> None:
    from authkit_issuer.store.migrate import migrate

    await migrate(empty_database_url)
    service = await make_service(database_url=empty_database_url, database_pool_size=1)
    assert await service.rt.maybe(READ, "admin") == "admin"
    change = "alter table profiles.roles alter column slug type varchar(80)"
    await on(empty_database_url, lambda connection: connection.execute(change))
    async with service.rt.transaction() as tx:
        assert await tx.maybe(READ, "admin") == "admin"


async def test_a_connection_that_ended_unseen_is_replaced_at_the_begin(
    make_service: Callable[..., Awaitable[Service]], proxy: Proxy, proxied_url: str
) -> None:
    service = await make_service(pool=None, database_url=proxied_url)
    await service.rt.maybe(READ, "admin")
    proxy.hangs_up = True
    async with service.rt.transaction() as tx:
        assert await tx.maybe(READ, "admin") == "admin"
    await service.close()


LEVELS = pytest.mark.parametrize("level", ["repeatable read", "serializable"])


@pytest.fixture
async def default_isolation(database_url: str, level: str) -> AsyncIterator[None]:
    """What new connections of the database begin with, unless they ask for another."""
    async with default_isolation_of(database_url, level):
        yield


@LEVELS
@pytest.mark.usefixtures("default_isolation")
async def test_a_crowd_of_single_statements_changes_one_row_whatever_the_default_is(
    make_service: Callable[..., Awaitable[Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_issuer.store.repetition.MAX_REPETITIONS", 1)
    service = await make_service(pool=None, database_pool_size=15)
    touched = await asyncio.gather(*(service.rt.maybe(TOUCH, "admin", f"{n}") for n in range(200)))
    assert touched == ["admin"] * 200


@LEVELS
@pytest.mark.usefixtures("default_isolation")
async def test_the_default_of_the_database_changes_nothing(
    make_service: Callable[..., Awaitable[Service]],
) -> None:
    service = await make_service(pool=None, database_pool_size=15)
    async with service.rt.transaction() as tx:
        assert await tx.maybe(Query(str, "select current_setting('transaction_isolation')")) == (
            "read committed"
        )
    user = (await service.users.create("ada@example.test", "ada_l")).id
    issued = await asyncio.gather(*(service.sessions.issue(user) for _ in range(20)))
    live = await service.sessions.list_for_user(user)
    assert len(live) == service.config.session_max_per_user
    token = next(one for one in issued if one.session_id == live[0].id).refresh_token
    pairs = await asyncio.gather(*(service.sessions.exchange(token) for _ in range(30)))
    assert len({pair.refresh_token for pair in pairs}) == 1
