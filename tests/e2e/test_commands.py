"""The other commands: keys, users, verify, migrate, and how usage errors end."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from fakes.commands import assert_one_line, environment, run

pytestmark = pytest.mark.timeout(120)


def test_keys_are_generated_listed_and_rotated(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")
    assert run("keys", "generate", "--dir", folder, "--alg", "ES256").returncode == 0
    assert stat.S_IMODE((tmp_path / "keys" / "keys.json").stat().st_mode) == 0o600
    assert_one_line(run("keys", "generate", "--dir", folder), "exists already")
    (first,) = run("keys", "list", "--dir", folder).stdout.splitlines()
    assert first.endswith("ES256\tsigns")
    assert run("keys", "rotate", "--dir", folder, "--alg", "EdDSA").returncode == 0
    active, coming = run("keys", "list", AUTHKIT_KEYS_DIR=folder).stdout.splitlines()
    assert active == first
    assert "EdDSA\tsigns from 20" in coming
    assert_one_line(run("keys", "rotate", "--dir", folder), "already announces")


def test_a_sealing_key_is_added_and_the_signing_key_stays(tmp_path: Path) -> None:
    folder = str(tmp_path)
    run("keys", "generate", "--dir", folder, "--alg", "ES256")
    before = json.loads((tmp_path / "keys.json").read_text())
    added = run("keys", "rotate", "--sealing", "--dir", folder, "--json")
    assert json.loads(added.stdout) == {"done": "added", "sealing_key": 1}
    after = json.loads((tmp_path / "keys.json").read_text())
    assert sorted(after.pop("sealing_keys")) == ["0", "1"]
    assert before["sealing_keys"].keys() == {"0"}
    assert {name: before[name] for name in after} == after


def test_a_rotation_at_once_signs_now_and_keeps_the_old_key(tmp_path: Path) -> None:
    folder = str(tmp_path)
    run("keys", "generate", "--dir", folder)
    (before,) = run("keys", "list", "--dir", folder).stdout.split()[:1]
    assert run("keys", "rotate", "--now", "--yes", "--dir", folder).returncode == 0
    new, old = run("keys", "list", "--dir", folder).stdout.splitlines()
    assert new.endswith("signs")
    assert old.split() == [before, "RS256", "verifies"]


def test_leaked_keys_are_withdrawn_even_while_a_new_one_is_announced(tmp_path: Path) -> None:
    folder = str(tmp_path)
    run("keys", "generate", "--dir", folder)
    run("keys", "rotate", "--dir", folder)
    before = run("keys", "list", "--dir", folder).stdout.splitlines()
    assert run("keys", "rotate", "--leaked", "--yes", "--dir", folder).returncode == 0
    (only,) = run("keys", "list", "--dir", folder).stdout.splitlines()
    assert only.endswith("signs")
    assert not {only.split()[0]} & {line.split()[0] for line in before}


def test_keys_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    assert_one_line(run("keys", "rotate", "--dir", str(tmp_path)), "cannot be read")
    assert_one_line(run("keys", "list", "--dir", str(tmp_path)), "cannot be read")
    assert_one_line(run("keys", "generate", "--dir", str(tmp_path), "--alg", "HS256"), "RS256")
    (tmp_path / "file").write_text("")
    assert_one_line(run("keys", "generate", "--dir", str(tmp_path / "file")), "cannot be written")


def test_a_user_is_created(database_url: str, tmp_path: Path) -> None:
    settings = {
        "AUTHKIT_ISSUER": "https://i.example",
        "AUTHKIT_AUDIENCES": "a",
        "AUTHKIT_DATABASE_URL": database_url,
        "AUTHKIT_KEYS_DIR": str(tmp_path),
    }
    made = run("users", "create", "--email", "ada@example.test", "--username", "ada_l", **settings)
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.strip()) == 36
    again = run("users", "create", "--email", "ada@example.test", **settings)
    assert_one_line(again, "in use")


def test_a_database_is_migrated_once(empty_database_url: str) -> None:
    first = run("migrate", AUTHKIT_DATABASE_URL=empty_database_url)
    assert first.stdout.startswith("applied 0001 ")
    again = run("migrate", AUTHKIT_DATABASE_URL=empty_database_url)
    assert (again.returncode, again.stdout) == (0, "nothing to do\n")
    assert_one_line(run("migrate"), "AUTHKIT_DATABASE_URL is not set")


def test_a_token_is_refused_with_its_code() -> None:
    accepting = ("--issuer", "https://i.example.test", "--audience", "a")
    assert_one_line(run("verify", "no.such.token", *accepting), "invalid_token: ")
    assert_one_line(run("verify", "-", *accepting, typed="no.such.token\n"), "invalid_token: ")
    as_json = run("verify", "no.such.token", *accepting, "--json")
    assert (as_json.returncode, json.loads(as_json.stdout)) == (1, {"error": "invalid_token"})
    unusable = run("verify", "x", "--issuer", "http://i.example.test", "--audience", "a")
    assert_one_line(unusable, "https", status=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--no-such-option"), "No such option: --no-such-option"),
        (("serve", "--port", "many"), "--port"),
        (("no-such-command",), "No such command 'no-such-command'"),
        (("keys", "no-such-command"), "No such command"),
        (("verify", "token"), "required: --issuer"),
        (("doctor", "--issuer", "https://i.test", "surplus"), "surplus"),
        (
            ("verify", "t", "--issuer", "https://i.test", "--no-such-option=eyJ"),
            "no option --no-such-option;",
        ),
        (("migrate", "surplus"), "surplus"),
    ],
)
def test_a_wrong_use_is_one_line_with_its_own_status(arguments: tuple[str, ...], said: str) -> None:
    assert_one_line(run(*arguments), said, status=2)


@pytest.mark.parametrize("arguments", [(), ("keys",), ("users",)])
def test_no_command_at_all_shows_what_there_is(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "Commands:" in done.stderr
    assert "Traceback" not in done.stderr


HELP, LIST, NONE = ("serve", "--help"), ("users", "list"), ("no-such-command",)


@pytest.mark.parametrize(
    ("command", "calls"),
    [
        ([sys.executable, "-m", "authkit_issuer.cli"], [HELP]),
        ([str(Path(sys.executable).parent / "authkit")], [HELP, LIST, NONE]),
    ],
    ids=["module", "script"],
)
def test_the_module_and_the_installed_script_are_the_command(
    command: list[str], calls: list[tuple[str, ...]]
) -> None:
    def called(*arguments: str) -> tuple[int, str, str]:
        line = [*command, *arguments]
        done = subprocess.run(
            line, env=environment(), capture_output=True, text=True, timeout=60, check=False
        )
        said = done.stdout.replace("Usage: authkit ", "Usage: python -m authkit_issuer.cli ")
        return done.returncode, said, done.stderr

    for arguments in calls:
        warm = run(*arguments)
        assert called(*arguments) == (warm.returncode, warm.stdout, warm.stderr)


@pytest.mark.parametrize(("command", "option"), [("serve", "--data-dir"), ("verify", "--pem")])
def test_help_is_not_an_error(command: str, option: str) -> None:
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert option in done.stdout


def test_the_version_of_the_distribution_is_printed() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"authkit {version('asgi-authkit')}\n")


def test_the_first_administrator_is_made_on_the_command_line(database_url: str, tmp_path: Path):
    settings = {
        "AUTHKIT_KEYS_DIR": str(tmp_path),
        "AUTHKIT_DATABASE_URL": database_url,
        "AUTHKIT_ISSUER": "https://i.example",
        "AUTHKIT_AUDIENCES": "a",
    }
    run("users", "create", "--username", "ada_l", **settings)
    unknown = run("users", "grant-role", "ada_l", "editor", **settings)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)
    assert "authkit roles define editor" in unknown.stderr
    assert run("roles", "define", "editor", "--name", "Editors", **settings).stdout == "editor\n"
    assert run("roles", "list", **settings).stdout == "admin\tAdministrator\neditor\tEditors\n"
    assert run("users", "grant-role", "ada_l", "admin", **settings).returncode == 0
    last = run("users", "revoke-role", "ada_l", "admin", "--yes", **settings)
    assert (last.returncode, "last administrator" in last.stderr) == (1, True)
    assert run("users", "revoke-role", "ada_l", "admin", "--force", "--yes", **settings).returncode == 0
