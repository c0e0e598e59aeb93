"""Webhooks of several processes: one delivers, nothing is lost, nothing is out of order."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import asyncpg
import pytest

from authkit_issuer import Service, SessionEventType
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.webhooks.delivery import WebhookWorker
from authkit_issuer.store.query import Query
from fakes.patience import PATIENCE
from fakes.receiver import Receiver, receiving
from fakes.until import until

WAITING = "select count(*) from profiles.webhook_deliveries where ended_at is null"
END_OF_THE_LEASE = "select leased_until from profiles.webhook_endpoints"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = "authkit_issuer.domains.webhooks.delivery"
    monkeypatch.setattr(f"{worker}.IDLE", 0.02)
    monkeypatch.setattr(f"{worker}.PAUSES", (0.01,) * 9)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


async def record(service: Service, number: int) -> None:
    await service.events.record(
        SessionEventType.SESSION_CREATED, actor=None, user_id="ada", session_id=str(number)
    )


async def emptied(service: Service) -> None:
    async with asyncio.timeout(PATIENCE):
        # Not on the pool: a race runs under each isolation, and a look may lose one as well.
        while await service.rt.one(Query(int, WAITING)):
            await asyncio.sleep(0.02)


async def test_of_several_processes_one_delivers_each_event(make_service, receiver) -> None:
    services = [await make_service() for _ in range(4)]
    await services[0].webhooks.add(receiver.url)
    for number in range(60):
        await record(services[number % 4], number)
    await emptied(services[0])
    assert receiver.numbers == list(range(60))


async def test_events_of_many_transactions_all_arrive_once(make_service, receiver) -> None:
    services = [await make_service() for _ in range(3)]
    await services[0].webhooks.add(receiver.url)
    await asyncio.gather(*(record(services[number % 3], number) for number in range(60)))
    await emptied(services[0])
    assert sorted(receiver.numbers) == list(range(60))


async def test_a_message_whose_record_is_lost_is_sent_again_under_its_id(
    make_service, receiver, monkeypatch
) -> None:
    """As if the process had been killed between the answer and the record."""
    from authkit_issuer.domains.webhooks import delivery

    monkeypatch.setattr("authkit_issuer.store.lease.LEASE", 0.4)
    service = await make_service()
    execute, lost = type(service.rt).execute, []

    async def lose(rt, query, *args):
        if query is delivery.DELIVERED and not lost:
            lost.append(query)
            raise asyncio.CancelledError
        if query is delivery.RELEASE and len(lost) == 1:
            lost.append(query)
            raise asyncio.CancelledError
        return await execute(rt, query, *args)

    monkeypatch.setattr(type(service.rt), "execute", lose)
    await service.webhooks.add(receiver.url)
    for number in (1, 2):
        await record(service, number)
    await until(lambda: receiver.numbers == [1, 1, 2])
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert ids[0] == ids[1] != ids[2]


async def test_a_connection_that_dies_at_any_step_loses_no_event(
    make_service, receiver, database_url
) -> None:
    service = await make_service(pool=None, database_pool_size=4)
    await service.webhooks.add(receiver.url)
    admin = await asyncpg.connect(database_url)
    try:
        for number in range(30):
            async with service.transaction() as tx:
                await record(tx, number)
            if number % 5 == 0:
                await admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'authkit' and pid <> pg_backend_pid()"
                    " and datname = current_database()"
                )
                await asyncio.sleep(0.05)
        async with asyncio.timeout(PATIENCE):
            while await admin.fetchval(WAITING):
                await asyncio.sleep(0.05)
    finally:
        await admin.close()
    assert list(dict.fromkeys(receiver.numbers)) == list(range(30))


async def test_a_process_that_ends_hands_its_endpoint_on_at_once(make_service, receiver, monkeypatch) -> None:
    monkeypatch.setattr("authkit_issuer.store.lease.LEASE", 3600.0)
    first = await make_service()
    await first.webhooks.add(receiver.url)
    await record(first, 1)
    await until(lambda: receiver.numbers == [1])
    await first.close()
    second = await make_service()
    await record(second, 2)
    await until(lambda: receiver.numbers == [1, 2])


async def test_an_endpoint_that_is_removed_while_it_is_served_stops_nothing(make_service, receiver) -> None:
    service = await make_service()
    receiver.answers = ["hang"]
    made = await service.webhooks.add(f"{receiver.url}/gone")
    await record(service, 1)
    await until(lambda: len(receiver.received) == 1)
    await service.webhooks.remove(made.id)
    await service.webhooks.add(receiver.url)
    await record(service, 2)
    await until(lambda: receiver.numbers == [1, 2])


async def test_a_killed_process_delays_its_endpoint_by_a_lease_which_a_living_one_renews(
    make_service, receiver, monkeypatch
) -> None:
    monkeypatch.setattr("authkit_issuer.store.lease.LEASE", 5.0)  # renewed every second
    monkeypatch.setattr("authkit_issuer.store.lease.SAFE", 4.0)
    monkeypatch.setattr("authkit_issuer.domains.webhooks.delivery.IDLE", 3600.0)
    service = await make_service()
    await service.webhooks.add(receiver.url)
    silent = dataclasses.replace(service.rt, wake_webhooks=lambda: None)
    await Events(silent).record(SessionEventType.SESSION_CREATED, actor=None, user_id="ada", session_id="1")
    first, second = WebhookWorker(service.rt), WebhookWorker(service.rt)
    receiver.answers = ["hang"]
    await first.claim()
    await until(lambda: receiver.numbers == [1])
    began = await service.pool.fetchval(END_OF_THE_LEASE)
    while await service.pool.fetchval(END_OF_THE_LEASE) == began:
        await second.claim()
        await asyncio.sleep(0.05)
    assert receiver.numbers == [1]

    async def killed(_endpoint_id: str) -> None:
        """Give nothing back."""

    monkeypatch.setattr(first, "_release", killed)
    for task in first._running.values():
        task.cancel()
    await asyncio.gather(*first._running.values(), return_exceptions=True)
    await second.claim()
    assert receiver.numbers == [1]
    await service.pool.execute("update profiles.webhook_endpoints set leased_until = now()")
    await second.claim()
    await until(lambda: receiver.numbers == [1, 1])
    for worker in (first, second):
        await worker.close()
