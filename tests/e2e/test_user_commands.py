"""The commands for users: listing, banning, deleting, purging, importing."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import bcrypt
import pytest

from authkit_issuer import Config, Service
from fakes.commands import assert_one_line, run
from fakes.mail_server import mail_server, text_of
from fakes.servers import on

pytestmark = pytest.mark.timeout(180)


def users(settings: dict[str, str], *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return run("users", *arguments, typed=typed, **settings)


def listed(settings: dict[str, str], *options: str) -> list[list[str]]:
    done = users(settings, "list", *options)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_a_user_is_banned_deleted_restored_and_purged_by_any_identifier(
    settings: dict[str, str], database_url: str
) -> None:
    made = users(settings, "create", "--email", "ada@example.test", "--username", "Ada_L")
    user_id = made.stdout.strip()
    assert listed(settings) == [[user_id, "Ada_L", "ada@example.test", "-", "active"]]
    done = users(
        settings, "ban", "ADA_l", "--reason", "spam\x1b[2J", "--until", "2999-01-02 03:04:05", "--yes"
    )
    said = f"banned Ada_L ({user_id}) until 2999-01-02 03:04Z\n"
    assert (done.returncode, done.stdout) == (0, said)
    assert listed(settings)[0][-1] == "banned until 2999-01-02 03:04Z"
    # What an administrator wrote over HTTP does nothing to the terminal of another one.
    assert "spam?[2J\n" in users(settings, "show", user_id).stdout
    assert users(settings, "unban", user_id).returncode == 0
    assert users(settings, "delete", "ada@example.test", "--yes").returncode == 0
    assert listed(settings) == []
    ((found, *_, state),) = listed(settings, "--deleted")
    assert found == user_id
    assert state.startswith("deleted 20")
    assert users(settings, "restore", user_id).returncode == 0
    assert users(settings, "delete", user_id, "-y").returncode == 0
    assert run("purge", **settings).stdout == "purged 0\n"
    asyncio.run(
        on(
            database_url,
            lambda connection: connection.execute(
                "update profiles.users set deleted_at = now() - interval '2 days'"
            ),
        )
    )
    assert run("purge", "--retention-days", "1.5", "--yes", **settings).stdout == "purged 1\n"
    assert listed(settings, "--deleted") == []
    assert_one_line(users(settings, "restore", user_id), "User not found")


def test_what_cannot_be_done_is_one_line(settings: dict[str, str]) -> None:
    users(settings, "create", "--username", "ada_l")
    assert_one_line(users(settings, "ban", "+4915112345678", "--yes"), "User not found")
    assert_one_line(users(settings, "ban", "ada_l", "--until", "2001-01-01", "--yes"), "in the future")
    assert_one_line(users(settings, "ban", "ada_l", "--until", "tomorrow"), "--until", status=2)
    assert_one_line(users(settings, "list", "--limit", "0"), "--limit", status=2)
    assert users(settings, "delete", "ada_l", "--for-good", "--force", "--yes").returncode == 0
    assert listed(settings, "--deleted") == []


def test_users_from_before_organizations_are_given_theirs_once(
    settings: dict[str, str], database_url: str
) -> None:
    for name in ("ada_l", "bob_m"):
        users(settings, "create", "--username", name)
    assert_one_line(run("orgs", "backfill-personal", **settings), "AUTHKIT_ORG_MODE is single")
    multi = settings | {"AUTHKIT_ORG_MODE": "multi"}
    users(multi, "create", "--username", "eve_n")
    assert [run("orgs", "backfill-personal", **multi).stdout for _ in range(2)] == ["made 2\n", "made 0\n"]
    rows = asyncio.run(
        on(
            database_url,
            lambda connection: connection.fetch(
                "select u.username, o.slug from profiles.orgs o"
                " join profiles.users u on u.id = o.owner_user_id where o.is_personal order by 1"
            ),
        )
    )
    assert [tuple(row) for row in rows] == [("ada_l", "ada-l"), ("bob_m", "bob-m"), ("eve_n", "eve-n")]


def test_accounts_come_in_with_their_hashes_and_a_bad_line_stops_no_other(
    settings: dict[str, str], tmp_path: Path, database_url: str
) -> None:
    hashed = bcrypt.hashpw(b"correct horse battery", bcrypt.gensalt(4)).decode()
    known = "6f1c1a52-3c0e-4d0f-9a58-0d0f5a2b7c11"
    lines = [
        json.dumps({"id": known, "email": "ada@example.test", "email_verified": True,
                    "phone_number": "+4915112345678", "username": "Ada_L", "password_hash": hashed}),
        "",
        json.dumps({"email": "ADA@example.test", "password_hash": hashed}),
        json.dumps({"email": "eve@example.test", "password": "secret-of-eve"}),
        "{no json",
        json.dumps({"id": "7", "email": "bob@example.test"}),
        json.dumps({"email": "mal@example.test", "username": "mallory", "password_hash": "secret-hash"}),
        json.dumps({"username": "last_one"}),
    ]  # fmt: skip
    file = tmp_path / "users.jsonl"
    file.write_text("\n".join(lines))
    done = users(settings, "import", str(file))
    assert done.returncode == 1
    assert done.stdout == "imported 2, already there 1, refused 4\n"
    refused = done.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in refused] == [f"line {n}" for n in (4, 5, 6, 7)]
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert {row[1] for row in listed(settings)} == {"Ada_L", "last_one"}
    row = asyncio.run(
        on(
            database_url,
            lambda connection: connection.fetchrow(
                "select email_verified, phone_verified, hash_algo, password_hash from profiles.users u"
                " join profiles.user_passwords p on p.user_id = u.id where u.id = $1::text::uuid",
                known,
            ),
        )
    )
    assert tuple(row) == (True, False, "bcrypt", hashed)
    again = users(settings, "import", "-", typed=lines[0])
    assert (again.returncode, again.stdout) == (0, "imported 0, already there 1, refused 0\n")
    assert_one_line(users(settings, "import", str(tmp_path / "absent")), "absent", status=2)


def test_accounts_of_another_system_keep_their_age_and_ban_and_get_names_of_ours(
    settings: dict[str, str], tmp_path: Path, database_url: str
) -> None:
    lines = [
        {"email": "ada@example.test", "username": "ada.l-b", "password_hash": "md5$salt$abc",
         "created_at": "2019-05-01T10:00:00Z", "banned": True, "ban_reason": "spam"},
        {"phone_number": "+4915112345678", "username": "bob"},
        {"email": "eve@example.test", "created_at": "2999-01-01T00:00:00Z"},
    ]  # fmt: skip
    file = tmp_path / "users.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    options = ("--derive-usernames", "--drop-unusable-hashes")
    done = users(settings, "import", str(file), *options)
    assert done.stdout == "imported 2, already there 0, refused 1\nwithout a password: 1\n"
    rows = asyncio.run(
        on(
            database_url,
            lambda connection: connection.fetch(
                "select username, created_at::date::text, ban_reason, banned_at is not null,"
                " exists (select from profiles.user_passwords p where p.user_id = u.id)"
                " from profiles.users u order by username"
            ),
        )
    )
    assert tuple(rows[0]) == ("adalb", "2019-05-01", "spam", True, False)
    assert rows[1][0] == "bob_user"
    again = users(settings, "import", str(file), *options)
    assert again.stdout.startswith("imported 0, already there 2, refused 1\n")


def test_an_account_that_cannot_sign_in_yet_says_what_is_missing(settings: dict[str, str]) -> None:
    done = users(settings, "create", "--email", "ada@example.test")
    assert done.returncode == 0
    assert "--invite" in done.stderr
    assert "--verified" in done.stderr
    done = users(settings, "create", "--email", "bob@example.test", "--verified")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(users(settings, "show", "bob@example.test", "--json").stdout)
    assert (shown["email_verified"], len(shown["obstacles"])) == (True, 1)
    assert (shown["second_factors"], shown["backup_codes_left"]) == ([], 0)
    assert_one_line(users(settings, "create", "--username", "eve_n", "--verified"), "--email", status=2)


def test_an_invited_user_and_one_who_is_recovered_choose_a_password_by_the_link(
    settings: dict[str, str], redis_url: str
) -> None:
    with mail_server() as mails:
        invited = settings | {
            "AUTHKIT_REDIS_URL": redis_url,
            "AUTHKIT_LINK_BASE_URL": "https://app.example.test",
            "AUTHKIT_SMTP_URL": mails.url,
            "AUTHKIT_SMTP_FROM": "auth@example.test",
        }
        done = users(invited, "create", "--email", "ada@example.test", "--invite")
        assert (done.returncode, done.stderr) == (0, "")
        text = text_of(mails.wait_for("ada@example.test"))
        (token,) = re.findall(r"https://app\.example\.test/reset-password#token=(\S+)", text)

        async def follow(email: str = "ada@example.test") -> str:
            async with await Service.open(Config.from_env(invited)) as service:
                user_id = await service.passwords.confirm_reset(token, "correct horse battery")
                await service.passwords.login(email, "correct horse battery")
                return user_id

        user_id = done.stdout.strip()
        assert asyncio.run(follow()) == user_id
        recovery = ("recover", "ada@example.test", "--email", "new@example.test", "--reason", "lost")
        assert_one_line(users(invited, *recovery), "--yes", status=2)
        done = users(invited, *recovery, "--yes", "--json")
        assert (done.returncode, json.loads(done.stdout)["id"]) == (0, user_id)
        text = text_of(mails.wait_for("new@example.test"))
        (token,) = re.findall(r"https://app\.example\.test/reset-password#token=(\S+)", text)
        assert asyncio.run(follow("new@example.test")) == user_id


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("AUTHKIT_LINK_BASE_URL", "AUTHKIT_LINK_BASE_URL"),
        ("AUTHKIT_REDIS_URL", "AUTHKIT_REDIS_URL"),
        ("AUTHKIT_SMTP_URL", "AUTHKIT_SMTP_URL"),
    ],
)
def test_an_invitation_that_could_not_be_followed_creates_nothing(
    settings: dict[str, str], redis_url: str, missing: str, said: str
) -> None:
    invited = settings | {
        "AUTHKIT_REDIS_URL": redis_url,
        "AUTHKIT_LINK_BASE_URL": "https://app.example.test",
        "AUTHKIT_SMTP_URL": "smtp+plain://127.0.0.1:1",
        "AUTHKIT_SMTP_FROM": "auth@example.test",
    }
    done = users(invited, "create", "--email", "ada@example.test", "--invite")
    assert_one_line(done, "The mail server cannot be used, and nothing was created: 127.0.0.1:1")
    del invited[missing]
    assert_one_line(users(invited, "create", "--email", "ada@example.test", "--invite"), said, status=2)
    assert listed(settings) == []
