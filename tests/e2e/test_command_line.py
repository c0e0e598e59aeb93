"""What every command has in common: help, JSON, confirmations, and output for terminals and for programs."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer

from authkit_issuer.cli import app
from authkit_issuer.cli.commands import COMMANDS
from authkit_issuer.store.migration_files import shipped
from fakes.commands import assert_one_line, environment, run
from fakes.mail_server import mail_server
from fakes.ports import free_port
from fakes.warm import start

pytestmark = pytest.mark.timeout(180)

WITHOUT_JSON = {"serve", "demo", "verify", "doctor"}
"""Servers, and the commands of the verifier, which read their own options and have ``--json`` too."""


def on_terminal(*arguments: str, typed: str = "", **more: str) -> tuple[int, str]:
    """Run a command on a terminal and return its exit status and what the terminal shows."""
    ours, theirs = pty.openpty()
    process = start(arguments, environment(TERM="xterm", **more), (theirs, theirs, theirs))
    os.close(theirs)
    if typed:
        os.write(ours, typed.encode())
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the terminal of a process that has ended
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(timeout=60), shown.decode().replace("\r\n", "\n")


def leaves(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, *words, word)
        else:
            yield (*words, word), command


def test_every_command_prints_json_if_asked() -> None:
    without = {
        " ".join(words)
        for words, command in leaves(typer.main.get_command(app))
        if not any("--json" in option.opts for option in command.params)
    }
    assert without == WITHOUT_JSON


_SERVICE = (
    "starlette", "uvicorn", "asyncpg", "argon2", "httpx", "structlog", "jinja2", "authlib",
    "authkit_issuer.service",
)  # fmt: skip
_ENTRY = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from authkit_verify.cli import main
main()
"""


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        ("--help", (*_SERVICE, "pydantic")),
        ("--version", (*_SERVICE, "pydantic", "typer")),
        ("verify --help", (*_SERVICE, "pydantic", "typer")),
        ("keys --help", _SERVICE),
        ("migrate --help", [name for name in _SERVICE if name != "asyncpg"]),
    ],
)
def test_a_command_imports_only_what_it_needs(words: str, absent: Sequence[str]) -> None:
    command = [sys.executable, "-c", _ENTRY, ",".join(absent), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_command_whose_libraries_are_missing_says_so_although_the_program_starts() -> None:
    command = [sys.executable, "-c", _ENTRY, "jinja2", "users", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'authkit: users needs more packages (jinja2 is missing): install "asgi-authkit[server]".\n'
    )


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert list(commands) == list(COMMANDS)
    unlike = {
        word: text for word, (_, text) in COMMANDS.items() if text.rstrip(".") not in commands[word].help
    }
    assert unlike == {}


@pytest.mark.parametrize("words", [("-h",), ("users", "-h"), ("users", "ban", "-h"), ("verify", "-h")])
def test_help_has_a_short_name(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout


def test_shells_can_complete_commands() -> None:
    program = Path(sys.executable).parent / "authkit"
    # It asks its ancestors for the shell, and this run may come from any; the second command keeps this one.
    shown = subprocess.run(
        ["bash", "-c", f"'{program}' --show-completion; true"],
        env=environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "complete" in shown.stdout, shown
    done = subprocess.run(
        [str(program)],
        env=environment(_AUTHKIT_COMPLETE="complete_bash", COMP_WORDS="authkit us", COMP_CWORD="1"),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.split() == ["users"]


def test_results_and_errors_are_one_json_object(settings: dict[str, str]) -> None:
    def said(*arguments: str) -> tuple[int, Any]:
        done = run(*arguments, "--json", **settings)
        assert (done.stderr, done.stdout.count("\n")) == ("", 1), done
        return done.returncode, json.loads(done.stdout)

    status, made = said("users", "create", "--username", "ada_l")
    assert (status, made["done"], made["username"]) == (0, "created", "ada_l")
    assert said("users", "ban", "ada_l", "--yes")[1] == made | {"done": "banned"}
    assert said("users", "list")[1]["users"][0]["state"] == "banned"
    status, error = said("users", "ban", "bob_m", "--yes")
    assert (status, error) == (1, {"error": "user_not_found", "error_description": "User not found."})
    assert said("users", "create")[0] == 2
    assert said("users", "ban")[1]["error"] == "usage_error"
    assert said("roles", "list")[1] == {"roles": [{"slug": "admin", "name": "Administrator"}]}
    assert said("purge")[1] == {"purged": 0, "purged_orgs": 0, "failed": {}}
    assert said("migrate", "--status")[1] == {"version": len(shipped()), "pending": []}


@pytest.mark.parametrize(
    "arguments",
    [
        ("users", "ban", "ada_l"),
        ("users", "delete", "ada_l", "--for-good"),
        ("users", "revoke-role", "ada_l", "admin"),
        ("purge", "--retention-days", "0"),
        ("keys", "rotate", "--leaked"),
    ],
)
def test_what_cannot_be_undone_needs_a_yes_where_no_terminal_can_ask(
    settings: dict[str, str], arguments: tuple[str, ...]
) -> None:
    run("users", "create", "--username", "ada_l", **settings)
    assert_one_line(run(*arguments, **settings, typed="y\n"), "Give --yes", status=2)
    assert run("users", "list", **settings).stdout.endswith("\tactive\n")


def test_a_terminal_asks_and_a_no_changes_nothing(settings: dict[str, str]) -> None:
    run("users", "create", "--username", "ada_l", **settings)
    status, shown = on_terminal("users", "delete", "ada_l", typed="n\n", **settings)
    assert status == 1
    assert "Delete ada_l until it is restored? [y/N]" in shown
    assert "Nothing was changed." in shown
    status, shown = on_terminal("users", "delete", "ada_l", typed="y\n", **settings)
    assert (status, "deleted ada_l" in shown) == (0, True)


def test_a_terminal_gets_a_table_and_programs_get_lines(settings: dict[str, str]) -> None:
    run("roles", "define", "editor", "--name", "Editors", **settings)
    _, table = on_terminal("roles", "list", **settings)
    assert table == "\x1b[1mslug    name\x1b[0m\nadmin   Administrator\neditor  Editors\n"
    _, plain = on_terminal("roles", "list", NO_COLOR="1", **settings)
    assert plain.startswith("slug    name\nadmin ")
    assert run("roles", "list", **settings).stdout == "admin\tAdministrator\neditor\tEditors\n"


def test_reading_needs_the_database_alone(settings: dict[str, str], tmp_path: Path) -> None:
    run("users", "create", "--username", "ada_l", **settings)
    only = {"AUTHKIT_DATABASE_URL": settings["AUTHKIT_DATABASE_URL"], "AUTHKIT_ENVIRONMENT": "production"}
    assert "ada_l" in run("users", "list", **only).stdout
    assert "ada_l" in run("users", "show", "ada_l", **only).stdout
    assert_one_line(run("users", "list"), "AUTHKIT_DATABASE_URL is not set")


def test_a_user_is_shown_with_what_stops_a_sign_in(settings: dict[str, str]) -> None:
    run("users", "create", "--username", "ada_l", "--email", "ada@example.test", **settings)
    run("roles", "define", "editor", **settings)
    run("users", "grant-role", "ada_l", "editor", **settings)
    run("users", "ban", "ada_l", "--reason", "spam", "--yes", **settings)
    shown = json.loads(run("users", "show", "ADA@example.test", "--json", **settings).stdout)
    assert (shown["username"], shown["roles"], shown["ban_reason"]) == ("ada_l", ["editor"], "spam")
    assert (shown["state"], shown["sessions"], shown["can_sign_in"]) == ("banned", 0, False)
    text = run("users", "show", "ada_l", **settings).stdout
    assert "obstacles" in text
    assert all(sentence in text for sentence in shown["obstacles"])
    assert_one_line(run("users", "show", "eve_n", **settings), "User not found")


def test_a_test_mail_arrives_or_the_reason_is_named() -> None:
    sender = {"AUTHKIT_SMTP_FROM": "auth@example.test"}
    with mail_server() as box:
        done = run("mail", "test", "ada@example.test", AUTHKIT_SMTP_URL=box.url, **sender)
        assert done.stdout == "the server accepted a mail to ada@example.test\n", done.stderr
        assert box.wait_for("ada@example.test")["Subject"] == "Test"
    url = f"smtp+plain://ada:sesame@127.0.0.1:{free_port()}"
    down = run("mail", "test", "ada@example.test", AUTHKIT_SMTP_URL=url, **sender)
    assert_one_line(down, f"The mail was not sent: {url.rpartition('@')[2]}: ")
    assert "sesame" not in down.stderr
    assert_one_line(run("mail", "test", "ada@example.test"), "AUTHKIT_SMTP_URL is not set")


def test_a_pending_migration_is_listed_and_not_applied(empty_database_url: str) -> None:
    settings = {"AUTHKIT_DATABASE_URL": empty_database_url}
    for option, status in {"--status": 0, "--check": 1}.items():
        done = run("migrate", option, **settings)
        assert (done.returncode, done.stdout[:23]) == (status, "version 0\npending 0001 "), done.stderr
    assert "create table profiles.users (" in run("migrate", "--plan", **settings).stdout
    run("migrate", **settings)
    said = f"version {len(shipped())}\nnothing to do\n"
    for option in ("--status", "--check"):
        done = run("migrate", option, **settings)
        assert (done.returncode, done.stdout) == (0, said), done.stderr
    assert run("migrate", "--plan", **settings).stdout == "nothing to do\n"


def test_a_migration_behind_a_lock_says_who_holds_it_and_gives_up(
    database_url: str, empty_database_url: str
) -> None:
    async def held() -> tuple[int, subprocess.CompletedProcess[str]]:
        connection = await asyncpg.connect(empty_database_url, server_settings={"application_name": "psql"})
        try:
            await connection.execute("create schema profiles; create table profiles.schema_migrations ()")
            async with connection.transaction():
                await connection.execute("lock table profiles.schema_migrations")
                options = ("--lock-timeout", "0.3", "--patience", "1")
                done = await asyncio.to_thread(
                    lambda: run("migrate", *options, AUTHKIT_DATABASE_URL=empty_database_url)
                )
            return connection.get_server_pid(), done
        finally:
            await connection.close()

    pid, done = asyncio.run(held())
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    holder = f"process {pid} (psql, role postgres, idle in transaction, "
    assert lines[0].startswith(f"authkit: waiting for {holder}"), lines
    assert holder in lines[-1]
    assert "--patience" in lines[-1]


def test_keys_are_announced_on_paper_alone(tmp_path: Path) -> None:
    folder = {"AUTHKIT_KEYS_DIR": str(tmp_path)}
    run("keys", "generate", **folder)
    before = (tmp_path / "keys.json").read_bytes()
    printed = run("keys", "announce", "--alg", "ES256", **folder)
    assert (tmp_path / "keys.json").read_bytes() == before
    announced = json.loads(printed.stdout)
    assert announced["active_key_id"] == json.loads(before)["active_key_id"]
    assert announced["next_key"]["signs_from"] > time.time() + 300
    (tmp_path / "keys.json").write_text(printed.stdout)
    assert "ES256\tsigns from" in run("keys", "list", **folder).stdout


def test_keys_of_the_environment_are_announced_in_two_steps(tmp_path: Path) -> None:
    run("keys", "generate", "--dir", str(tmp_path))
    file = json.loads((tmp_path / "keys.json").read_text())
    names = {
        "ACTIVE_KEY_ID": file["active_key_id"],
        "ACTIVE_PRIVATE_KEY_PEM": file["active_private_key_pem"],
        "REFRESH_SECRETS": json.dumps(file["refresh_secrets"]),
        "REFRESH_SECRET_ACTIVE": "0",
    }
    done = run("keys", "announce", "--json", **names)
    first, second = json.loads(done.stdout)["steps"]
    assert set(json.loads(first["PUBLIC_KEYS"])) == {file["active_key_id"], second["ACTIVE_KEY_ID"]}
    assert run("keys", "announce", "--json", **names | first | second).returncode == 0


def test_an_empty_account_is_not_created(settings: dict[str, str]) -> None:
    assert_one_line(run("users", "create", **settings), "Give --email or --username", status=2)
