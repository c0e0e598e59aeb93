"""A ClickHouse for the tests of sinks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from authkit_issuer.sinks import ClickHouse
from fakes.clickhouse import PASSWORD, USER, ClickHouseServer, Double, Real

# The engine as a library is 900 MB and not in the list: if it is installed, every test runs over both.
ENGINES = ["double", "engine"] if find_spec("chdb") else ["double"]


@pytest.fixture(params=ENGINES)
def clickhouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClickHouseServer]:
    """The interface over the double, and over the engine itself where ``chdb`` is installed."""
    if request.param == "engine":
        engine = Real(tmp_path / "clickhouse")
        server = ClickHouseServer(engine)
        yield server
        server.stop()
        engine.close()
        return
    server = ClickHouseServer(Double())
    yield server
    server.stop()


@pytest.fixture
async def connect(clickhouse: ClickHouseServer) -> AsyncIterator[Callable[..., ClickHouse]]:
    """Make connections to it that are closed afterwards."""
    made: list[ClickHouse] = []

    def make(**overrides: Any) -> ClickHouse:
        arguments = {"user": USER, "password": PASSWORD, "database": "audit"} | overrides
        made.append(ClickHouse(clickhouse.url, **arguments))
        return made[-1]

    yield make
    for server in made:
        await server.aclose()
