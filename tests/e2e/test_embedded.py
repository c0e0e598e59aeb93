"""The embedded PostgreSQL: who may use a data folder, and what is left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from authkit_issuer import embedded
from authkit_issuer.embedded import EmbeddedPostgres
from authkit_issuer.embedded.wheel import Binaries, account_for_programs
from authkit_issuer.errors import StartupError
from authkit_issuer.security import key_file
from fakes.servers import on

pytestmark = pytest.mark.timeout(120)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


@contextmanager
def running(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres.start(data_dir)
    try:
        yield server
    finally:
        server.stop()


def ask(server: EmbeddedPostgres, sql: str) -> str:
    return asyncio.run(on(server.dsn, lambda connection: connection.fetchval(sql)))


@pytest.mark.parametrize("name", ["plain", "with blanks, and a comma", 'it\'s"quoted"', "long" * 40])
def test_any_folder_will_do_and_the_data_stays(tmp_path: Path, name: str) -> None:
    with running(tmp_path / name) as server:
        ask(server, "create table kept as select 1 as number")
    with running(tmp_path / name) as server:
        assert ask(server, "select number::text from kept") == "1"


def test_settings_of_other_databases_in_the_environment_mean_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting in ("PGPORT=1", "PGHOST=/nowhere", "PGDATABASE=other", "PGUSER=me", "PGSSLMODE=require"):
        monkeypatch.setenv(*setting.split("="))
    with running(tmp_path) as server:
        assert ask(server, "select current_user || current_database()") == "postgrespostgres"


def test_letter_case_does_not_depend_on_the_machine(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert ask(server, "select lower('ÄÉ') || upper('ß')") == "äéß"


def test_it_listens_on_no_network_and_lets_no_other_user_in(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert ask(server, "show listen_addresses") == ""
        folder = Path(ask(server, "show unix_socket_directories"))
        assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with (
        running(tmp_path) as server,
        pytest.raises(StartupError, match="is in use by another process: stop it"),
    ):
        EmbeddedPostgres.start(tmp_path)
    assert server._process.returncode == 0


def test_a_server_that_somebody_else_runs_over_the_folder_is_left_alone(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    cluster = tmp_path / "postgres"
    # What counts is the command line: this one says postgres, and not that it is ours.
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "postgres"])
    try:
        while "postgres" not in embedded._command(other.pid):
            time.sleep(0.01)  # its arguments show a moment after it has started
        (cluster / "postmaster.pid").write_text(f"{other.pid}\n{cluster}\n")
        with pytest.raises(StartupError, match=f"in use by another server \\(process {other.pid}\\)"):
            EmbeddedPostgres.start(tmp_path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_process_number_that_another_program_got_since_does_not_stand_in_the_way(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}\n")
    with running(tmp_path) as server:
        assert ask(server, "select 'up'") == "up"


def test_a_first_start_that_was_cut_short_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "half").write_text("")
    with running(tmp_path) as server:
        assert ask(server, "select 'up'") == "up"
    assert not (tmp_path / "postgres.new").exists()


def test_files_of_another_version_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    (tmp_path / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(StartupError, match=r"^PostgreSQL does not start: .*incompatible.*\.$"):
        EmbeddedPostgres.start(tmp_path)


def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    (tmp_path / "closed").chmod(0o555)
    with ordinary_user(), pytest.raises(StartupError, match=r"cannot be used: Permission denied\.$"):
        EmbeddedPostgres.start(tmp_path / "closed" / "data")


@as_root
def test_a_closed_folder_of_the_host_is_refused_and_keeps_its_mode(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with pytest.raises(StartupError, match=rf"cannot enter {home}: use another user, .*chmod o\+x {home}\.$"):
        EmbeddedPostgres.start(home / "data")
    assert home.stat().st_mode & 0o777 == 0o700
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for _ in range(2):  # the first leaves its lock there
        with pytest.raises(StartupError, match=f"cannot enter {closed}"):
            EmbeddedPostgres.start(closed)
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_folder_that_was_created_for_the_keys_of_development_can_be_used(tmp_path: Path) -> None:
    keys = tmp_path / "data" / "keys.json"
    assert key_file.create(keys, key_file.generate("ES256", os.urandom))
    assert keys.parent.stat().st_mode & 0o777 == 0o700
    with running(keys.parent) as server:
        assert ask(server, "select 'up'") == "up"
    assert keys.parent.stat().st_mode & 0o777 == 0o701
    assert keys.stat().st_mode & 0o777 == 0o600
    # A file of the host's beside them: the folder is the host's.
    (keys.parent / "notes.txt").write_text("")
    keys.parent.chmod(0o700)
    with pytest.raises(StartupError, match="cannot enter"):
        EmbeddedPostgres.start(keys.parent)


@as_root
def test_folders_that_the_start_creates_can_be_entered_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with running(tmp_path / "new" / "data") as server:
            assert ask(server, "select 'up'") == "up"
    finally:
        os.umask(before)
    with running(tmp_path / "new" / "data") as server:
        assert ask(server, "select 'up'") == "up"


@as_root
def test_programs_in_a_closed_folder_run_from_a_copy_and_the_folder_keeps_its_mode(tmp_path: Path) -> None:
    account = account_for_programs()
    found = Binaries.find()
    package = found.folder.parent.parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in (found.folder.parent, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / part.relative_to(package.parent), symlinks=True)
    hidden = Binaries(closed / found.folder.relative_to(package.parent))
    modes = {path: path.lstat().st_mode for path in closed.rglob("*")}
    for _ in range(2):  # made once, found again
        copied = hidden.runnable_by(account, tmp_path)
        assert not copied.folder.is_relative_to(closed)
        said = subprocess.run(
            [copied.program("initdb"), "--version"],
            **copied.surroundings(account),
            capture_output=True,
            check=True,
        )
        assert b"PostgreSQL" in said.stdout
    assert closed.stat().st_mode & 0o777 == 0o700
    assert modes == {path: path.lstat().st_mode for path in closed.rglob("*")}


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Run as a user whom permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
