"""``authkit serve`` and ``authkit demo`` as an operator meets them: real processes, real sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fakes.servers import free_port

pytestmark = pytest.mark.timeout(180)

AUTHKIT = [sys.executable, "-m", "authkit_issuer.cli"]


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTHKIT_")}
    return kept | settings


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AUTHKIT, *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that PostgreSQL's own user can enter when we are root."""
    folder = tmp_path_factory.mktemp("data")
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    return folder


class Server:
    """A running ``serve --dev`` with what it has printed."""

    def __init__(self, port: int, process: subprocess.Popen[str], greeting: str, seconds: float) -> None:
        self.url, self.process, self.greeting, self.seconds = (
            f"http://127.0.0.1:{port}", process, greeting, seconds
        )  # fmt: skip

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        _, complaints = self.process.communicate(timeout=60)
        return self.process.returncode, complaints


@contextmanager
def serving(data_dir: Path, port: int) -> Iterator[Server]:
    started = time.monotonic()
    process = subprocess.Popen(
        [*AUTHKIT, "serve", "--dev", "--port", str(port), "--data-dir", str(data_dir)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    greeting = ""
    try:
        assert process.stdout is not None
        while "Stop with Ctrl-C" not in greeting:
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            greeting += line
        yield Server(port, process, greeting, time.monotonic() - started)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_the_printed_lines_work_and_everything_survives_a_restart(data_dir: Path) -> None:
    port = free_port()
    with serving(data_dir, port) as server:
        for path in ("/docs", "/dev/inbox", "/.well-known/jwks.json"):
            assert f"{server.url}{path}" in server.greeting
            assert httpx.get(server.url + path).status_code == 200
        steps = [line for line in server.greeting.splitlines() if "curl " in line]
        assert len(steps) == 3
        done = subprocess.run(
            ["bash", "-c", "\n".join(steps)], capture_output=True, text=True, timeout=60, check=False
        )
        assert '"access_token"' in done.stdout, done
        keys = httpx.get(f"{server.url}/.well-known/jwks.json").json()
        refresh = httpx.Response(200, text=done.stdout).json()["refresh_token"]
        status, complaints = server.stop()
        assert (status, complaints) == (0, "")
    with serving(data_dir, port) as server:
        assert server.seconds < 20  # five seconds on an idle machine; tests share theirs
        assert httpx.get(f"{server.url}/.well-known/jwks.json").json() == keys
        body = {"grant_type": "refresh_token", "refresh_token": refresh}
        pair = httpx.post(f"{server.url}/auth/token", json=body)
        assert pair.status_code == 200
        headers = {"authorization": f"Bearer {pair.json()['access_token']}"}
        me = httpx.get(f"{server.url}/auth/user/me", headers=headers).json()
        assert me["email"].endswith("@example.test")
        checked = run("verify", pair.json()["access_token"], "--issuer", server.url, "--audience", "authkit")
        assert checked.returncode == 0
        assert me["id"] in checked.stdout
        refused = run("verify", "no.such.token", "--issuer", server.url, "--audience", "authkit", "--json")
        assert (refused.returncode, refused.stdout) == (1, '{"error": "invalid_token"}\n')
        second = run("serve", "--dev", "--port", "0", "--data-dir", str(data_dir))
        assert_one_line(second, "in use by another process")
        assert server.stop(signal.SIGTERM) == (0, "")


def test_a_killed_server_is_followed_by_one_that_finds_the_data(data_dir: Path) -> None:
    port = free_port()
    with serving(data_dir, port) as server:
        keys = httpx.get(f"{server.url}/.well-known/jwks.json").json()
        server.stop(signal.SIGKILL)
    with serving(data_dir, port) as server:
        assert httpx.get(f"{server.url}/.well-known/jwks.json").json() == keys
        assert server.stop() == (0, "")


def test_the_demo_walks_the_whole_story() -> None:
    done = run("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        "200 ada_l", "401 invalid_token", "401 missing_token", "the issuer signs with", "400 invalid_grant",
    ):  # fmt: skip
        assert said in done.stdout
    assert done.stdout.rstrip().endswith("every step answered as it should.")


def assert_one_line(done: subprocess.CompletedProcess[str], said: str, status: int = 1) -> None:
    assert done.returncode == status, done
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


class TestRefusals:
    def test_a_port_in_use(self, data_dir: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            done = run("serve", "--dev", "--port", port, "--data-dir", str(data_dir))
        assert_one_line(done, "address already in use")

    def test_an_unusable_data_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        done = run("serve", "--dev", "--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
        assert_one_line(done, "cannot be used")

    def test_a_newer_database(self, data_dir: Path, empty_database_url: str) -> None:
        assert run("migrate", AUTHKIT_DATABASE_URL=empty_database_url).returncode == 0
        again = run("migrate", AUTHKIT_DATABASE_URL=empty_database_url)
        assert again.stdout == "nothing to do\n"
        import asyncio

        from fakes.servers import on

        later = "insert into profiles.schema_migrations (version, name, checksum) values (99, 'later', 'x')"
        asyncio.run(on(empty_database_url, lambda connection: connection.execute(later)))
        done = run(
            "serve",
            "--dev",
            "--port",
            "0",
            "--data-dir",
            str(data_dir),
            AUTHKIT_DATABASE_URL=empty_database_url,
        )
        assert_one_line(done, "newer than version")

    def test_a_database_that_was_not_migrated(self, empty_database_url: str, redis_url: str) -> None:
        made = secrets()
        done = run(
            "serve", "--port", "0", AUTHKIT_ISSUER="https://i.example", AUTHKIT_AUDIENCES="a",
            AUTHKIT_DATABASE_URL=empty_database_url, AUTHKIT_REDIS_URL=redis_url, **made,
        )  # fmt: skip
        assert_one_line(done, "authkit migrate")

    def test_a_broken_key_file(self, data_dir: Path, database_url: str) -> None:
        (data_dir / "keys.json").write_text('{"active_key_id": 1}')
        done = run(
            "serve", "--dev", "--port", "0", "--data-dir", str(data_dir), AUTHKIT_DATABASE_URL=database_url
        )
        assert_one_line(done, "keys.json")

    @pytest.mark.parametrize(
        ("arguments", "settings", "said"),
        [
            (["--dev"], {"AUTHKIT_ENVIRONMENT": "production"}, "the environment is 'production'"),
            (["--dev", "--host", "0.0.0.0"], {}, "--dev is refused on 0.0.0.0"),
            ([], {}, "AUTHKIT_ISSUER is not set"),
            ([], {"AUTHKIT_ISSUER": "https://i.example"}, "AUTHKIT_AUDIENCES is not set"),
            (["--dev"], {"AUTHKIT_ACCESS_TOKEN_DURATION": "soon"}, "AUTHKIT_ACCESS_TOKEN_DURATION"),
            (["--dev"], {"AUTHKIT_ORG_MODE": "multi"}, "org_mode"),
            (["--dev"], {"AUTHKIT_REDIS_URL": "redis://127.0.0.1:1/0"}, "ephemeral store"),
            (["--dev"], {"AUTHKIT_DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "database"),
        ],
    )
    def test_settings_that_cannot_work(
        self, data_dir: Path, arguments: list[str], settings: dict[str, str], said: str
    ) -> None:
        done = run("serve", "--port", "0", "--data-dir", str(data_dir), *arguments, **settings)
        assert_one_line(done, said)

    def test_production_needs_a_shared_store_and_keys(self, database_url: str) -> None:
        settings = {
            "AUTHKIT_ISSUER": "https://i.example",
            "AUTHKIT_AUDIENCES": "a",
            "AUTHKIT_DATABASE_URL": database_url,
        }
        assert_one_line(run("serve", "--port", "0", **settings), "No keys")
        assert_one_line(run("serve", "--port", "0", **settings, **secrets()), "redis_url")

    def test_usage_errors_have_their_own_status(self) -> None:
        assert run("serve", "--no-such-option").returncode == 2
        assert run("no-such-command").returncode == 2


def secrets() -> dict[str, str]:
    """Return key material as a deployment would set it."""
    from authkit_issuer.security import key_file

    made = key_file.generate("ES256", os.urandom)
    return {
        "ACTIVE_KEY_ID": "k1",
        "ACTIVE_PRIVATE_KEY_PEM": made.active_private_key_pem,
        "REFRESH_SECRETS": '{"1": "' + made.refresh_secrets["0"] + '"}',
        "REFRESH_SECRET_ACTIVE": "1",
    }


class TestKeys:
    def test_keys_are_generated_listed_and_rotated(self, tmp_path: Path) -> None:
        folder = str(tmp_path / "keys")
        assert run("keys", "generate", "--dir", folder, "--alg", "ES256").returncode == 0
        assert_one_line(run("keys", "generate", "--dir", folder), "exists already")
        (first,) = run("keys", "list", "--dir", folder).stdout.splitlines()
        assert first.endswith("ES256  signs")
        assert run("keys", "rotate", "--dir", folder, "--alg", "EdDSA").returncode == 0
        assert run("keys", "list", "--dir", folder).stdout.splitlines()[0] == first
        assert_one_line(run("keys", "rotate", "--dir", folder), "already announces")
        assert_one_line(run("keys", "rotate", "--dir", str(tmp_path)), "cannot be read")
        assert_one_line(run("keys", "generate", "--dir", folder + "2", "--alg", "HS256"), "RS256")

    def test_a_user_is_created_from_the_command_line(self, database_url: str, tmp_path: Path) -> None:
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
