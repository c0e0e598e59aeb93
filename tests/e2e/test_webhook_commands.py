"""The commands for webhooks, over a receiver on this machine."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator

import pytest

from fakes.commands import assert_one_line, run

pytestmark = pytest.mark.timeout(180)


class Answering(http.server.BaseHTTPRequestHandler):
    status = 204

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Answering.status = 204
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
        thread.join()


def webhooks(settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("webhooks", *arguments, **settings)


def test_an_endpoint_is_added_tested_rotated_disabled_and_removed(settings: dict[str, str], url: str) -> None:
    made = webhooks(settings, "add", url, "--event", "user_created", "--event", "user_banned")
    endpoint_id, secret = made.stdout.strip().split("\t")
    assert secret.startswith("whsec_")
    assert webhooks(settings, "test", endpoint_id).stdout == "status 204\n"
    assert webhooks(settings, "rotate", endpoint_id).stdout.strip() not in {secret, ""}
    listed = webhooks(settings, "list").stdout.strip().split("\t")
    assert listed == [
        endpoint_id, "enabled", "0 waiting", "0 given up", "-", "user_banned,user_created", url,
    ]  # fmt: skip
    assert webhooks(settings, "disable", endpoint_id).stdout == "disabled\n"
    assert webhooks(settings, "list").stdout.split("\t")[1] == "disabled"
    assert webhooks(settings, "enable", endpoint_id).stdout == "enabled\n"
    assert webhooks(settings, "replay", endpoint_id).stdout == "queued 0\n"
    assert webhooks(settings, "replay", endpoint_id, "--since", "2026-01-01").stdout == "queued 0\n"
    assert webhooks(settings, "remove", endpoint_id, "--yes").stdout == "removed\n"
    assert webhooks(settings, "list").stdout == ""


def test_a_refused_test_message_is_a_failure(settings: dict[str, str], url: str) -> None:
    endpoint_id = webhooks(settings, "add", url).stdout.split("\t")[0]
    Answering.status = 500
    done = webhooks(settings, "test", endpoint_id)
    assert (done.returncode, done.stdout) == (1, "status 500\n")


def test_what_cannot_be_meant_is_one_line(settings: dict[str, str]) -> None:
    assert_one_line(webhooks(settings, "add", "http://example.com/"), "must be https")
    assert_one_line(webhooks(settings, "test", "nothing"), "Webhook not found")
