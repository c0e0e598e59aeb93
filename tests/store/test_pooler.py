"""PgBouncer between the processes and the server, in each of its modes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from authkit_issuer.store.migrate import migrate
from fakes import pooler

MakeService = Callable[..., Awaitable[Service]]

pytestmark = [
    pytest.mark.skipif(pooler.program() is None, reason="PgBouncer is not installed"),
    pytest.mark.usefixtures("patient"),
]


@pytest.fixture
def pgbouncer(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[pooler.PgBouncer]:
    mode, _, loses = request.param.partition(", ")
    # Before 1.21 every version loses prepared statements, and since 1.24 none does by default.
    prepared = 0 if loses and pooler.version() >= (1, 21) else None
    started = pooler.PgBouncer(tmp_path / "pgbouncer", database_url, mode, prepared)
    started.start()
    yield started
    started.stop()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "authkit.database"]


async def story(service: Service, number: int) -> None:
    """Sign a user in, refresh, rename and sign out: single statements, transactions and savepoints."""
    user = (await service.users.create(f"u{number}@example.test", f"user_{number}")).id
    issued = await service.sessions.issue(user)
    pair = await service.sessions.exchange(issued.refresh_token)
    await service.users.get(user)
    await service.users.update_username(user, f"renamed_{number}")
    await service.sessions.exchange(pair.refresh_token)
    assert await service.sessions.revoke_all(user)


@pytest.mark.parametrize("pgbouncer", ["transaction", "session"], indirect=True)
async def test_two_processes_work_behind_a_pooler_with_the_defaults(
    make_service: MakeService, pgbouncer: pooler.PgBouncer, caplog: pytest.LogCaptureFixture
) -> None:
    size = 1 if "session" in pgbouncer._settings.read_text() else 4
    services = [
        await make_service(pool=None, database_url=pgbouncer.url, database_pool_size=size) for _ in range(2)
    ]
    for start in range(0, 24, 6):
        await asyncio.gather(*(story(services[number % 2], number) for number in range(start, start + 6)))
    said = lines(caplog)
    assert sum("lock_timeout" in line for line in said) == 2  # each says it once
    for service in services:
        assert (await service.health())["database"]
    assert await migrate(pgbouncer.url) == []


@pytest.mark.parametrize("pgbouncer", ["transaction, without statements"], indirect=True)
async def test_a_pooler_that_appears_later_costs_one_line_and_no_error_but_outages(
    make_service: MakeService,
    pgbouncer: pooler.PgBouncer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unaware(_: object) -> None: ...

    monkeypatch.setattr("authkit_issuer.resources.recognize", unaware)
    first, second = [await make_service(pool=None, database_url=pgbouncer.url) for _ in range(2)]
    for number in range(40):
        results = await asyncio.gather(
            story(first, 2 * number), story(second, 2 * number + 1), return_exceptions=True
        )
        assert {type(result) for result in results} <= {type(None), errors.DatabaseUnavailable}
    assert results == [None, None]
    assert sum("AUTHKIT_DATABASE_STATEMENT_CACHE" in line for line in lines(caplog)) in {1, 2}


@pytest.mark.skipif(pooler.version() < (1, 21), reason="this PgBouncer keeps no prepared statements")
@pytest.mark.parametrize(("kept", "lines_of_the_cache"), [(200, 0), (0, 1)])
async def test_a_pooler_that_keeps_prepared_statements_is_used_with_them(
    make_service: MakeService,
    database_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kept: int,
    lines_of_the_cache: int,
) -> None:
    started = pooler.PgBouncer(tmp_path / "pgbouncer", database_url, "transaction", prepared=kept)
    started.start()
    try:
        service = await make_service(pool=None, database_url=started.url)
        await asyncio.gather(*(story(service, number) for number in range(6)))
        said = [line for line in lines(caplog) if "AUTHKIT_DATABASE_STATEMENT_CACHE" in line]
        assert len(said) == lines_of_the_cache
        await service.close()
    finally:
        started.stop()


@pytest.mark.parametrize("pgbouncer", ["statement"], indirect=True)
async def test_a_pooler_without_transactions_is_refused_at_the_start_with_its_own_words(
    make_service: MakeService, pgbouncer: pooler.PgBouncer
) -> None:
    with pytest.raises(errors.DatabaseUnavailable) as refused:
        await make_service(pool=None, database_url=pgbouncer.url)
    assert "transaction" in refused.value.reason
