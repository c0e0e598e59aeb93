"""``authkit serve --workers N``: one port, several processes, and a parent that keeps them running."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from fakes.commands import Server, assert_one_line, run, serving
from fakes.keys import as_settings
from fakes.mail_server import mail_server
from fakes.patience import PATIENCE
from fakes.until import wait_until

pytestmark = pytest.mark.timeout(180)

SETTINGS = {"AUTHKIT_ISSUER": "https://id.example.test", "AUTHKIT_AUDIENCES": "api"}
STOPS = [
    (signal.SIGTERM, os.kill),
    (signal.SIGHUP, os.kill),
    (signal.SIGINT, os.killpg),  # as a terminal does
    (signal.SIGTERM, os.killpg),  # as systemd does
]


@pytest.fixture
def settings(database_url: str, redis_url: str) -> dict[str, str]:
    of_stores = {"AUTHKIT_DATABASE_URL": database_url, "AUTHKIT_REDIS_URL": redis_url}
    return SETTINGS | as_settings() | of_stores


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def answers(server: Server, path: str = "/healthz", *, count: int = 1) -> set[int]:
    """Ask on connections of their own, so that any worker may answer."""
    return {
        httpx.get(server.url + path, headers={"connection": "close"}, timeout=PATIENCE).status_code
        for _ in range(count)
    }


def answering(server: Server, count: int) -> set[str]:
    """Return the processes that answered one of so many requests, from the access log."""
    before = len(server.log())
    answers(server, "/auth/capabilities", count=count)
    return set(re.findall(r'"path": "/auth/capabilities".*"process": (\d+)', server.log()[before:]))


def test_every_worker_answers_and_a_killed_one_is_replaced(settings: dict[str, str]) -> None:
    with serving("--port", "0", "--workers", "2", **settings) as server:
        workers = children(server.process.pid)
        assert len(workers) == 2
        assert answers(server, "/readyz", count=4) == {200}
        for worker in workers:  # the other one alone
            os.kill(worker, signal.SIGSTOP)
            assert answers(server, count=5) == {200}
            os.kill(worker, signal.SIGCONT)
        os.kill(workers[0], signal.SIGKILL)
        # The killed one is a child until the parent has reaped it.
        wait_until(lambda: len({*children(server.process.pid)} - {*workers}) == 1)
        assert answers(server, count=20) == {200}
        new = {*children(server.process.pid)} - {*workers}
        assert len(new) == 1
        wait_until(lambda: str(*new) in answering(server, 20))
        status, log = server.stop(signal.SIGTERM)
        assert status == 0
        assert not any(map(is_alive, [*workers, *new]))
        assert f"worker {workers[0]} ended by SIGKILL; another one starts in 0 s" in log
        assert "Traceback" not in log


@pytest.mark.parametrize(("number", "send"), STOPS)
def test_a_signal_stops_every_worker_after_its_drain(
    settings: dict[str, str], number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    options = ("--port", "0", "--workers", "2", "--drain-delay", "0.5")
    with serving(*options, **settings) as server:
        workers, began = children(server.process.pid), time.monotonic()
        send(server.process.pid, number)
        assert server.process.wait(timeout=PATIENCE) == 0
        assert time.monotonic() - began > 0.5
        assert not any(map(is_alive, workers))
        assert server.log().count("serving on for 0.5 s") == 2


def test_a_second_signal_ends_the_drain_of_every_worker(settings: dict[str, str]) -> None:
    with serving("--port", "0", "--workers", "2", "--drain-delay", "3600", **settings) as server:
        os.killpg(server.process.pid, signal.SIGINT)
        wait_until(lambda: answers(server, "/readyz", count=4) == {503})
        assert answers(server) == {200}
        assert server.stop()[0] == 0


def test_one_worker_can_be_stopped_and_another_takes_its_place(settings: dict[str, str]) -> None:
    with serving("--port", "0", "--workers", "2", **settings) as server:
        first, second = children(server.process.pid)
        os.kill(first, signal.SIGTERM)
        wait_until(lambda: len({*children(server.process.pid)} - {first, second}) == 1)
        assert not is_alive(first)
        assert second in children(server.process.pid)
        assert answers(server, count=10) == {200}
        assert f"worker {first} ended with status 0" in server.log()


def test_workers_end_when_their_parent_is_killed(settings: dict[str, str]) -> None:
    with serving("--port", "0", "--workers", "2", **settings) as server:
        workers = children(server.process.pid)
        os.kill(server.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, workers)))
        assert "Traceback" not in server.log()


def test_workers_keep_the_bounds_of_one(settings: dict[str, str]) -> None:
    with serving("--port", "0", "--workers", "2", **settings) as server:
        host, port = server.url.removeprefix("http://").split(":")
        for _ in range(4):
            with socket.create_connection((host, int(port)), timeout=PATIENCE) as link:
                link.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 40_000 + b"\r\n\r\n")
                assert link.recv(100).startswith(b"HTTP/1.1 4")


def test_a_start_that_fails_in_a_worker_is_one_line_and_leaves_nothing_running(
    settings: dict[str, str], empty_database_url: str
) -> None:
    settings["AUTHKIT_DATABASE_URL"] = empty_database_url
    done = run("serve", "--port", "0", "--workers", "3", **settings)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("authkit: ")
    assert "authkit migrate" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "more", "said"),
    [
        (["--workers", "0"], {}, "--workers is 0: give a number from 1 to 256."),
        (["--dev", "--workers", "2"], {}, "--workers 2 needs AUTHKIT_REDIS_URL: the workers share codes"),
        (
            ["--dev", "--workers", "2"],
            {"AUTHKIT_REDIS_URL": "redis://127.0.0.1:1/0"},
            "--dev --workers 2 needs AUTHKIT_SMTP_URL",
        ),
    ],
)
def test_workers_that_would_share_nothing_are_refused(
    tmp_path: Path, arguments: list[str], more: dict[str, str], said: str
) -> None:
    started = run("serve", "--port", "0", "--data-dir", str(tmp_path / "data"), *arguments, **more)
    assert_one_line(started, said)
    assert not (tmp_path / "data").exists()  # no database was started first


def test_one_embedded_database_serves_every_worker(tmp_path: Path, redis_url: str) -> None:
    with mail_server() as box:
        more = {"AUTHKIT_REDIS_URL": redis_url, "AUTHKIT_SMTP_URL": box.url, "AUTHKIT_SMTP_FROM": "a@b.test"}
        data = ("--data-dir", str(tmp_path))
        with serving("--dev", "--port", "0", "--workers", "2", *data, **more) as server:
            assert answers(server, "/readyz", count=6) == {200}
            status, log = server.stop()
            assert status == 0
            assert "Traceback" not in log
        assert not (tmp_path / "postgres" / "postmaster.pid").exists()
