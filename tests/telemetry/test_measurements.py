"""What a service counts: requests, statements, calls, queues, and nothing without a telemetry."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from authkit_issuer.ephemeral.measured import measured
from authkit_issuer.ephemeral.memory import MemoryStore
from authkit_issuer.errors import DatabaseUnavailable
from authkit_issuer.http import create_app
from authkit_issuer.ports import EphemeralStore
from authkit_issuer.prometheus import ServiceCollector
from authkit_issuer.sampling import Sampling
from authkit_issuer.store.measured import Statements
from authkit_issuer.telemetry import measurements as names
from authkit_issuer.telemetry.measurements import BY_NAME, MEASUREMENTS
from authkit_issuer.telemetry.tally import MAX_SERIES, Tally, combined
from fakes.repository import sources
from fakes.users import finish_background


def scraped(collector: ServiceCollector) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(collector)
    lines = generate_latest(registry).decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


@pytest.fixture
def collector() -> ServiceCollector:
    return ServiceCollector()


@pytest.fixture
async def client(make_service, collector):
    service = await make_service(telemetry=collector)
    transport = httpx.ASGITransport(app=create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://id.test") as client:
        client.service = service
        yield client


async def test_requests_are_counted_by_route_and_refusals_by_code(client, collector) -> None:
    for _ in range(3):
        await client.get("/auth/user/me")
    await client.post("/auth/password/login", json={"identifier": "ada@example.test", "password": "wrong"})
    await client.get("/auth/nowhere/ada@example.test")
    seen = scraped(collector)
    me = 'authkit_http_request_seconds_count{method="GET",route="/auth/user/me",status="401"}'
    assert seen[me] == 3
    assert seen['authkit_http_refusals_total{code="missing_token",status="401"}'] == 3
    assert seen['authkit_http_refusals_total{code="invalid_credentials",status="401"}'] == 1
    assert not [line for line in seen if "ada" in line]


async def test_statements_are_named_by_verb_and_table_and_timed(client, collector) -> None:
    user = await client.service.users.create(None, "ada_l")
    pair = await client.service.sessions.issue(user.id, method="password_login")
    body = {"grant_type": "refresh_token", "refresh_token": pair.refresh_token}
    assert (await client.post("/auth/token", json=body)).status_code == 200
    seen = scraped(collector)
    counted = [line for line in seen if line.startswith("authkit_database_statement_seconds_count")]
    assert any('statement="insert users"' in line for line in counted), counted
    assert any("refresh_sessions" in line for line in counted)
    assert seen["authkit_database_connection_wait_seconds_count"] >= 2
    assert seen["authkit_ephemeral_call_seconds_count"] >= 1


async def test_an_outage_is_counted_by_its_cause(make_service, collector, database_url) -> None:
    url = f"{database_url}&default_transaction_read_only=on"
    service = await make_service(database_url=url, telemetry=collector)
    with pytest.raises(DatabaseUnavailable):
        await service.users.create(None, "ada_l")
    seen = scraped(collector)
    assert seen['authkit_database_failures_total{cause="ReadOnlySQLTransactionError"}'] == 1


async def test_a_caller_that_waits_for_a_connection_is_seen(make_service, collector) -> None:
    service = await make_service(pool=None, database_pool_size=1, telemetry=collector)
    statements = service.resources._statements
    async with service.transaction():
        waiting = asyncio.create_task(service.users.get("00000000-0000-0000-0000-000000000000"))
        while not statements.waiting:
            await asyncio.sleep(0.001)
        Sampling(service.rt, collector, service.pool, statements)._of_process()
        seen = collector.numbers
        assert seen["authkit_database_waiting",] == [1]
        assert seen["authkit_database_connections_used",] == seen["authkit_database_connections_max",] == [1]
    await asyncio.gather(waiting, return_exceptions=True)
    assert statements.waiting == 0


async def test_queues_hashes_failures_and_the_clock_are_sampled(make_service, collector) -> None:
    class Down:
        name = "archive"

        async def log_session_event(self, event) -> None:
            raise ConnectionError

    service = await make_service(telemetry=collector, event_loggers=[Down()])
    user = await service.users.create(None, "ada_l")
    await service.sessions.issue(user.id, method="password_login")

    async def fail() -> None:
        raise ConnectionError

    service.rt.background.start(fail, name="mail")
    await finish_background(service)
    sampling = Sampling(service.rt, collector, service.pool, Statements(collector))
    await service.pool.execute("update profiles.session_events set occurred_at = now() - interval '1 hour'")
    await sampling.sample()
    await sampling.sample()
    seen = scraped(collector)
    assert seen['authkit_outbox_events{sink="archive"}'] >= 1
    assert 3600 <= seen['authkit_outbox_age_seconds{sink="archive"}'] < 3700
    assert seen['authkit_background_failures_total{work="mail"}'] in {1, 2}  # by the service's own loop, too
    assert seen["authkit_clock_difference_seconds"] > 0
    assert seen["authkit_hashing_threads"] >= 1
    assert seen["authkit_webhook_events"] == 0


async def test_a_service_without_telemetry_measures_nothing(service) -> None:
    assert service.telemetry is None
    assert type(service.rt.store).__name__ == "PoolStore"
    assert type(service.rt.ephemeral).__name__ == "MemoryStore"
    assert "authkit sampling" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_measured_ephemeral_store_has_every_member_of_the_port(clock) -> None:
    tally = Tally()
    store = measured(MemoryStore(clock), tally)
    members = {name for name in vars(EphemeralStore) if not name.startswith("_")}
    assert {name for name in members if hasattr(store, name)} == members
    assert await store.set("key", b"value", 10, only_if_absent=True)
    assert await store.take("key") == b"value"
    assert sum(tally.numbers["authkit_ephemeral_call_seconds",][:-1]) == 2


def test_every_measurement_is_used() -> None:
    constants = {name for name, value in vars(names).items() if value in MEASUREMENTS}
    text = "\n".join(path.read_text() for path in sources("authkit_issuer"))
    used = {name for name in constants if re.search(rf"\b{name}\b(?! = Measurement)", text)}
    assert used == constants
    assert len(BY_NAME) == len(constants)


def test_a_tally_has_a_bound() -> None:
    tally = Tally()
    for number in range(MAX_SERIES + 10):
        tally.count(names.REFUSALS.name, status="400", code=str(number))
    assert len(tally.numbers) == MAX_SERIES


def test_numbers_of_several_processes_are_added_and_shared_ones_are_not() -> None:
    one, other = Tally(), Tally()
    for tally, waiting in ((one, 5), (other, 7)):
        tally.count(names.REFUSALS.name, 2, status="503", code="server_busy")
        tally.observe(names.POOL_WAITS.name, 0.004)
        tally.gauge(names.POOL_USED.name, 3)
        tally.gauge(names.OUTBOX_WAITING.name, waiting, sink="archive")
    both = combined([one.numbers, other.numbers])
    assert both["authkit_http_refusals", "503", "server_busy"] == [4]
    assert both["authkit_database_connection_wait_seconds",][1] == 2
    assert both["authkit_database_connections_used",] == [6]
    assert both["authkit_outbox_events", "archive"] == [7]
