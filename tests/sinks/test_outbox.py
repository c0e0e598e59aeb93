"""The outbox under a sink in trouble: nothing lost, nothing of one user or session out of order."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence

import pytest

from authkit_issuer import AuthSessionEvent, Service, SessionEventType
from authkit_issuer.outbox import Outbox
from authkit_issuer.sinks import ClickHouseLogger, ClickHouseReader, LogEventLogger
from fakes.until import until

pytestmark = pytest.mark.timeout(300)

USERS = 20


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authkit_issuer.outbox.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("authkit_issuer.outbox.LONGEST_PAUSE", 0.2)
    monkeypatch.setattr("authkit_issuer.outbox.IDLE", 0.2)


class Sink:
    """Takes events singly, unless ``troubled`` says otherwise, before or after having taken one."""

    def __init__(self, name: str = "sink", troubled: Callable[[], bool] = lambda: False) -> None:
        self.name = name
        self.troubled = troubled
        self.told: list[AuthSessionEvent] = []

    async def log_session_event(self, event: AuthSessionEvent) -> None:
        if self.troubled():
            raise ConnectionError
        self.told.append(event)
        if self.troubled():
            raise ConnectionError


class BatchSink(Sink):
    """Takes events in batches; one that fails late has taken them."""

    def __init__(self, name: str = "sink", troubled: Callable[[], bool] = lambda: False) -> None:
        super().__init__(name, troubled)
        self.sizes: list[int] = []

    async def log_session_events(self, events: Sequence[AuthSessionEvent]) -> None:
        if self.troubled():
            raise ConnectionError
        self.sizes.append(len(events))
        self.told.extend(events)
        if self.troubled():
            raise ConnectionError


async def emptied(service: Service) -> None:
    async with asyncio.timeout(200):
        while await service.pool.fetchval("select count(*) from profiles.event_outbox"):
            await asyncio.sleep(0.02)


async def write(service: Service, count: int) -> None:
    """Record events of twenty users with two sessions each; ``data`` numbers those of each user."""

    async def one_user(user: int) -> None:
        numbers = iter(range(count // USERS))
        while batch := list(itertools.islice(numbers, 50)):
            async with service.transaction() as tx:
                for number in batch:
                    await tx.events.record(
                        SessionEventType.SESSION_CREATED,
                        actor=None,
                        user_id=f"user-{user}",
                        session_id=f"session-{user}-{number % 2}",
                        data={"number": number},
                    )

    await asyncio.gather(*(one_user(user) for user in range(USERS)))


def first_tellings(told: Sequence[AuthSessionEvent]) -> list[AuthSessionEvent]:
    """Leave repeats out: a sink receives an event at least once."""
    return list({event.id: event for event in told}.values())


def in_order(told: Sequence[AuthSessionEvent]) -> bool:
    by_user: dict[str, list[object]] = defaultdict(list)
    for event in told:
        by_user[event.user_id].append(event.data["number"])
    return len(by_user) == USERS and all(numbers == list(range(len(numbers))) for numbers in by_user.values())


@pytest.mark.parametrize("kind", [Sink, BatchSink])
async def test_a_sink_that_is_down_for_ten_thousand_events_loses_and_reorders_none(
    make_service, rounds, kind: type[Sink]
) -> None:
    """A tenth of them, but in a soak."""
    down, number = True, rounds(10_000)
    slow, steady = kind("slow", lambda: down), BatchSink("steady")
    service = await make_service(event_loggers=[slow, steady])
    await write(service, number)
    assert slow.told == []
    down = False
    await emptied(service)
    for sink in (slow, steady):
        assert len(sink.told) == len(first_tellings(sink.told)) == number
        assert in_order(sink.told)
    assert max(steady.sizes) <= 100


async def test_clickhouse_that_was_down_for_ten_thousand_events_has_them_all_once(
    make_service, rounds, clickhouse, connect
) -> None:
    """A tenth of them, but in a soak."""
    sink, number = ClickHouseLogger(connect()), rounds(10_000)
    await sink.create_table()
    clickhouse.down = True
    service = await make_service(event_loggers=[sink])
    await write(service, number)
    # It comes back and loses the answers to what it has stored now and then.
    clickhouse.mishaps.extend(["", "lose the answer", "midway", "hang up", ""] * 4)
    clickhouse.down = False
    await emptied(service)
    reader, read, before = ClickHouseReader(connect()), [], None
    while page := await reader.list_session_events("", before=before):
        read.extend(page)
        before = page[-1]
    assert len({event.id for event in read}) == len(read) == number
    for user in range(USERS):
        mine = [event for event in read if event.user_id == f"user-{user}"]
        assert [event.data["number"] for event in mine] == list(reversed(range(number // USERS)))


@pytest.mark.parametrize("kind", [Sink, BatchSink])
async def test_a_sink_that_fails_now_and_then_receives_everything_in_order(
    make_service, kind: type[Sink]
) -> None:
    calls = itertools.count(1)
    sink = kind(troubled=lambda: next(calls) % 7 == 0)
    service = await make_service(event_loggers=[sink])
    await write(service, 400)
    await emptied(service)
    told = first_tellings(sink.told)
    assert len(told) == 400
    assert in_order(told)


@pytest.mark.parametrize("kind", [Sink, BatchSink])
async def test_two_processes_tell_each_users_events_in_order_and_one_outlives_the_other(
    make_service, kind: type[Sink]
) -> None:
    calls = itertools.count(1)
    told: list[AuthSessionEvent] = []
    services = []
    for _ in range(2):
        sink = kind(troubled=lambda: next(calls) % 5 == 0)
        sink.told = told
        services.append(await make_service(event_loggers=[sink], session_max_per_user=2))
    first, second = services
    users = [(await first.users.create(None, f"user_{number}")).id for number in range(4)]

    async def live(user: str) -> None:
        for number in range(10):
            await asyncio.gather(
                *(service.sessions.issue(user, method="password_login") for service in services * 2)
            )
            if number % 3 == 0:
                await services[number % 2].sessions.revoke_all(user)

    await asyncio.gather(*(live(user) for user in users))
    await first.close()
    await second.sessions.revoke_all(users[0])
    await emptied(second)
    written = await second.pool.fetch("select id, user_id from profiles.session_events order by id")
    heard = first_tellings(told)
    for user in users:
        assert [event.id for event in heard if event.user_id == user] == [
            row["id"] for row in written if row["user_id"] == user
        ]
    for session in {event.session_id for event in heard if event.session_id}:
        lifetime = [event.event for event in heard if event.session_id == session]
        assert lifetime in (["session_created"], ["session_created", "session_revoked"])


async def test_what_was_taken_before_a_failure_is_not_told_again(service: Service, make_service) -> None:
    writer = await make_service(event_loggers=[Sink(troubled=lambda: True)])
    await write(writer, 20)
    await writer.close()
    answers = iter([False] * 10 + [True])
    sink = Sink(troubled=lambda: next(answers, False))
    outbox = Outbox(service.rt, [sink])
    with pytest.raises(ConnectionError):
        await outbox.deliver("sink", sink)
    assert len(sink.told) == 5
    assert await outbox.deliver("sink", sink) == 15
    assert len({event.id for event in sink.told}) == len(sink.told)


def shorten(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    for name, value in seconds.items():
        place = "authkit_issuer.outbox" if name == "LONGEST" else "authkit_issuer.store.lease"
        monkeypatch.setattr(f"{place}.{name}", value)


async def test_a_sink_that_hangs_is_given_up_on(
    service: Service, make_service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, LONGEST=0.6, LEASE=0.4, SAFE=0.3)
    writer = await make_service(event_loggers=[Sink(troubled=lambda: True)])
    await write(writer, 20)
    await writer.close()

    class Hanging(BatchSink):
        async def log_session_events(self, events: Sequence[AuthSessionEvent]) -> None:
            await asyncio.Event().wait()

    sink = Hanging()
    with pytest.raises(TimeoutError):
        await Outbox(service.rt, [sink]).deliver("sink", sink)
    assert await service.pool.fetchval("select count(*) from profiles.event_outbox") == 20


class Slow(BatchSink):
    """Takes three seconds for each batch; ``running`` counts the batches that it is at."""

    running = most = 0
    seconds = 3.0

    async def log_session_events(self, events: Sequence[AuthSessionEvent]) -> None:
        Slow.running += 1
        Slow.most = max(Slow.most, Slow.running)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            Slow.running -= 1
        await super().log_session_events(events)


async def queued(make_service, number: int = 20) -> None:
    writer = await make_service(event_loggers=[Sink(troubled=lambda: True)])
    await write(writer, number)
    await writer.close()


async def delivered(outbox: Outbox, sink: BatchSink) -> bool:
    """True once the lease of the other worker has ended."""
    return await outbox.deliver("sink", sink) == 20


async def test_a_batch_may_take_longer_than_a_lease_and_no_other_worker_takes_it(
    service: Service, make_service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, LEASE=1.5, SAFE=1.0)
    await queued(make_service)
    first, second = Outbox(service.rt, [sink := Slow()]), Outbox(service.rt, [other := Slow()])
    delivering = asyncio.create_task(first.deliver("sink", sink))
    await until(lambda: Slow.running == 1)
    while not delivering.done():
        assert await second.deliver("sink", other) == 0
        await asyncio.sleep(0.02)
    assert await delivering == 20
    assert (len(sink.told), len(other.told), Slow.most) == (20, 0, 1)


async def test_a_worker_that_cannot_renew_stops_before_another_one_begins(
    service: Service, make_service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, LEASE=1.5, SAFE=1.0)
    await queued(make_service)
    first, second = Outbox(service.rt, [sink := Slow()]), Outbox(service.rt, [other := Slow()])
    delivering = asyncio.create_task(first.deliver("sink", sink))
    await until(lambda: Slow.running == 1)
    taken = "update profiles.event_sinks set worker = 'another', leased_until = now() + interval '0.4 s'"
    await service.pool.execute(taken)
    with pytest.raises(TimeoutError):
        await delivering
    assert sink.told == []
    other.seconds = 0.0
    await until(lambda: delivered(second, other))


async def test_a_killed_worker_delays_its_sink_by_a_lease(
    service: Service, make_service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, LEASE=1.5, SAFE=1.0)
    await queued(make_service)
    first, second = Outbox(service.rt, [sink := Slow()]), Outbox(service.rt, [other := Slow()])
    delivering = asyncio.create_task(first.deliver("sink", sink))
    await until(lambda: Slow.running == 1)
    delivering.cancel()  # without giving the lease back
    await asyncio.gather(delivering, return_exceptions=True)
    other.seconds = 0.0
    assert await second.deliver("sink", other) == 0
    await until(lambda: delivered(second, other))


async def test_a_sink_whose_own_work_was_cancelled_is_asked_again(make_service) -> None:
    class Cancelled(Sink):
        failures = 0

        async def log_session_event(self, event: AuthSessionEvent) -> None:
            if Cancelled.failures < 2:
                Cancelled.failures += 1
                raise asyncio.CancelledError
            await super().log_session_event(event)

    service = await make_service(event_loggers=[sink := Cancelled()])
    await write(service, 20)
    await emptied(service)
    assert len(sink.told) == 20
    assert service.failures["sink sink"] == 2


async def test_a_log_is_a_sink(make_service, caplog) -> None:
    with caplog.at_level("INFO", logger="authkit.events"):
        service = await make_service(event_loggers=[LogEventLogger()])
        await write(service, 40)
        await emptied(service)
    assert len([record for record in caplog.records if record.name == "authkit.events"]) == 40


async def test_events_leave_in_the_order_of_their_time_whatever_their_numbers_are(make_service) -> None:
    sink = Sink()
    service = await make_service(event_loggers=[sink])
    # As a sequence gives them that is cached by each session or node.
    for number in (9_000_002, 9_000_001, 9_000_003):
        async with service.transaction() as tx:
            await tx.connection.execute(
                "insert into profiles.session_events (id, issuer, event, data) overriding system value"
                " values ($1::bigint, 'test', 'session_created', '{}')",
                number,
            )
            await tx.connection.execute("insert into profiles.event_outbox values ('sink', $1)", number)
    await emptied(service)
    assert [event.id for event in sink.told] == [9_000_002, 9_000_001, 9_000_003]
