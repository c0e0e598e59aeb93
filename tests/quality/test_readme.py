"""The README says what is so: its programs run, its commands exist, its tables are complete."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from authkit_issuer import errors
from authkit_issuer.cli import app
from authkit_issuer.config import Config
from authkit_issuer.http.errors import INTERNAL_ERROR, status_of, token_error_status
from authkit_verify.errors import TokenCode
from fakes.readme import blocks, table
from fakes.repository import ROOT

PROGRAMS = {"authkit", "curl", "make", "pip", "uvicorn", "git", "cd"}
CONFIG = {field.name: field for field in dataclasses.fields(Config)}


def environment(database_url: str = "") -> dict[str, str]:
    """Return what the README tells its reader to set."""
    # The switches of the tests are no settings, and a setting that is unknown stops a service.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AUTHKIT_")}
    return clean | ({"AUTHKIT_DATABASE_URL": database_url} if database_url else {})


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_every_program_runs(number: int, empty_database_url: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(blocks("python")[number])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env=environment(empty_database_url),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    fences = re.findall(r"^```(\w*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {kind for kind in fences if kind} <= {"python", "console"}


def test_every_command_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    lines = [line for line in lines if line.split()]
    assert lines
    for line in lines:
        words = line.split()
        assert words[0] in PROGRAMS, line
        if words[0] == "make":
            assert set(words[1:]) <= targets, line
        if words[0] == "authkit":
            help_text = _authkit(words[1], "--help")
            for option in (word for word in words[2:] if word.startswith("--")):
                assert option in help_text, line


def _authkit(*words: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "authkit"), *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
    )
    assert done.returncode == 0, f"authkit {' '.join(words)}: {done.stderr}"
    return done.stdout


def commands(group: Any, path: str = "authkit") -> Iterator[str]:
    """Yield every command of the command line, spelled out."""
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {word}")
        else:
            yield f"{path} {word}"


def test_the_table_of_commands_is_complete() -> None:
    rows = [row[0].strip("`") for row in table("Command", "What it does")]
    assert rows == list(commands(typer.main.get_command(app)))


def refusals() -> list[list[str]]:
    """Return a row for every code of the issuer: the code, its status and what it says."""
    rows = {INTERNAL_ERROR: [f"`{INTERNAL_ERROR}`", "500", "Internal server error."]}
    kinds = [errors.AuthError]
    while kinds:
        kind = kinds.pop()
        kinds.extend(kind.__subclasses__())
        ours = kind.__module__.startswith("authkit_issuer") and not kind.__name__.startswith("_")
        # A base comes before its leaves, so a code they share keeps the wider meaning.
        if ours and kind is not errors.AuthError and kind.code not in rows:
            rows[kind.code] = [f"`{kind.code}`", str(status_of(kind)), kind.default]
    return [rows[code] for code in sorted(rows)]


def test_the_table_of_codes_is_complete() -> None:
    wanted = "\n".join(f"| {' | '.join(row)} |" for row in refusals())
    assert table("Code", "HTTP") == refusals(), f"the table should read\n{wanted}"


def test_the_table_of_token_codes_is_complete() -> None:
    wanted = [[f"`{code}`", str(token_error_status(code))] for code in typing.get_args(TokenCode)]
    assert [row[:2] for row in table("Code of a token", "HTTP")] == wanted


def test_the_table_of_defaults_is_true() -> None:
    rows = table("Setting", "Default")
    assert len(rows) > 10
    for setting, default, *_ in rows:
        field = CONFIG[setting.strip("`")]
        value = default.strip("`")
        assert repr(field.default) == value, f"{setting} is {field.default!r}"


def test_every_setting_is_in_a_table() -> None:
    """Once, so that no two rows contradict each other."""
    rows = table("Field", "Such as") + table("Setting", "Default")
    assert sorted(row[0].strip("`") for row in rows) == sorted(CONFIG)


def test_every_link_into_the_repository_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
