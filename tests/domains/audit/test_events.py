"""The audit trail and its outbox: no event is lost, and none is reported that did not happen."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer.event_types import AuthSessionEvent, SessionEventType
from authkit_issuer.outbox import Outbox
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.patience import PATIENCE


class Sink:
    """Keeps the events it receives; fails as often as it is asked to."""

    def __init__(self, name: str = "memory", failures: int = 0) -> None:
        self.name = name
        self.failures = failures
        self.told: list[AuthSessionEvent] = []
        self.heard = asyncio.Event()

    async def log_session_event(self, event: AuthSessionEvent) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("sink down")
        self.told.append(event)
        self.heard.set()


async def emptied(service: Service) -> None:
    async with asyncio.timeout(PATIENCE):
        while await service.pool.fetchval("select count(*) from profiles.event_outbox"):
            await asyncio.sleep(0.01)


async def record(service: Service, number: int = 0, **fields: object) -> int:
    given = {"actor": None, "user_id": f"user-{number % 3}", **fields}
    return await service.events.record(SessionEventType.SESSION_CREATED, **given)  # type: ignore[arg-type]


async def test_a_sink_receives_every_field_after_the_commit(make_service) -> None:
    sink = Sink()
    service = await make_service(event_loggers=[sink])
    async with service.transaction() as tx:
        event_id = await record(
            tx,
            session_id="s",
            method="password_login",
            client=Client(ip="::ffff:192.0.2.1", user_agent="browser\r\nforged"),
            actor="root",
            target="x",
            data={"n": 1},
        )
        await asyncio.sleep(0.02)
        assert sink.told == []
    await emptied(service)
    (event,) = sink.told
    assert (event.id, event.user_id, event.session_id, event.method) == (
        event_id,
        "user-0",
        "s",
        "password_login",
    )
    assert (event.ip_addr, event.user_agent) == ("192.0.2.1", "browser  forged")
    assert (event.actor, event.target, event.data) == ("root", "x", {"n": 1})
    assert event.issuer == service.config.issuer
    assert event.occurred_at.tzinfo is not None


async def test_a_rolled_back_event_reaches_no_sink(make_service) -> None:
    sink = Sink()
    service = await make_service(event_loggers=[sink])

    class Stop(Exception):
        pass

    with pytest.raises(Stop):
        async with service.transaction() as tx:
            await record(tx)
            raise Stop
    await record(service, 1)
    await emptied(service)
    assert [event.user_id for event in sink.told] == ["user-1"]


async def test_without_sinks_the_trail_is_kept_and_no_outbox_filled(service: Service) -> None:
    await record(service)
    assert await service.pool.fetchval("select count(*) from profiles.session_events") == 1
    assert await service.pool.fetchval("select count(*) from profiles.event_outbox") == 0


async def test_a_failing_sink_gets_everything_later_in_order_and_delays_no_other(
    make_service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_issuer.outbox.FIRST_PAUSE", 0.01)
    flaky, steady = Sink("flaky", failures=3), Sink("steady")
    service = await make_service(event_loggers=[flaky, steady])
    for number in range(20):
        await record(service, number)
    await emptied(service)
    for sink in (flaky, steady):
        ids = [event.id for event in sink.told]
        assert ids == sorted(set(ids))
        assert len(ids) == 20


async def test_an_event_that_commits_late_is_not_passed_over(make_service) -> None:
    """Ids are drawn before the commit: a reader that remembers the highest id would skip this one."""
    sink = Sink()
    service = await make_service(event_loggers=[sink])
    async with service.transaction() as slow:
        late = await record(slow)
        early = await record(service, 1)
        await asyncio.wait_for(sink.heard.wait(), PATIENCE)
        assert [event.id for event in sink.told] == [early]
    await emptied(service)
    assert {event.id for event in sink.told} == {early, late}
    assert late < early


async def test_what_one_process_left_another_delivers(make_service) -> None:
    first = await make_service(event_loggers=[Sink("shared", failures=10**6)])
    await record(first)
    await first.close()
    sink = Sink("shared")
    second = await make_service(event_loggers=[sink])
    await emptied(second)
    assert len(sink.told) == 1


async def test_one_worker_at_a_time_delivers_to_a_sink(service: Service, make_service) -> None:
    """Two workers at once would tell one user's events out of order."""
    sinks = [Sink("shared"), Sink("shared")]
    writer = await make_service(event_loggers=[Sink("shared", failures=10**6)])
    for number in range(5):
        await record(writer, number)
    await writer.close()
    one, two = (Outbox(service.rt, [sink]) for sink in sinks)
    assert await one.deliver("shared", sinks[0]) == 5
    await service.pool.execute(
        "insert into profiles.event_outbox (sink, event_id) select 'shared', id from profiles.session_events"
    )
    assert await two.deliver("shared", sinks[1]) == 0
    await one.release()
    assert await two.deliver("shared", sinks[1]) == 5


async def test_a_worker_that_died_is_succeeded(service: Service, age) -> None:
    dead, heir = Outbox(service.rt, [Sink()]), Outbox(service.rt, [Sink()])
    await dead.deliver("memory", Sink())
    assert await heir.deliver("memory", Sink()) == 0
    await age("event_sinks", "memory", leased_until=61)
    await service.pool.execute(
        "insert into profiles.session_events (issuer, event) values ('i', 'session_created')"
    )
    await service.pool.execute(
        "insert into profiles.event_outbox (sink, event_id) select 'memory', id from profiles.session_events"
    )
    sink = Sink()
    assert await heir.deliver("memory", sink) == 1


async def test_two_sinks_of_one_name_are_a_mistake(make_service) -> None:
    with pytest.raises(ValueError, match="same name"):
        await make_service(event_loggers=[Sink(), Sink()])


async def test_old_events_go_once_every_sink_has_taken_them(service: Service, age) -> None:
    kept, old, queued = [await record(service, number) for number in range(3)]
    for event in (old, queued):
        await age("session_events", event, occurred_at=service.config.event_retention + 1)
    await service.pool.execute("insert into profiles.event_outbox values ('slow', $1)", queued)
    await service.pool.execute("insert into profiles.event_sinks values ('slow', 'worker', now())")
    await service.maintain()
    rows = await service.pool.fetch("select id from profiles.session_events order by id")
    assert [row["id"] for row in rows] == [kept, queued]


async def test_a_sink_that_was_removed_keeps_no_event_beyond_its_time(service: Service, age) -> None:
    old = await record(service)
    await age("session_events", old, occurred_at=service.config.event_retention + 1)
    await service.pool.execute("insert into profiles.event_outbox values ('removed', $1)", old)
    await service.pool.execute("insert into profiles.event_sinks values ('removed', 'worker', now())")
    await age("event_sinks", "removed", leased_until=29 * 86_400)
    assert await service.events.purge() == 0
    await age("event_sinks", "removed", leased_until=2 * 86_400)
    assert await service.events.purge() == 1


async def test_hosts_record_what_they_did_themselves(service: Service) -> None:
    await service.events.log_session_created("u", "sso", "s", "192.0.2.1", "browser")
    await service.events.log_session_failed("u", reason="invalid_credentials")
    await service.events.log_password_changed("u", "s")
    await service.events.log_password_recovery("u", "email")
    rows = await service.pool.fetch(
        "select event, coalesce(method, reason) as how from profiles.session_events order by id"
    )
    assert [(row["event"], row["how"]) for row in rows] == [
        ("session_created", "sso"),
        ("session_failed", "invalid_credentials"),
        ("password_changed", None),
        ("password_recovery", "email"),
    ]


async def test_what_cannot_be_stored_has_no_trail(service: Service) -> None:
    await service.users.create(None, "ada_l")
    for question in (("a\x00",), ("", "a\x00"), ("\ud800",)):
        assert await service.events.list_session_events(*question) == []


async def test_the_trail_outlives_its_user(service: Service) -> None:
    user = await service.users.create("ada@example.test", "ada_l")
    await service.pool.execute("delete from profiles.users")
    assert (
        await service.pool.fetchval(
            "select user_id from profiles.session_events where event = 'user_created'"
        )
        == user.id
    )
