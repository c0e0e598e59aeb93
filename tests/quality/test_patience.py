"""No test fails because the machine is busy: what cannot be late, early or taken is left to no clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.repository import name, sources

LAWS = {
    "a test waits for an event, and measures no seconds that a busy machine exceeds": (
        r"assert .*(?:monotonic|perf_counter|loop|time)\(\) - \w+ <=? ?(?:1?\d)(?:\.\d+)?$",
        set(),
    ),
    "a cost is measured in time.thread_time(), which runs only while the code does": (
        r"(?:perf_counter|process_time)\(",
        set(),
    ),
    "what must come is waited for with fakes.patience": (
        r"(?:asyncio\.timeout\(|asyncio\.wait_for\(.*, ?)(?:[1-9]|1\d)(?:\.\d+)?\)",
        set(),
    ),
    "work in the background is finished by fakes.users": (
        r"background\.drain\(timeout=\d",
        set(),
    ),
    "ports come from fakes.ports, or are 0": (r"\.bind\(\(\"[^\"]*\", [^0]", {"tests/fakes/ports.py"}),
    "inputs are as many as fakes.soak says": (
        r"max_examples=",
        {"tests/fakes/soak.py", "tests/properties/conftest.py"},
    ),
}


def files() -> Iterator[Path]:
    return (path for path in sources("tests") if path != Path(__file__))


@pytest.mark.parametrize("law", LAWS)
def test_no_test_can_fail_by_the_load_of_the_machine(law: str) -> None:
    pattern, exempt = LAWS[law]
    found = {
        f"{name(path)}: {line.strip()}"
        for path in files()
        if name(path) not in exempt
        for line in path.read_text().splitlines()
        if re.search(pattern, line) and "thread_time" not in line
    }
    assert found == set(), law


@pytest.mark.parametrize("view", ["pg_stat_activity", "pg_locks"])
def test_a_view_of_the_whole_server_is_asked_about_one_database(view: str) -> None:
    """The tests beside this one use the same server."""
    texts = {name(path): path.read_text() for path in files()}
    assert [path for path, text in texts.items() if view in text and "current_database()" not in text] == []


@pytest.mark.parametrize(
    ("line", "law"),
    [
        ("    assert time.monotonic() - began < 5", 0),
        ("    begun = time.perf_counter()", 1),
        ("    async with asyncio.timeout(5):", 2),
        ("    await asyncio.wait_for(reader.read(), 10)", 2),
        ("    await service.rt.background.drain(timeout=5)", 3),
        ('    probe.bind(("127.0.0.1", port))', 4),
        ("@settings(max_examples=300)", 5),
    ],
)
def test_the_laws_see_what_they_forbid(line: str, law: int) -> None:
    assert re.search(list(LAWS.values())[law][0], line)
