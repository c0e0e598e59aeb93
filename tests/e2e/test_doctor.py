"""``authkit doctor`` without an issuer: what it finds in the service of this environment."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fakes.commands import run
from fakes.mail_server import mail_server
from fakes.ports import free_port
from fakes.servers import RedisServer, on

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    assert run("keys", "generate", "--dir", str(tmp_path)).returncode == 0
    return {
        "AUTHKIT_ISSUER": "https://auth.example.com",
        "AUTHKIT_AUDIENCES": "api",
        "AUTHKIT_DATABASE_URL": database_url,
        "AUTHKIT_REDIS_URL": redis_url,
        "AUTHKIT_KEYS_DIR": str(tmp_path),
        "AUTHKIT_TRUSTED_PROXIES": "10.0.0.5",
    }


def findings(settings: dict[str, str], **more: str) -> dict[str, dict[str, Any]]:
    """Return the findings by their code, after looking whether the exit status agrees."""
    done = run("doctor", "--json", **settings | more)
    document = json.loads(done.stdout)
    levels = {entry["level"] for entry in document["findings"]}
    assert (done.returncode, document["ok"]) == (int("error" in levels), "error" not in levels), done.stderr
    assert "sesame" not in done.stdout + done.stderr
    return {entry["code"]: entry for entry in document["findings"]}


def test_a_service_that_is_well_is_said_to_be(settings: dict[str, str]) -> None:
    with mail_server() as box:
        found = findings(settings, AUTHKIT_SMTP_URL=box.url, AUTHKIT_SMTP_FROM="auth@example.com")
        assert box.mails == []
    well = {code for code, entry in found.items() if entry["level"] == "ok"}
    assert well == {"database", "redis", "keys", "mail"}
    assert not {code for code, entry in found.items() if entry["level"] == "error"}
    text = run("doctor", **settings).stdout
    assert text.startswith("level ")
    assert "PostgreSQL" in text


def test_missing_and_unknown_settings_do_not_hide_the_rest(settings: dict[str, str]) -> None:
    del settings["AUTHKIT_ISSUER"]
    done = run("doctor", "--json", **settings, AUTHKIT_SMPT_URL="x")
    sentences = [entry["sentence"] for entry in json.loads(done.stdout)["findings"]]
    assert sentences[0] == "AUTHKIT_SMPT_URL is not a setting; did you mean AUTHKIT_SMTP_URL?"
    assert sentences[1].startswith("AUTHKIT_ISSUER is not set")
    assert any(sentence.startswith("PostgreSQL ") for sentence in sentences)
    without = run("doctor", "--json", AUTHKIT_DATABASE_URL=settings["AUTHKIT_DATABASE_URL"])
    codes = {entry["code"] for entry in json.loads(without.stdout)["findings"]}
    assert {"setting", "database", "keys"} <= codes


def test_servers_that_are_down_are_named_with_the_reason(settings: dict[str, str]) -> None:
    port = free_port()
    found = findings(
        settings,
        AUTHKIT_DATABASE_URL=f"postgresql://ada:sesame@127.0.0.1:{port}/shop",
        AUTHKIT_REDIS_URL=f"redis://:sesame@127.0.0.1:{port}/0",
        AUTHKIT_SMTP_URL=f"smtp+plain://ada:sesame@127.0.0.1:{port}",
        AUTHKIT_SMTP_FROM="auth@example.com",
        AUTHKIT_BASE_URL="https://auth.example.com",
        AUTHKIT_PROVIDERS=json.dumps(
            {"acme": {"client_id": "a", "client_secret": "sesame", "issuer": f"http://127.0.0.1:{port}",
                      "allow_http_loopback": True}}
        ),
    )  # fmt: skip
    reason = f"PostgreSQL at 127.0.0.1:{port}, database shop (database_url): Connection refused."
    assert found["database_unreachable"]["sentence"] == reason
    assert found["database_unreachable"]["advice"]
    assert str(port) in found["redis_unreachable"]["sentence"]
    assert str(port) in found["mail"]["sentence"]
    assert "acme" in found["provider"]["sentence"]
    assert {found[code]["level"] for code in ("mail", "provider", "redis_unreachable")} == {"error"}


def test_a_database_without_its_tables_is_to_be_migrated(
    settings: dict[str, str], empty_database_url: str
) -> None:
    found = findings(settings, AUTHKIT_DATABASE_URL=empty_database_url)
    assert found["database_schema"]["level"] == "error"
    assert found["database_schema"]["advice"] == "Run `authkit migrate`."


def test_a_role_that_may_not_write_is_found(settings: dict[str, str], empty_database_url: str) -> None:
    assert run("migrate", AUTHKIT_DATABASE_URL=empty_database_url).returncode == 0
    role, name = f"reader_{os.getpid()}", urlsplit(empty_database_url).path[1:]

    async def prepare(connection: Any) -> None:
        await connection.execute(f"drop role if exists {role}")
        await connection.execute(f"create role {role} login")
        await connection.execute(f"grant usage on schema profiles to {role}")
        await connection.execute(f"grant select on all tables in schema profiles to {role}")
        await connection.execute(
            f"alter role {role} in database {name} set default_transaction_read_only = on"
        )

    async def remove(connection: Any) -> None:
        await connection.execute(f"drop owned by {role}")
        await connection.execute(f"drop role {role}")

    asyncio.run(on(empty_database_url, prepare))
    try:
        found = findings(
            settings, AUTHKIT_DATABASE_URL=empty_database_url.replace("postgres:", f"{role}:", 1)
        )
    finally:
        asyncio.run(on(empty_database_url, remove))
    assert found["database_privileges"]["level"] == found["database_read_only"]["level"] == "error"
    assert role in found["database_privileges"]["sentence"]
    assert "database_superuser" not in found


def test_a_superuser_and_a_server_that_may_lose_data_are_warnings(settings: dict[str, str]) -> None:
    found = findings(settings)
    levels = {
        found[code]["level"] for code in ("database_superuser", "database_fsync", "redis_not_persistent")
    }
    assert levels == {"warning"}


def test_a_replica_and_a_redis_that_forgets_are_found(
    settings: dict[str, str], own_redis: RedisServer
) -> None:
    port = urlsplit(settings["AUTHKIT_REDIS_URL"]).port
    own_redis.stop()
    own_redis.arguments = ("--replicaof", "127.0.0.1", str(port), "--replica-read-only", "no")
    own_redis.start()
    assert "names a replica" in findings(settings, AUTHKIT_REDIS_URL=own_redis.url)["redis"]["sentence"]
    own_redis.stop()
    own_redis.arguments = ("--maxmemory-policy", "allkeys-lru")
    own_redis.start()
    assert "noeviction" in findings(settings, AUTHKIT_REDIS_URL=own_redis.url)["redis"]["sentence"]


def test_old_and_readable_keys_are_found(settings: dict[str, str]) -> None:
    file = Path(settings["AUTHKIT_KEYS_DIR"]) / "keys.json"
    os.utime(file, (time.time() - 400 * 86_400,) * 2)
    file.chmod(0o644)
    found = findings(settings)
    assert "400 days old" in found["key_age"]["sentence"]
    assert found["keys_readable"]["advice"] == f"Run `chmod 600 {file}`."
    file.unlink()
    assert findings(settings)["keys"]["level"] == "error"


@pytest.mark.parametrize(
    ("names", "code", "level"),
    [
        ({"AUTHKIT_TRUSTED_PROXIES": "0.0.0.0/0"}, "proxies", "error"),
        ({"AUTHKIT_TRUSTED_PROXIES": ""}, "proxies", "warning"),
        (
            {"AUTHKIT_REFRESH_COOKIE": "true", "AUTHKIT_BASE_URL": "http://auth.example.com"},
            "cookie",
            "error",
        ),
        ({"AUTHKIT_REFRESH_COOKIE": "true", "AUTHKIT_CORS_ORIGINS": "https://app.test"}, "cookie", "warning"),
        ({"AUTHKIT_VERIFICATION_REQUIRED": "false"}, "unsafe_setting", "warning"),
        ({"AUTHKIT_ACCESS_TOKEN_DURATION": "86400"}, "unsafe_setting", "warning"),
        ({"AUTHKIT_DATABASE_POOL_SIZE": "100000"}, "database_connections", "error"),
    ],
)
def test_settings_that_are_unsafe_or_cannot_work(
    settings: dict[str, str], names: dict[str, str], code: str, level: str
) -> None:
    assert code not in findings(settings)
    found = findings(settings, **names)[code]
    assert (found["level"], bool(found["advice"])) == (level, True)


def test_pages_below_the_same_domain_get_the_cookie(settings: dict[str, str]) -> None:
    names = {"AUTHKIT_REFRESH_COOKIE": "true", "AUTHKIT_CORS_ORIGINS": "https://app.example.com"}
    assert "cookie" not in findings(settings, **names)
