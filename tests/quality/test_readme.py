"""The README and the pages of `docs/`: programs run, commands exist, tables are complete."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from authkit_issuer.cli import app
from authkit_issuer.config import Config
from fakes.commands import run, run_program
from fakes.imports import missing_imports
from fakes.readme import DOCUMENTS, blocks, table, text_of
from fakes.repository import ROOT, files, name

PROGRAMS = {"authkit", "curl", "make", "pip", "python", "uvicorn", "git", "cd"}
CONFIG = {field.name: field for field in dataclasses.fields(Config)}


def environment(database_url: str = "") -> dict[str, str]:
    """Return what the README tells its reader to set."""
    # The switches of the tests are no settings, and a setting that is unknown stops a service.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AUTHKIT_")}
    return clean | ({"AUTHKIT_DATABASE_URL": database_url} if database_url else {})


@pytest.mark.parametrize(
    ("document", "number"),
    [(document, number) for document in DOCUMENTS for number in range(len(blocks("python", document)))],
)
def test_every_program_runs(
    document: str, number: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(text := blocks("python", document)[number])
    # To create a database takes longer than most programs.
    issues = "authkit_issuer" in text
    done = run_program(program, environment(request.getfixturevalue("empty_database_url") if issues else ""))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS)
def test_programs_and_commands_are_of_a_kind_that_is_tested(document: str) -> None:
    """Programs are ``python``, commands are ``console``."""
    fences = set(re.findall(r"^ *```(\S*)", text_of(document), re.MULTILINE))
    assert not fences & {"py", "python3", "pycon", "sh", "bash", "shell", "zsh", "shell-session"}
    assert len(re.findall(r"^ +```(?:python|console)$", text_of(document), re.MULTILINE)) == 0


@pytest.mark.parametrize("document", DOCUMENTS)
def test_programs_import_each_module_that_they_use(document: str) -> None:
    """The process that runs a program has all our modules: it would not miss one that is not imported."""
    missing = [missing_imports(program) for program in blocks("python", document)]
    assert set().union(*missing) == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_json_is_json(document: str) -> None:
    for block in blocks("json", document):
        json.loads(block)


LINES = [
    line.removeprefix("$ ")
    for document in DOCUMENTS
    for block in blocks("console", document)
    for line in block.splitlines()
    if line.strip()
]


@pytest.mark.parametrize("line", LINES)
def test_every_command_exists(line: str) -> None:
    settings = re.findall(r"(?:^| )AUTHKIT_(\w+)=\S+", line)
    assert {name.lower() for name in settings} <= set(CONFIG)
    words = line.split()[len(settings) :]
    line = " ".join(words)
    assert words[0] in PROGRAMS
    if words[0] == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words[1:] if "=" not in word} <= targets
    if words[0] == "pip":
        extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
        assert set(re.findall(r"[\w-]+", "".join(re.findall(r"asgi-authkit\[([\w,-]+)\]", line)))) <= extras
    if words[0] == "authkit":
        known = [path for path in commands(typer.main.get_command(app)) if f"{line} ".startswith(f"{path} ")]
        assert known or words[1].startswith("--")
        help_text = _authkit(*(known[0].split()[1:] if known else []), "--help")
        for option in (word for word in words if word.startswith("--")):
            assert option in help_text


@cache
def _authkit(*words: str) -> str:
    done = run(*words, COLUMNS="200", NO_COLOR="1")
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


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_and_every_file_that_is_named_leads_somewhere(document: str) -> None:
    text = text_of(document)
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    named = re.findall(r"`((?:examples|tests|authkit_\w+)/[\w./]+)`", text)
    here = (ROOT / document).parent
    assert [path for path in links if not (here / path).exists()] == []
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name.startswith("docs/")])
def test_a_file_of_the_repository_that_a_page_names_is_a_link(document: str) -> None:
    """On the site a bare path leads nowhere. What git ignores is not part of it."""
    prose = re.sub(r"^```.*?^```$", "", text_of(document), flags=re.MULTILINE | re.DOTALL)
    named = re.findall(r"(?<!\[)`([\w./-]+)`", prose)
    assert [path for path in named if "/" in path.strip("/") and path.strip("/") in _tracked()] == []


@cache
def _tracked() -> frozenset[str]:
    """Return the files of the repository and their folders."""
    return frozenset(name(one) for file in files() for one in (file, *file.parents) if ROOT in one.parents)


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 160
