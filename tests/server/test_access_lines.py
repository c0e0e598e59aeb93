"""The access log of a production process: the same facts as every other line, formatted at once."""

from __future__ import annotations

import json
import logging
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


def line(root: logging.Logger, name: str) -> dict[str, Any]:
    """Return what the handler of the process writes for a record of this logger."""
    record = logging.getLogger(name).makeRecord(name, logging.INFO, "f", 1, "request", (), None, extra=FACTS)
    written: dict[str, Any] = json.loads(root.handlers[0].format(record))
    return written


@pytest.mark.parametrize("several", [False, True])
def test_an_access_line_has_the_members_of_every_line(root: logging.Logger, *, several: bool) -> None:
    logs.configure(dev=False, several=several)
    quick, usual = line(root, access_log.logger.name), line(root, "authkit.other")
    moment = datetime.fromisoformat(quick.pop("timestamp"))
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert usual.pop("timestamp").endswith("Z")
    assert quick == {**usual, "logger": "authkit.access"}
    assert FACTS.items() <= quick.items()


def test_an_access_line_is_ascii_and_one_line(root: logging.Logger) -> None:
    logs.configure(dev=False)
    name = access_log.logger.name
    record = logging.getLogger(name).makeRecord(name, logging.INFO, "f", 1, "request", (), None, extra=FACTS)
    text = root.handlers[0].format(record)
    assert text.isascii()
    assert "\n" not in text


def test_people_read_the_lines_of_a_development_server(root: logging.Logger) -> None:
    logs.configure(dev=True)
    name = access_log.logger.name
    record = logging.getLogger(name).makeRecord(name, logging.INFO, "f", 1, "request", (), None, extra=FACTS)
    assert not root.handlers[0].format(record).startswith("{")
