"""``clickhouse_url``: the sink that a service has by its settings, in a server, a command or a library."""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from authkit_issuer import Config, Service, errors
from authkit_issuer.sinks import ClickHouse, ClickHouseLogger, ClickHouseReader, LogEventLogger
from fakes.clickhouse import PASSWORD, USER, Asked, ClickHouseServer, Double
from fakes.commands import assert_one_line, run, serving
from fakes.keys import as_settings

TABLE = "audit.trail"


def address(server: ClickHouseServer) -> str:
    """Return the server's address as a setting, with who we are in it."""
    return server.url.replace("://", f"://{quote(USER)}:{quote(PASSWORD, safe='')}@")


async def test_events_arrive_at_the_configured_server_and_its_password_shows_nowhere(
    make_service, clickhouse, connect, caplog, monkeypatch
) -> None:
    monkeypatch.setattr("authkit_issuer.outbox.FIRST_PAUSE", 0.01)
    caplog.set_level(logging.DEBUG, "authkit")
    await ClickHouseLogger(connect(), table=TABLE).create_table()
    clickhouse.down = True
    service: Service = await make_service(clickhouse_url=address(clickhouse), clickhouse_table=TABLE)
    user = await service.users.create("ada@example.test", "ada_l")
    async with asyncio.timeout(30):
        while not service.failures.get("sink clickhouse"):
            await asyncio.sleep(0.01)
        clickhouse.down = False
        reader = ClickHouseReader(connect(), table=TABLE)
        while not (found := await reader.list_session_events(user.id)):
            await asyncio.sleep(0.01)
    assert [event.event for event in found] == ["user_created"]
    shown = f"{caplog.text} {service!r} {service.config!r}"
    assert "clickhouse is not taking events" in shown
    assert not [secret for secret in (PASSWORD, quote(PASSWORD, safe="")) if secret in shown]


async def test_sinks_of_the_host_stay_and_one_of_that_name_is_used_instead(make_service, clickhouse) -> None:
    log = LogEventLogger()
    both = await make_service(clickhouse_url=address(clickhouse), event_loggers=[log])
    assert both.rt.sinks == ("log", "clickhouse")
    own = LogEventLogger(name="clickhouse")
    given = await make_service(clickhouse_url="http://nowhere.invalid", event_loggers=[own])
    assert given.rt.sinks == ("clickhouse",)


@pytest.mark.parametrize(
    "url",
    [
        "", "h:8123", "clickhouse://u:s3cret@h", "http://u:s3cret@", "http://u:s3cret@[h",
        "http://u:s3cret@h:port", "http://u:s3cret@h/?database=audit", "http://u:s3cret@h/#x",
        "http://u%3Av:s3cret@h", "http://u:7/s3cret@h", "http://u:x@y/s3cret@h",
    ],
)  # fmt: skip
async def test_an_address_that_cannot_work_is_refused_at_start_and_not_repeated(
    make_service, url: str
) -> None:
    with pytest.raises(errors.ConfigError, match="ClickHouse") as refused:
        await make_service(clickhouse_url=url)
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


async def test_a_malformed_table_name_is_refused_at_start(make_service) -> None:
    with pytest.raises(errors.ConfigError, match="clickhouse_table"):
        await make_service(clickhouse_url="http://h", clickhouse_table="a; drop table b")


def test_what_an_address_says_of_who_we_are_is_not_part_of_it() -> None:
    server = ClickHouse.from_url("https://an%40other:s3%2Fcret@h.example:8443/behind")
    assert repr(server) == "ClickHouse('https://h.example:8443/behind')"


def test_the_settings_come_from_the_environment() -> None:
    names = {"AUTHKIT_CLICKHOUSE_URL": "http://u:s3cret@h", "AUTHKIT_CLICKHOUSE_TABLE": TABLE}
    config = Config.from_env({"AUTHKIT_ISSUER": "i", "AUTHKIT_AUDIENCES": "a"} | names)
    assert (config.clickhouse_url, config.clickhouse_table) == ("http://u:s3cret@h", TABLE)
    assert "s3cret" not in repr(config)


class Watched(Double):
    """Says when something was inserted."""

    def __init__(self) -> None:
        super().__init__({TABLE: []})
        self.arrived = threading.Event()

    def __call__(self, asked: Asked) -> str:
        answer = super().__call__(asked)
        self.arrived.set()
        return answer


@pytest.fixture
def watched() -> Iterator[tuple[Watched, ClickHouseServer]]:
    engine = Watched()
    server = ClickHouseServer(engine)
    yield engine, server
    server.stop()


@pytest.fixture
def settings(database_url: str, redis_url: str) -> dict[str, str]:
    return as_settings() | {
        "AUTHKIT_ISSUER": "https://id.example.test",
        "AUTHKIT_AUDIENCES": "api",
        "AUTHKIT_DATABASE_URL": database_url,
        "AUTHKIT_REDIS_URL": redis_url,
        "AUTHKIT_CLICKHOUSE_TABLE": TABLE,
    }


@pytest.mark.timeout(180)
def test_the_server_delivers_what_a_command_did_while_clickhouse_was_down(
    settings: dict[str, str], watched: tuple[Watched, ClickHouseServer], tmp_path: Path
) -> None:
    engine, clickhouse = watched
    settings |= {"AUTHKIT_CLICKHOUSE_URL": address(clickhouse)}
    clickhouse.down = True
    created = run("users", "create", "--username", "ada_l", **settings)
    assert created.returncode == 0, created.stderr
    assert not engine.arrived.is_set()
    clickhouse.down = False
    with serving("--port", "0", "--data-dir", str(tmp_path), **settings) as server:
        assert engine.arrived.wait(60)
        status, log = server.stop()
    assert status == 0
    assert [(row["user_id"], row["event"]) for row in engine.tables[TABLE]] == [
        (created.stdout.strip(), "user_created")
    ]
    assert PASSWORD not in log + created.stderr
    assert quote(PASSWORD, safe="") not in log + created.stderr


@pytest.mark.timeout(180)
def test_a_server_with_an_address_that_cannot_work_does_not_start(settings: dict[str, str]) -> None:
    done = run("serve", "--port", "0", **settings, AUTHKIT_CLICKHOUSE_URL="clickhouse://u:s3cret@h")
    assert_one_line(done, "ClickHouse must be an http or https URL")
    assert "s3cret" not in done.stderr + done.stdout
