"""What an operator gets wrong: one plain sentence, a non-zero exit, never a traceback."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from pathlib import Path

import pytest

from fakes.commands import assert_one_line, run
from fakes.keys import as_settings
from fakes.servers import RedisServer, on

pytestmark = pytest.mark.timeout(180)


def serve_dev(data_dir: Path, *arguments: str, **settings: str):
    return run("serve", "--dev", "--port", "0", "--data-dir", str(data_dir), *arguments, **settings)


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = serve_dev(tmp_path, "--port", str(taken.getsockname()[1]))
    assert_one_line(done, "address already in use; --port selects another")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_is_none(tmp_path: Path, port: str) -> None:
    assert_one_line(serve_dev(tmp_path, "--port", port), "not a port number")


def test_a_data_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_one_line(serve_dev(tmp_path / "file" / "data"), "cannot be used: Not a directory")


def test_a_data_folder_whose_files_are_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "holiday.jpg").write_text("")
    assert_one_line(serve_dev(tmp_path), "cannot be used: Directory not empty")


def test_a_database_of_a_newer_schema(tmp_path: Path, empty_database_url: str) -> None:
    assert run("migrate", AUTHKIT_DATABASE_URL=empty_database_url).returncode == 0
    later = "insert into profiles.schema_migrations (version, name, checksum) values (99, 'later', 'x')"
    asyncio.run(on(empty_database_url, lambda connection: connection.execute(later)))
    done = serve_dev(tmp_path, AUTHKIT_DATABASE_URL=empty_database_url)
    assert_one_line(done, "newer than version")


def test_a_database_that_was_not_migrated(empty_database_url: str, redis_url: str) -> None:
    settings = production(empty_database_url) | as_settings() | {"AUTHKIT_REDIS_URL": redis_url}
    assert_one_line(run("serve", "--port", "0", **settings), "authkit migrate")


def test_a_database_that_does_not_exist(tmp_path: Path, database_url: str) -> None:
    done = serve_dev(tmp_path, AUTHKIT_DATABASE_URL=database_url.replace("/authkit_", "/no_such_"))
    assert_one_line(done, "does not exist")
    assert "database no_such_" in done.stderr


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"active_key_id": 1}', json.dumps({"active_key_id": "a", "more": 1})]
)
def test_a_broken_key_file(tmp_path: Path, database_url: str, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    file.chmod(0o600)
    assert_one_line(serve_dev(tmp_path, AUTHKIT_DATABASE_URL=database_url), "keys.json")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"AUTHKIT_ACCESS_TOKEN_DURATION": "soon"}, "AUTHKIT_ACCESS_TOKEN_DURATION"),
        ({"AUTHKIT_ACCESS_TOKEN_DURATION": "-1"}, "access_token_duration"),
        ({"AUTHKIT_ORG_MODE": "many"}, "AUTHKIT_ORG_MODE"),
        ({"AUTHKIT_DATABASE_SCHEMA": "Robert'); --"}, "database_schema"),
        (
            {"AUTHKIT_REDIS_URL": "redis://127.0.0.1:1/0"},
            "redis_url: 127.0.0.1:1: Connection refused",
        ),
        ({"AUTHKIT_REDIS_URL": "http://:sesame@127.0.0.1/"}, "redis_url must be"),
        (
            {"AUTHKIT_DATABASE_URL": "postgresql://ada:sesame@127.0.0.1:1/x"},
            "PostgreSQL at 127.0.0.1:1, database x (database_url): Connection refused",
        ),
        ({"AUTHKIT_SMPT_URL": "smtps://u:sesame@h"}, "did you mean AUTHKIT_SMTP_URL?"),
        ({"AUTHKIT_DATABASE_URL": "mysql://me:sesame@127.0.0.1/x"}, "not a PostgreSQL address"),
        ({"ACTIVE_KEY_ID": "k1"}, "ACTIVE_PRIVATE_KEY_PEM"),
    ],
)
def test_a_setting_that_cannot_work(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    done = serve_dev(tmp_path, **settings)
    assert_one_line(done, said)
    assert "sesame" not in done.stderr


def test_a_redis_that_may_forget_records(tmp_path: Path, own_redis: RedisServer, database_url: str) -> None:
    own_redis.stop()
    own_redis.arguments = ("--maxmemory-policy", "volatile-lru")
    own_redis.start()
    done = serve_dev(tmp_path, AUTHKIT_REDIS_URL=own_redis.url, AUTHKIT_DATABASE_URL=database_url)
    assert_one_line(done, "noeviction, not volatile-lru")


def test_a_redis_whose_password_is_missing(tmp_path: Path, own_redis: RedisServer, database_url: str) -> None:
    own_redis.stop()
    own_redis.arguments = ("--requirepass", "sesame")
    own_redis.start()
    done = serve_dev(tmp_path, AUTHKIT_REDIS_URL=own_redis.url, AUTHKIT_DATABASE_URL=database_url)
    assert_one_line(done, "Redis")


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        ((), {"AUTHKIT_ENVIRONMENT": "production"}, "the environment is 'production'"),
        ((), {"APP_ENV": "staging"}, "the environment is 'staging'"),
        (("--host", "0.0.0.0"), {}, "--dev is refused on 0.0.0.0"),
        (("--host", "::"), {}, "--dev is refused on ::"),
    ],
)
def test_development_where_others_could_reach_it(
    tmp_path: Path, arguments: tuple[str, ...], settings: dict[str, str], said: str
) -> None:
    assert_one_line(serve_dev(tmp_path, *arguments, **settings), said)


def production(database_url: str) -> dict[str, str]:
    return {
        "AUTHKIT_ISSUER": "https://i.example",
        "AUTHKIT_AUDIENCES": "a",
        "AUTHKIT_DATABASE_URL": database_url,
    }


@pytest.mark.parametrize("name", ["", "development", "test"])
def test_without_dev_everything_is_checked_as_in_production(database_url: str, name: str) -> None:
    base = {"AUTHKIT_ENVIRONMENT": name, "AUTHKIT_DEV": "true"}
    done = run("serve", "--port", "0", **base)
    for setting in ("ISSUER", "AUDIENCES", "DATABASE_URL", "REDIS_URL"):
        assert_one_line(done, f"AUTHKIT_{setting} is not set: set it, such as AUTHKIT_{setting}=")
    assert_one_line(done, "No keys: neither ACTIVE_KEY_ID is set nor does")
    full = base | production(database_url)
    without_redis = run("serve", "--port", "0", **full, **as_settings())
    assert_one_line(without_redis, "AUTHKIT_REDIS_URL is not set")
    assert "AUTHKIT_DEV is for hosts and `authkit serve --dev`: unset it." in without_redis.stderr
    assert without_redis.stderr.count("is not set") == 1


def test_the_keys_that_are_generated_are_those_that_the_server_reads(tmp_path: Path) -> None:
    folder = {"AUTHKIT_KEYS_DIR": str(tmp_path / "keys")}
    assert f"keys generate --dir {tmp_path / 'keys'}" in run("config", "check", **folder).stderr
    assert run("keys", "generate", **folder).returncode == 0
    assert "No keys" not in run("config", "check", **folder).stderr
    without = run("config", "check").stderr
    assert run("keys", "list").stderr.split("keys.json")[0].removeprefix("authkit: ") in without


def test_a_wrong_password_of_the_database_is_named_without_it(tmp_path: Path, redis_url: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer as PostgreSQL does to a wrong password."""
        await reader.read(1024)
        text = b'SFATAL\0C28P01\0Mpassword authentication failed for user "ada"\0\0'
        writer.write(b"E" + (len(text) + 4).to_bytes(4, "big") + text)
        await writer.drain()
        writer.close()

    async def served() -> subprocess.CompletedProcess[str]:
        server = await asyncio.start_server(refuse, "127.0.0.1")
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://ada:sesame@127.0.0.1:{port}/shop?sslmode=disable"
        async with server:
            return await asyncio.to_thread(serve_dev, tmp_path, AUTHKIT_DATABASE_URL=url)

    done = asyncio.run(served())
    assert_one_line(done, 'database shop (database_url): password authentication failed for user "ada"')
    assert "sesame" not in done.stderr
