"""``authkit config``: what the server would read, before it starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authkit_issuer.cli.config import masked
from fakes.commands import run

SECRETS = {
    "AUTHKIT_DATABASE_URL": "postgresql://ada:sesame@db.example/shop",
    "AUTHKIT_REDIS_URL": "redis://:sesame@cache.example:6379/0",
    "AUTHKIT_SMTP_URL": "smtps://ada:sesame@mail.example",
    "AUTHKIT_SMS_URL": f"twilio://SK1:sesame@AC{'0' * 32}?from=+15550100200",
    "AUTHKIT_SMS_SECRET": "sesame",
    "AUTHKIT_CLICKHOUSE_URL": "https://ada:sesame@events.example:8443",
    "AUTHKIT_INTROSPECTION_CLIENTS": '{"orders": "sesame-sesame-sesame"}',
    "AUTHKIT_PROVIDERS": '{"google": {"client_id": "id", "client_secret": "sesame"}}',
}


def complete(folder: Path) -> dict[str, str]:
    assert run("keys", "generate", "--dir", str(folder)).returncode == 0
    names = {"AUTHKIT_ISSUER": "https://auth.example.com", "AUTHKIT_AUDIENCES": "api"}
    return names | SECRETS | {
        "AUTHKIT_KEYS_DIR": str(folder),
        "AUTHKIT_SMTP_FROM": "auth@example.com",
        "AUTHKIT_SMS_COUNTRIES": "49,43",
        "AUTHKIT_BASE_URL": "https://auth.example.com",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"AUTHKIT_SMS_URL": "twilio://SK1:sesame@AC1?from=+1"}, "sms_url: account is 'AC1'"),
        ({"AUTHKIT_SMS_URL": "webhook+https://app.example.com/sms"}, "sms_secret must be whsec_"),
        ({"AUTHKIT_SMS_COUNTRIES": ""}, "sms_countries is empty although SMS are sent"),
        ({"AUTHKIT_SMTP_URL": "imap://ada:sesame@mail.example"}, "smtp_url must be smtps://host"),
        ({"AUTHKIT_MAIL_LANGUAGE": "fr"}, "mail_language is 'fr'"),
        ({"AUTHKIT_MAIL_TEMPLATES": "/none"}, "mail_templates: /none holds no template"),
    ],
)
def test_the_check_builds_the_senders_of_messages(tmp_path: Path, wrong: dict[str, str], said: str) -> None:
    checked = run("config", "check", **complete(tmp_path) | wrong)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert said in checked.stderr
    assert "sesame" not in checked.stderr


def test_the_check_says_that_all_is_well_or_every_problem(tmp_path: Path) -> None:
    settings = complete(tmp_path)
    good = run("config", "check", **settings)
    assert (good.returncode, good.stdout, good.stderr) == (0, "The settings can be used.\n", "")
    bad = run("config", "check", AUTHKIT_SMPT_URL="x", AUTHKIT_ISSUER="i")
    assert bad.returncode == 1
    lines = bad.stderr.splitlines()
    assert lines[0] == "authkit: AUTHKIT_SMPT_URL is not a setting; did you mean AUTHKIT_SMTP_URL?"
    assert len(lines) == 5
    assert bad.stdout == ""


def test_the_check_warns_of_what_works_and_surprises(tmp_path: Path) -> None:
    settings = complete(tmp_path) | {"AUTHKIT_ISSUER": "http://auth.example.com/"}
    done = run("config", "check", "--json", **settings)
    document = json.loads(done.stdout)
    assert (done.returncode, document["ok"], document["problems"]) == (0, True, [])
    assert ["http://" in document["warnings"][0], "slash" in document["warnings"][1]] == [True, True]


def test_every_setting_is_shown_with_its_origin_and_no_secret(tmp_path: Path) -> None:
    done = run("config", "show", "--json", **complete(tmp_path), SOLANA_NETWORK="testnet")
    assert done.returncode == 0, done.stderr
    rows = {row["setting"]: row for row in json.loads(done.stdout)["settings"]}
    assert rows["AUTHKIT_DATABASE_URL"]["value"] == "postgresql://ada:***@db.example/shop"
    assert rows["AUTHKIT_REDIS_URL"]["value"] == "redis://:***@cache.example:6379/0"
    assert rows["AUTHKIT_PROVIDERS"]["value"] == "google"
    assert rows["AUTHKIT_INTROSPECTION_CLIENTS"]["value"] == "orders"
    assert rows["AUTHKIT_CODE_TTL"] == {"setting": "AUTHKIT_CODE_TTL", "value": "600", "origin": "default"}
    assert rows["AUTHKIT_SOLANA_NETWORK"]["origin"] == "SOLANA_NETWORK"
    assert "sesame" not in done.stdout


def test_what_is_missing_or_unreadable_is_shown_as_such() -> None:
    done = run("config", "show", AUTHKIT_CODE_TTL="sesame")
    assert done.returncode == 1
    assert "AUTHKIT_CODE_TTL\t(unreadable)\tAUTHKIT_CODE_TTL\n" in done.stdout
    assert "AUTHKIT_ISSUER\t(missing)\t-\n" in done.stdout
    assert "sesame" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:se/sa@me@h/d", "postgresql://u:***@h/d"),
        ("postgresql://h/d?user=u&password=sesame&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("sesame", "***"),
    ],
)
def test_a_password_never_shows(address: str, shown: str) -> None:
    assert masked(address) == shown
