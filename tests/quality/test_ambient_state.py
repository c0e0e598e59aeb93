"""Nothing is read from the air: environment, wall clock and working folder come in through one door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fakes.repository import ROOT, name, sources

DOOR = "authkit_issuer/config/environment.py"
PROGRAMS = ("authkit_issuer/cli", "authkit_issuer/demo")
"""Where the real clock is handed in: nothing calls these but a shell."""
CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.datetime.now"}
READERS = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def environment_reads(source: str) -> list[int]:
    """Return the lines that touch the environment of the process."""
    lines: list[int] = []
    if "env" not in source:  # as every one of the readers has it
        return lines
    for node in ast.walk(ast.parse(source)):
        of_request = isinstance(node, ast.Attribute) and ast.unparse(node) == "request.environ"  # of WSGI
        if isinstance(node, ast.Attribute) and node.attr in READERS and not of_request:
            lines.append(node.lineno)
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and READERS & {alias.name for alias in node.names}
        ):
            lines.append(node.lineno)
    return lines


def clock_reads(source: str) -> list[int]:
    """Return the lines that ask the wall clock instead of the injected one."""
    if not any(clock in source for clock in CLOCKS):
        return []
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func) in CLOCKS
    ]


def hits(path: Path, found: list[int]) -> list[str]:
    return [f"{name(path)}:{line}" for line in found]


def test_only_the_configuration_reads_the_environment() -> None:
    found = [
        hit
        for path in sources()
        if name(path) != DOOR
        for hit in hits(path, environment_reads(path.read_text()))
    ]
    assert found == []
    assert environment_reads((ROOT / DOOR).read_text()), "the door has moved"


def test_no_module_asks_the_wall_clock() -> None:
    found = [
        hit
        for path in sources()
        if not name(path).startswith(PROGRAMS)
        for hit in hits(path, clock_reads(path.read_text()))
    ]
    assert found == []
    assert clock_reads("import time\ntime.time()") == [2]


@pytest.mark.parametrize(
    "breach",
    [
        "import os\nos.environ['X']",
        "import os\nos.getenv('X')",
        "from os import environ as e",
        "import os as o\no.environ",
    ],
)
def test_reading_the_environment_is_noticed(breach: str) -> None:
    assert environment_reads(breach)
