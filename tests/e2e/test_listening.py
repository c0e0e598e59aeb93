"""Where ``authkit serve`` listens, how long it keeps connections, and how it stops."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from fakes.commands import Server, assert_one_line, environment, run, serving
from fakes.keys import as_settings
from fakes.patience import PATIENCE
from fakes.until import wait_until

SETTINGS = {
    "AUTHKIT_ISSUER": "https://id.example.test",
    "AUTHKIT_AUDIENCES": "api",
    "AUTHKIT_TRUSTED_PROXIES": "unix",
}


@pytest.fixture
def settings(database_url: str, redis_url: str) -> dict[str, str]:
    of_stores = {"AUTHKIT_DATABASE_URL": database_url, "AUTHKIT_REDIS_URL": redis_url}
    return SETTINGS | as_settings() | of_stores


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A path that is short enough for a unix socket, which some test folders are not."""
    link = Path(f"/tmp/authkit-{os.getpid()}")
    link.symlink_to(tmp_path)
    yield link / "authkit.sock"
    link.unlink()


def over(path: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://id.example.test")


def test_a_unix_socket_serves_proxies_and_is_gone_afterwards(place: Path, settings: dict[str, str]) -> None:
    with serving("--uds", str(place), **settings) as server:
        assert server.url == f"unix:{place}"
        assert stat.S_IMODE(place.stat().st_mode) == 0o666
        with over(place) as client:
            assert client.get("/readyz").status_code == 200
            # A limit of sixty an hour gives nothing back between two requests.
            unknown = {"identifier": "absent@example.test", "password": "not the right one"}
            left = [
                client.post(
                    "/auth/password/login", json=unknown, headers={"x-forwarded-for": address}
                ).headers["ratelimit-remaining"]
                for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")
            ]
        assert (left[0], int(left[2])) == (left[1], int(left[1]) - 1)  # each caller has a count of its own
        second = run("serve", "--uds", str(place), **settings)
        assert_one_line(second, "address already in use; --uds selects another.")
        assert server.stop(signal.SIGTERM)[0] == 0
    assert not place.exists()


def test_the_socket_of_a_killed_server_is_replaced_and_no_other_file(
    place: Path, settings: dict[str, str]
) -> None:
    with serving("--uds", str(place), **settings) as server:
        server.stop(signal.SIGKILL)
    assert place.is_socket()
    with serving("--uds", str(place), **settings) as server, over(place) as client:
        assert client.get("/healthz").status_code == 200
    place.write_text("precious")
    assert_one_line(run("serve", "--uds", str(place), **settings), "address already in use")
    assert place.read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--uds", "a.sock", "--fd", "3"], "--uds and --fd are two places to listen: give one of them."),
        (["--fd", "77"], "--fd 77 is not a socket"),
        (["--keep-alive", "-1"], "--keep-alive is -1.0: give seconds, 0 or more."),
        (["--drain-delay", "inf"], "--drain-delay is inf: give seconds, 0 or more."),
        (["--dev", "--uds", "a.sock"], "--dev listens on a port of this machine"),
        (["--uds", "no/such/a.sock"], "Cannot listen on no/such/a.sock: no such file or directory; --uds"),
    ],
)  # fmt: skip
def test_options_that_cannot_work_are_one_line(options: list[str], said: str) -> None:
    assert_one_line(run("serve", *options, **SETTINGS), said)


@contextmanager
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=PATIENCE)) as link:
        yield link


def ask(link: http.client.HTTPConnection, path: str) -> http.client.HTTPResponse:
    link.request("GET", path)
    answer = link.getresponse()
    answer.read()
    return answer


def is_closed(link: http.client.HTTPConnection, within: float) -> bool:
    link.sock.settimeout(within)
    try:
        return link.sock.recv(1) == b""
    except TimeoutError:
        return False


def test_an_idle_connection_stays_open_for_keep_alive_seconds(settings: dict[str, str]) -> None:
    with serving("--port", "0", "--keep-alive", "0.5", **settings) as server, connection(server) as link:
        assert ask(link, "/healthz").status == 200
        assert is_closed(link, within=PATIENCE)
    with serving("--port", "0", **settings) as server, connection(server) as link:
        assert ask(link, "/healthz").status == 200
        assert not is_closed(link, within=6)  # uvicorn's own default is 5 s
        assert ask(link, "/healthz").status == 200


def test_a_process_serves_on_while_the_load_balancer_learns_that_it_stops(settings: dict[str, str]) -> None:
    with serving("--port", "0", "--drain-delay", "3600", **settings) as server, connection(server) as idle:
        assert ask(idle, "/readyz").status == 200
        os.killpg(server.process.pid, signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        assert httpx.get(f"{server.url}/auth/capabilities").status_code == 200
        answer = ask(idle, "/healthz")  # a request on a connection from before is answered, and is its last
        assert (answer.status, answer.getheader("connection")) == (200, "close")
        assert server.stop(signal.SIGTERM)[0] == 0  # the second signal ends the drain


def test_a_drain_ends_by_itself(settings: dict[str, str]) -> None:
    with serving("--port", "0", "--drain-delay", "1", **settings) as server:
        began = time.monotonic()
        assert server.stop(signal.SIGTERM)[0] == 0
        assert time.monotonic() - began >= 1
        assert "serving on for 1 s" in server.log()
        assert server.log().count("stopping: running requests have 5 s") == 1


def test_a_socket_of_the_parent_is_used(settings: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        os.set_inheritable(number, True)
        # A real process: the warm one that serves the other tests has not inherited the socket.
        with subprocess.Popen(
            [sys.executable, "-m", "authkit_issuer.cli", "serve", "--fd", str(number)],
            env=environment(**settings), pass_fds=[number], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert b"authkit is listening on" in process.stdout.readline()
            assert httpx.get(f"http://127.0.0.1:{listener.getsockname()[1]}/readyz").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
