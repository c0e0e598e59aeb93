"""The access log of a production process: the same facts as every other line, formatted at once."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from authkit_issuer.server import access_log, logs

FACTS = {"method": "GET", "path": '/a"b\\ü', "status": 200, "request_id": "r", "ms": 0.4, "trace_id": "t"}


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, whose handlers and level are put back."""
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in ("authkit", "authkit_verify")]
    before = root.handlers[:], root.level, [logger.level for logger in ours]
    yield root
    root.handlers[:], root.level = before[0], before[1]
    for logger, level in zip(ours, before[2], strict=True):
        logger.setLevel(level)


def written(root: logging.Logger, record: logging.LogRecord) -> dict[str, Any]:
    """Return what the handler of the process writes for a record."""
    found: dict[str, Any] = json.loads(root.handlers[0].format(record))
    return found


def usual_record(name: str) -> logging.LogRecord:
    return logging.getLogger(name).makeRecord(name, logging.INFO, "f", 1, "request", (), None, extra=FACTS)


def quick_record() -> logging.LogRecord:
    return access_log.AccessRecord(FACTS, access_log.pattern(), time.time())


@pytest.mark.parametrize("several", [False, True])
def test_an_access_line_has_the_members_of_every_line(root: logging.Logger, *, several: bool) -> None:
    logs.configure(dev=False, several=several)
    quick, usual = written(root, quick_record()), written(root, usual_record("authkit.other"))
    moment = datetime.fromisoformat(quick.pop("timestamp"))
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert usual.pop("timestamp").endswith("Z")
    assert quick == {**usual, "logger": "authkit.access"}
    assert FACTS.items() <= quick.items()


def test_an_access_record_has_the_attributes_of_every_record() -> None:
    early = access_log.pattern()
    early.created -= 3600
    quick, usual = access_log.AccessRecord(FACTS, early, time.time()), usual_record("authkit.access")
    attributes = vars(usual).keys()
    assert vars(quick).keys() == attributes
    assert abs(quick.created - usual.created) < 60
    assert quick.msecs == pytest.approx(quick.created % 1 * 1000)
    assert quick.relativeCreated == pytest.approx(early.relativeCreated + 3_600_000, abs=60_000)
    moments = {"created", "msecs", "relativeCreated"}
    lines = {"pathname", "filename", "module", "lineno", "funcName"}
    for name in attributes - moments - lines:
        assert getattr(quick, name) == getattr(usual, name), name


def test_an_access_line_is_ascii_and_one_line(root: logging.Logger) -> None:
    logs.configure(dev=False)
    text = root.handlers[0].format(quick_record())
    assert text.isascii()
    assert "\n" not in text


def test_people_read_the_lines_of_a_development_server(root: logging.Logger) -> None:
    logs.configure(dev=True)
    text = root.handlers[0].format(quick_record())
    assert not text.startswith("{")
    assert all(fact in text for fact in ("status=200", "request_id=r", "authkit.access"))
    assert "facts" not in text


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
async def test_a_response_is_logged_once_without_its_query(root: logging.Logger, level: int) -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    root.handlers[:] = [handler]
    logging.getLogger("authkit").setLevel(level)

    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"0"), (b"x-request-id", b"one")]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def ignore(*_: Any) -> None:
        pass

    ticks = iter([1.0, 1.25])
    path = "/a\x1b\n" + "b" * 300
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"code=secret"}
    await access_log.AccessLog(answer, lambda: next(ticks))(scope, ignore, ignore)
    told = {"method": "GET", "path": "/a??" + "b" * 196, "status": 204, "request_id": "one", "ms": 250.0}
    assert [vars(record).items() >= told.items() for record in records] == [True] * (level == logging.INFO)
    assert not any("secret" in str(vars(record)) for record in records)
