"""``authkit serve`` as an operator meets it: real processes, real sockets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from fakes.commands import assert_one_line, environment, run, serving_dev
from fakes.ports import free_port
from fakes.warm import start

pytestmark = pytest.mark.timeout(180)


def curl_lines(greeting: str) -> list[str]:
    return [line for line in greeting.splitlines() if line.startswith("curl ")]


def servers_of(folder: Path) -> list[str]:
    """Return the PostgreSQL processes that still run over a data folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "postgres" in command and str(folder) in command and "--data-dir" not in command:
            found.append(command)
    return found


def test_the_printed_lines_work_each_by_itself_and_everything_survives_a_restart(tmp_path: Path) -> None:
    port = free_port()
    with serving_dev(tmp_path, port) as server:
        for path in ("/docs", "/dev/inbox", "/.well-known/jwks.json"):
            assert f"{server.url}{path}" in server.greeting
            assert httpx.get(server.url + path).status_code == 200
        answers = [
            subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True).stdout
            for line in curl_lines(server.greeting)
        ]
        assert len(answers) == 3
        assert "registration_id" in answers[0]
        assert "access_token" in answers[1]
        refresh = httpx.Response(200, text=answers[2]).json()["refresh_token"]
        keys = httpx.get(f"{server.url}/.well-known/jwks.json").json()
        status, log = server.stop()
        assert status == 0
        assert_quiet(log)
    assert servers_of(tmp_path) == []
    with serving_dev(tmp_path, port) as server:
        assert server.seconds < 20  # five seconds on an idle machine; tests share theirs
        assert httpx.get(f"{server.url}/.well-known/jwks.json").json() == keys
        body = {"grant_type": "refresh_token", "refresh_token": refresh}
        pair = httpx.post(f"{server.url}/auth/token", json=body).json()
        headers = {"authorization": f"Bearer {pair['access_token']}"}
        me = httpx.get(f"{server.url}/auth/user/me", headers=headers).json()
        assert me["email"].endswith("@example.com")
        checked = run("verify", pair["access_token"], "--issuer", server.url, "--audience", "authkit")
        assert checked.returncode == 0
        assert me["id"] in checked.stdout
        assert server.stop(signal.SIGTERM)[0] == 0


def assert_quiet(log: str) -> None:
    """Fail when a log holds anything but ordinary lines."""
    assert [line for line in log.splitlines() if "[info" not in line] == []


def test_the_log_shows_every_request_and_nothing_secret(tmp_path: Path) -> None:
    with serving_dev(tmp_path) as server:
        for line in curl_lines(server.greeting):
            subprocess.run(["sh", "-c", line], capture_output=True, timeout=60, check=True)
        code = httpx.get(f"{server.url}/dev/inbox").json()["messages"][-1]["code"]
        bearer = {"authorization": "Bearer not.a.token", "x-request-id": "seen-7"}
        httpx.get(f"{server.url}/auth/user/me?token=sesame", headers=bearer)
        httpx.get(f"{server.url}/a%0Ab%1Bc")
        status, log = server.stop()
    assert status == 0
    assert re.search(r"method=POST .*path=/auth/register .*status=202", log)
    assert re.search(r"method=GET .*path=/auth/user/me request_id=seen-7 status=401", log)
    assert "path=/a?b?c" in log
    # In development the inbox logs its messages: they are what a terminal is for.
    log = "\n".join(line for line in log.splitlines() if not line.endswith("[authkit.inbox]"))
    for secret in ("sesame", "not.a.token", "correct horse", "@example.com", "akr_", "eyJ", str(code)):
        assert secret not in log


def test_a_killed_server_is_followed_by_one_that_finds_the_data(tmp_path: Path) -> None:
    with serving_dev(tmp_path) as server:
        keys = httpx.get(f"{server.url}/.well-known/jwks.json").json()
        server.stop(signal.SIGKILL)
    assert servers_of(tmp_path), "the database should have outlived its killed owner"
    with serving_dev(tmp_path) as server:
        assert httpx.get(f"{server.url}/.well-known/jwks.json").json() == keys
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        assert server.stop()[0] == 0
    assert servers_of(tmp_path) == []


def test_a_data_folder_serves_one_process_at_a_time(tmp_path: Path) -> None:
    with serving_dev(tmp_path) as server:
        second = run("serve", "--dev", "--port", "0", "--data-dir", str(tmp_path))
        assert_one_line(second, "in use by another process")
        assert httpx.get(f"{server.url}/readyz").status_code == 200


@pytest.mark.parametrize("which", ["first", "later"])
def test_a_signal_while_it_starts_ends_it_quietly_and_leaves_nothing_running(
    tmp_path: Path, which: str
) -> None:
    if which == "later":
        with serving_dev(tmp_path) as server:
            server.stop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    lock = tmp_path / "lock"
    starting = ("serve", "--dev", "--port", "0", "--data-dir", str(tmp_path))
    for number, pause in enumerate((0.0, 0.02, 0.05, 0.1, 0.2, 0.4)):
        lock.unlink(missing_ok=True)
        with Path(os.devnull).open("r+") as nothing, tempfile.TemporaryFile("w+") as said:
            process = start(starting, environment(), (nothing.fileno(), nothing.fileno(), said.fileno()))
            while not lock.exists():  # from here on it is more than a Python that imports modules
                assert process.poll() is None
                time.sleep(0.005)
            time.sleep(pause)
            os.killpg(process.pid, signals[number % 3])
            status = process.wait(timeout=60)
            said.seek(0)
            log = said.read()
        assert status == 0, log
        assert_quiet(log)
        assert servers_of(tmp_path) == []
