"""``authkit users import``: formats, trials, refused rows, interruptions, and many rows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import bcrypt
import pytest

from fakes.commands import assert_one_line, environment, run
from fakes.patience import PATIENCE
from fakes.servers import on
from fakes.soak import SOAK, rounds
from fakes.until import wait_until
from fakes.warm import start

pytestmark = pytest.mark.timeout(600)
HASH = bcrypt.hashpw(b"correct horse battery", bcrypt.gensalt(4)).decode()


def imported(settings: dict[str, str], *arguments: str, typed: str = "") -> dict[str, Any]:
    done = run("users", "import", *arguments, "--json", typed=typed, **settings)
    assert done.stderr == ""
    return json.loads(done.stdout)


def lines(*rows: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def count(database_url: str) -> int:
    query = "select count(*) from profiles.users"
    return asyncio.run(on(database_url, lambda connection: connection.fetchval(query)))


def test_a_csv_file_is_the_same_as_json_lines(
    settings: dict[str, str], tmp_path: Path, database_url: str
) -> None:
    file = tmp_path / "users.CSV"
    file.write_text(
        "\ufeffemail,username,email_verified,password_hash,created_at,roles,logins\n"
        f'ada@example.test,ada_l,true,{HASH},2019-05-01T10:00:00Z,admin,"[{{""issuer"": '
        '""https://id.example"", ""subject"": ""7""}]"\n'
        "\n"
        ",bob_m,,,,,\n"
        "eve@example.test,eve_n\n"
    )
    outcome = imported(settings, str(file))
    assert (outcome["imported"], outcome["refused"]) == (2, 1)
    query = (
        "select u.email_verified, p.hash_algo, u.created_at::date::text,"
        " (select count(*) from profiles.user_roles r where r.user_id = u.id),"
        " (select min(subject) from profiles.user_providers l where l.user_id = u.id)"
        " from profiles.users u join profiles.user_passwords p on p.user_id = u.id"
    )
    row = asyncio.run(on(database_url, lambda connection: connection.fetchrow(query)))
    assert tuple(row) == (True, "bcrypt", "2019-05-01", 1, "7")
    assert imported(settings, str(file))["present"] == 2


def test_a_trial_says_what_would_happen_and_changes_nothing(
    settings: dict[str, str], database_url: str
) -> None:
    rows = lines(
        {"email": "ada@example.test", "username": "ada_l", "password_hash": HASH},
        {"email": "ADA@example.test"},
        {"email": "eve@example.test", "username": "ada_l"},
        {"email": "bob@example.test", "username": "b"},
        {"email": "cy@example.test", "roles": ["no_such_role"]},
    )
    trial = imported(settings, "-", "--dry-run", typed=rows)
    assert (trial["imported"], trial["present"], trial["refused"], trial["dry_run"]) == (1, 1, 3, True)
    assert count(database_url) == 0
    real = imported(settings, "-", typed=rows)
    assert [real[name] for name in ("imported", "present", "refused")] == [1, 1, 3]
    assert run("users", "import", "-", "--dry-run", typed=rows, **settings).stdout.startswith(
        "would import 0"
    )


def test_a_refused_row_is_reported_with_field_value_and_reason(
    settings: dict[str, str], tmp_path: Path
) -> None:
    rows = lines(
        {"email": "ada@example.test", "passwordHash": "secret-hash"},
        {"email": "eve@example.test", "email_verified": "yes"},
        {"email": "no address"},
        {"email": "mal@example.test", "password_hash": "secret-hash"},
        {},
        {"email": "cy@example.test", "created_at": "2999-01-01T00:00:00Z"},
    )
    report = tmp_path / "refused.jsonl"
    outcome = imported(settings, "-", "--report", str(report), typed=rows + "{no json\n")
    assert (outcome["refused"], outcome["report"]) == (7, str(report))
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    found = [json.loads(line) for line in report.read_text().splitlines()]
    assert [entry["line"] for entry in found] == list(range(1, 8))
    fields = ["passwordHash", "email_verified", "email", "password_hash", None, "created_at", None]
    assert [entry["field"] for entry in found] == fields
    assert "the fields are id, email, " in found[0]["reason"]
    assert found[1]["value"] == "yes"
    assert found[2]["row"] == {"email": "no address"}
    assert "secret" not in report.read_text()
    again = run("users", "import", "-", "--report", str(report), typed=rows, **settings)
    assert_one_line(again, "name a new file")
    said = run("users", "import", "-", typed=rows, **settings).stderr.splitlines()
    assert said[0].startswith("authkit: line 1: passwordHash: passwordHash is not a field")


def test_no_row_stops_the_others_and_none_loses_its_ban(
    settings: dict[str, str], tmp_path: Path, database_url: str
) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    login = {"issuer": "https://id.example", "subject": "7", "provider": "a\0"}
    rows = lines(
        {"email": "ada@example.test", "banned_until": "2999-01-01T00:00:00Z"},
        {"email": "bob@example.test", "ban_reason": "fraud", "banned": False},
        {"email": "cy@example.test", "created_at": "0001-01-01T00:00:00+14:00"},
        {"email": "dan@example.test", "banned": True, "banned_until": "9999-12-31T23:59:59-14:00"},
        {"email": "eve@example.test", "logins": [login]},
    )
    rows += f'{{"email": "fay@example.test", "hash_params": {{"a": {deep}}}}}\n'
    rows += "".join(f'{{"id": {"[" * depth}{"]" * depth}}}\n' for depth in range(900, 1000))
    report = tmp_path / "refused.jsonl"
    outcome = imported(
        settings, "-", "--report", str(report), typed=rows + lines({"email": "gil@example.test"})
    )
    assert (outcome["imported"], outcome["refused"], count(database_url)) == (1, 106, 1)
    found = [json.loads(line)["field"] for line in report.read_text().splitlines()[:6]]
    assert found == ["banned_until", "ban_reason", "created_at", "banned_until", "provider", None]
    columns = tmp_path / "users.csv"
    columns.write_text("email,email_verified,email_verified\nhal@example.test,false,true\n")
    assert imported(settings, str(columns))["refused"] == 1
    columns.write_text(f"email,hash_params\nhal@example.test,{'[' * 60_000}\n")
    assert imported(settings, str(columns))["refused"] == 1


def test_few_of_many_refused_rows_are_printed(settings: dict[str, str]) -> None:
    done = run("users", "import", "-", typed="{}\n" * 30, **settings)
    assert done.stderr.count("authkit: line ") == 20
    assert done.stderr.endswith("10 more rows were refused; --report FILE keeps all of them.\n")


def test_a_second_run_recognizes_rows_without_ids(settings: dict[str, str], database_url: str) -> None:
    rows = lines(
        {"email": "ada@example.test", "username": "ada.l"},
        {"phone_number": "+4915112345678", "username": "Bob M"},
        {"logins": [{"issuer": "https://id.example", "subject": "7"}]},
        {"username": "eve_n"},
    )
    first = imported(settings, "-", "--derive-usernames", typed=rows)
    again = imported(settings, "-", "--derive-usernames", typed=rows)
    assert (first["imported"], again["present"], count(database_url)) == (4, 4, 4)
    alone = imported(settings, "-", "--derive-usernames", typed=lines({"username": "eve.n"}))
    assert alone["refused"] == 1


@pytest.mark.parametrize("how", [["--dry-run"], []], ids=["trial", "import"])
def test_rows_that_meet_in_another_spelling_are_imported_as_one_after_the_other(
    settings: dict[str, str], how: list[str]
) -> None:
    rows = lines(
        {"phone_number": "+4915112345678", "username": "ada_l"},
        {"phone_number": "+49 151 1234 5678"},
        {"email": "ada@example.test", "username": "ada_l"},
        {"email": "bob@example.test", "username": "Ada.L"},
        {"email": "eve@example.test", "username": "ad.al"},
    )
    outcome = imported(settings, "-", "--derive-usernames", *how, typed=rows)
    assert [outcome[name] for name in ("imported", "present", "refused")] == [3, 1, 1]


@contextmanager
def claimed(database_url: str, email: str) -> Iterator[None]:
    """Have an address in a transaction that does not end: another insert of it waits."""
    with asyncio.Runner() as runner:
        holder = runner.run(asyncpg.connect(database_url))
        runner.run(holder.execute(f"begin; insert into profiles.users (email) values ('{email}')"))
        try:
            yield
        finally:
            runner.run(holder.close())


def many(number: int) -> Iterable[str]:
    for row in range(number):
        yield lines({"email": f"u{row}@example.test", "username": f"user_{row}", "password_hash": HASH})


def test_ctrl_c_says_where_it_stopped_and_the_same_command_continues(
    settings: dict[str, str], tmp_path: Path, database_url: str
) -> None:
    file = tmp_path / "users.jsonl"
    file.write_text("".join(many(400)))
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as log, file.open() as nothing:
        files = (nothing.fileno(), said.fileno(), log.fileno())
        # It waits for one of its rows until the signal was sent, however slow this process is.
        patient = {f"AUTHKIT_DATABASE_{name}_TIMEOUT": "100" for name in ("LOCK", "STATEMENT", "COMMAND")}
        with claimed(database_url, "u200@example.test"):
            process = start(("users", "import", str(file)), environment(**settings | patient), files)
            wait_until(lambda: count(database_url) >= 50)
            os.killpg(process.pid, signal.SIGINT)
        status = process.wait(timeout=PATIENCE)
        said.seek(0)
        log.seek(0)
        printed, warned = said.read().decode(), log.read().decode()
    assert status == 130, warned
    done = count(database_url)
    assert 50 <= done < 400
    assert printed == f"imported {done}, already there 0, refused 0\n"
    assert warned == f"authkit: Stopped after line {done} (interrupted); the same command continues.\n"
    rest = imported(settings, str(file))
    assert (rest["imported"], rest["present"]) == (400 - done, done)


def peak(settings: dict[str, str], file: Path) -> tuple[float, int]:
    """Import a file; return the seconds that took and the most memory of the process, in KiB."""
    began, most, text = time.monotonic(), 0, ""
    with Path(os.devnull).open("r+") as nothing:
        files = (nothing.fileno(), nothing.fileno(), nothing.fileno())
        process = start(("users", "import", str(file)), environment(**settings), files)
        try:
            while process.poll() is None:
                with suppress(OSError):  # it has just ended
                    text = Path(f"/proc/{process.pid}/status").read_text(errors="replace")
                sizes = (int(line.split()[1]) for line in text.splitlines() if line[:6] == "VmHWM:")
                most = max([most, *sizes])
                time.sleep(0.1)
        finally:
            process.stop()
    assert process.returncode == 0
    return time.monotonic() - began, most


def test_rows_are_imported_while_others_are_still_to_come(
    settings: dict[str, str], database_url: str
) -> None:
    """The file is never held in memory: what comes later may wait for what came first."""
    reading, writing = os.pipe()
    with Path(os.devnull).open("r+") as nothing, os.fdopen(reading) as typed, os.fdopen(writing, "w") as rows:
        files = (typed.fileno(), nothing.fileno(), nothing.fileno())
        process = start(("users", "import", "-"), environment(**settings), files)
        rows.writelines(many(300))
        rows.flush()
        wait_until(lambda: count(database_url) > 0)
        rows.close()
        assert process.wait(timeout=PATIENCE) == 0
    assert count(database_url) == 300


@pytest.mark.timeout(2400)
def test_a_hundred_thousand_users_come_in_at_once(
    settings: dict[str, str], tmp_path: Path, database_url: str
) -> None:
    """A hundredth of them, but in a soak, which has the machine to itself: the memory does not grow."""
    number = rounds(rounds(100_000))
    few, file = tmp_path / "few.jsonl", tmp_path / "users.jsonl"
    few.write_text("".join(many(500)))
    file.write_text("".join(many(number)))
    _, base = peak(settings, few)
    seconds, most = peak(settings, file)
    assert count(database_url) == number
    assert most - base < 32 * 1024, f"{most - base} KiB more for {number} rows"
    assert not SOAK or seconds < number / 50, f"{number / seconds:.0f} rows a second"
