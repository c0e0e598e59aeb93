"""The sink and the reader over ClickHouse's HTTP interface."""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest

from authkit_issuer import AuthSessionEvent, errors
from authkit_issuer.ports import AuthEventBatchLogger
from authkit_issuer.sinks import (
    ClickHouse,
    ClickHouseLogger,
    ClickHouseReader,
    ClickHouseUnavailable,
    clickhouse_schema,
)
from fakes.clickhouse import PASSWORD, USER

MOMENT = datetime(2026, 1, 31, 23, 59, 59, 999999, UTC)
HOSTILE = "tab\tline\nquote'back\\slash\\n ünïcode 🙂"


def event(number: int, **fields: object) -> AuthSessionEvent:
    plain = {
        "id": number,
        "occurred_at": MOMENT + timedelta(microseconds=number % 1000),
        "issuer": "https://issuer.example.test",
        "user_id": f"user-{number % 2}",
        "session_id": "s",
        "event": "session_created",
    }
    return AuthSessionEvent(**(plain | fields))


@pytest.fixture
async def sink(connect) -> ClickHouseLogger:
    logger = ClickHouseLogger(connect())
    await logger.create_table()
    return logger


@pytest.fixture
def reader(connect) -> ClickHouseReader:
    return ClickHouseReader(connect())


async def test_every_field_comes_back_as_it_was(sink: ClickHouseLogger, reader: ClickHouseReader) -> None:
    bare = event(1)
    full = event(
        2**62,
        occurred_at=MOMENT.astimezone(timezone(timedelta(hours=5))),
        user_id=HOSTILE,
        method=HOSTILE,
        reason="",
        ip_addr="2001:db8::1",
        user_agent=HOSTILE,
        actor="root",
        target="org:1",
        data={"n": 1, "text": HOSTILE, "nested": {"list": [None, True]}},
    )
    await sink.log_session_events([bare, full])
    assert await reader.list_session_events("user-1") == [bare]
    assert await reader.list_session_events(HOSTILE) == [full]


async def test_an_insert_is_one_request_with_its_rows_as_the_body(sink: ClickHouseLogger, clickhouse) -> None:
    assert isinstance(sink, AuthEventBatchLogger)
    await sink.log_session_events([event(number) for number in range(100)])
    asked = clickhouse.asked[-1]
    assert asked.query == "insert into session_events format JSONEachRow"
    assert asked.database == "audit"
    assert asked.settings == {"async_insert": "0", "input_format_skip_unknown_fields": "0"}
    assert len(asked.data.splitlines()) == 100


async def test_nothing_to_tell_asks_nothing(sink: ClickHouseLogger, clickhouse) -> None:
    before = len(clickhouse.asked)
    await sink.log_session_events([])
    assert len(clickhouse.asked) == before


async def test_an_event_that_is_delivered_twice_is_read_once(
    sink: ClickHouseLogger, reader: ClickHouseReader, clickhouse
) -> None:
    clickhouse.mishaps.append("lose the answer")
    events = [event(number) for number in range(10)]
    with pytest.raises(ClickHouseUnavailable):
        await sink.log_session_events(events)
    await sink.log_session_events(events[:4])
    await sink.log_session_event(events[3])
    await sink.log_session_events(events)
    assert await reader.list_session_events("") == events[::-1]


async def test_pages_are_newest_first_and_meet_without_gap_or_overlap(
    sink: ClickHouseLogger, reader: ClickHouseReader
) -> None:
    same = [event(number, occurred_at=MOMENT) for number in range(20)]
    older = [event(100 + number, occurred_at=MOMENT - timedelta(days=number + 1)) for number in range(5)]
    await sink.log_session_events([*older, *same])
    read, before = [], None
    while page := await reader.list_session_events("", limit=7, before=before):
        read.extend(page)
        before = page[-1]
    assert read == [*reversed(same), *older]
    newest, *_ = await reader.list_session_events("user-0", limit=0)
    assert newest == same[18]


async def test_only_the_asked_types_of_events_are_read(
    sink: ClickHouseLogger, reader: ClickHouseReader, clickhouse
) -> None:
    kinds = ["session_created", "session_failed", "session_revoked", HOSTILE]
    await sink.log_session_events([event(number, event=kind) for number, kind in enumerate(kinds)])
    read = await reader.list_session_events("", "session_failed", HOSTILE, "' or 1=1 --")
    assert [found.event for found in read] == [HOSTILE, "session_failed"]
    assert await reader.list_session_events("user-1", "session_created") == []
    assert "' or 1" not in clickhouse.asked[-1].query


async def test_values_travel_as_parameters_and_never_in_the_text(
    sink: ClickHouseLogger, reader: ClickHouseReader, clickhouse
) -> None:
    assert await reader.list_session_events("' or '' = '", before=event(7)) == []
    asked = clickhouse.asked[-1]
    assert asked.parameters["user"] == "' or '' = '"
    assert asked.parameters["moment"] == "2026-02-01 00:00:00.000006"
    assert "or ''" not in asked.query


async def test_a_user_id_is_read_in_any_spelling(sink: ClickHouseLogger, reader: ClickHouseReader) -> None:
    user = "0b5c9a52-7c1a-4b8f-9a67-1d2f3e4a5b6c"
    await sink.log_session_event(event(1, user_id=user))
    assert len(await reader.list_session_events(user.upper())) == 1


@pytest.mark.parametrize("mishap", ["refuse", "hang up", "lose the answer", "midway"])
async def test_whatever_goes_wrong_is_raised_and_means_not_taken(
    sink: ClickHouseLogger, reader: ClickHouseReader, clickhouse, mishap: str
) -> None:
    for call in (sink.log_session_events([event(1)]), reader.list_session_events("user-1")):
        clickhouse.mishaps.append(mishap)
        with pytest.raises(ClickHouseUnavailable) as caught:
            await call
        assert isinstance(caught.value, errors.Unavailable)
    await sink.log_session_event(event(1))


async def test_an_unreadable_answer_is_not_an_empty_trail(
    sink: ClickHouseLogger, reader: ClickHouseReader, clickhouse
) -> None:
    clickhouse.mishaps.append("nonsense")
    with pytest.raises(ClickHouseUnavailable):
        await reader.list_session_events("user-1")


async def test_a_server_that_stalls_is_given_up_on(connect, clickhouse) -> None:
    clickhouse.mishaps.append("stall")
    sink = ClickHouseLogger(connect(timeout=0.05))
    with pytest.raises(ClickHouseUnavailable) as caught:
        await sink.log_session_event(event(1))
    assert caught.value.reason == "TimeoutError"


async def test_a_table_that_is_missing_takes_nothing(connect, sink: ClickHouseLogger) -> None:
    with pytest.raises(ClickHouseUnavailable):
        await ClickHouseLogger(connect(), table="nowhere").log_session_event(event(1))


async def test_a_refusal_says_how_and_keeps_credentials_and_rows_to_itself(
    connect, clickhouse, caplog
) -> None:
    server = connect(password="wrong-secret")
    with caplog.at_level(logging.DEBUG), pytest.raises(ClickHouseUnavailable) as caught:
        await ClickHouseLogger(server).log_session_event(event(1, user_agent="private agent"))
    assert caught.value.reason == "status 403, code 516"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    spread = base64.b64encode(f"{USER}:wrong-secret".encode()).decode()
    for text in (repr(server), str(caught.value), repr(caught.value), caught.value.reason, caplog.text):
        for secret in ("wrong-secret", spread, "private agent"):
            assert secret not in text
    assert "status 403, code 516" in caplog.text


async def test_the_client_of_the_host_is_used_and_left_open(clickhouse) -> None:
    async with httpx.AsyncClient(headers={"x-host": "yes"}) as client:
        async with ClickHouse(
            clickhouse.url, user=USER, password=PASSWORD, database="audit", client=client
        ) as server:
            await ClickHouseLogger(server).create_table()
        assert clickhouse.asked[-1].headers["x-host"] == "yes"
        assert not client.is_closed


async def test_many_calls_at_once_share_one_client_of_our_own(
    sink: ClickHouseLogger, reader: ClickHouseReader, connect
) -> None:
    server = connect()
    await asyncio.gather(*(ClickHouseLogger(server).log_session_event(event(n)) for n in range(8)))
    assert len(await reader.list_session_events("")) == 8
    own = server._own
    await server.aclose()
    assert own.is_closed


@pytest.mark.parametrize(
    "url",
    [
        "",
        "clickhouse://h",
        "http://",
        "http://user:secret@h:8123",
        "http://h/?password=secret",
        "http://h/#x",
    ],
)
def test_an_address_that_cannot_work_or_holds_credentials_is_refused(url: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        ClickHouse(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("table", ["", "a b", "a;drop", "a.b.c", "t'", "1t", "a.", "ü"])
def test_a_table_is_named_plainly(table: str) -> None:
    server = ClickHouse("http://127.0.0.1:1")
    for make in (
        lambda: ClickHouseLogger(server, table=table),
        lambda: ClickHouseReader(server, table=table),
    ):
        with pytest.raises(errors.ConfigError):
            make()
    with pytest.raises(errors.ConfigError):
        clickhouse_schema(table)


def test_the_shipped_schema_can_be_of_another_name() -> None:
    assert "create table if not exists audit.trail (" in clickhouse_schema("audit.trail")
    with pytest.raises(errors.ConfigError):
        ClickHouse("http://127.0.0.1:1", user="a:b")


def test_the_real_engine_took_part(request: pytest.FixtureRequest) -> None:
    pytest.importorskip("chdb", reason="ClickHouse's engine (chdb) is not installed: its double alone ran")
    names = [item.name for item in request.session.items]
    assert any("[engine]" in name for name in names)
