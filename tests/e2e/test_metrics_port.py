"""``authkit serve --metrics-port``: the numbers of every worker, on a port that clients do not reach."""

from __future__ import annotations

import os
import signal
import time
from importlib import metadata
from pathlib import Path

import httpx
import pytest

from fakes.commands import Server, assert_one_line, run, serving
from fakes.keys import as_settings
from fakes.patience import PATIENCE
from fakes.ports import free_port
from fakes.sms_provider import TwilioReport
from fakes.until import wait_until

pytestmark = pytest.mark.timeout(180)

TWILIO = (
    "twilio://AC00000000000000000000000000000000:t0ken@AC00000000000000000000000000000000?from=+15550100200"
)
HEALTH = 'authkit_http_request_seconds_count{method="GET",route="/healthz",status="200"}'


@pytest.fixture
def settings(database_url: str, redis_url: str) -> dict[str, str]:
    return as_settings() | {
        "AUTHKIT_ISSUER": "https://id.example.test",
        "AUTHKIT_AUDIENCES": "api",
        "AUTHKIT_DATABASE_URL": database_url,
        "AUTHKIT_REDIS_URL": redis_url,
        "AUTHKIT_SMS_URL": TWILIO,
        "AUTHKIT_SMS_COUNTRIES": "1",
    }


def numbers(port: int) -> dict[str, float]:
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", headers={"connection": "close"})
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def ask(server: Server, count: int) -> None:
    for _ in range(count):
        assert httpx.get(f"{server.url}/healthz", headers={"connection": "close"}).status_code == 200


def test_one_process_has_its_numbers_on_a_port_of_their_own(settings: dict[str, str]) -> None:
    port = free_port()
    with serving("--port", "0", "--metrics-port", str(port), **settings) as server:
        ask(server, 3)
        report = TwilioReport(
            url="https://id.example.test/auth/sms/status", auth_token="t0ken", status="failed"
        )
        assert httpx.post(f"{server.url}/auth/sms/status", **report.request).status_code == 200
        assert httpx.post(f"{server.url}/auth/sms/status", data=report.form).status_code == 403
        seen = numbers(port)
        assert seen[HEALTH] == 3
        assert seen['authkit_sms_reported_total{error="",status="failed"}'] == 1
        assert seen["authkit_processes"] == 1
        assert any(name.startswith("authkit_build_info{version=") for name in seen)
        assert httpx.get(f"{server.url}/metrics").status_code == 404
        assert httpx.get(f"http://127.0.0.1:{port}/auth/capabilities").status_code == 404
        taken = run("serve", "--port", "0", "--metrics-port", str(port), **settings)
        assert_one_line(
            taken, f"Cannot listen on 127.0.0.1 port {port}: address already in use; --metrics-port"
        )
        assert server.stop(signal.SIGTERM)[0] == 0


def every_worker_says(port: int, total: float) -> None:
    """Wait until every worker has published, which each does once a second."""
    wait_until(lambda: {numbers(port).get(HEALTH) for _ in range(10)} == {total})


def test_any_worker_answers_for_all_and_a_killed_one_takes_no_count_along(settings: dict[str, str]) -> None:
    port = free_port()
    with serving("--port", "0", "--workers", "3", "--metrics-port", str(port), **settings) as server:
        seen = [0.0]
        for _ in range(20):
            ask(server, 3)
            seen.append(numbers(port).get(HEALTH, 0.0))  # nothing is published at first
        assert seen == sorted(seen)
        every_worker_says(port, 60)
        assert numbers(port)["authkit_processes"] == 3
        family = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        for worker in family.read_text().split()[:2]:
            os.kill(int(worker), signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while "another one starts" not in server.log() or numbers(port)["authkit_processes"] != 3:
            assert numbers(port)[HEALTH] == 60
            assert time.monotonic() < deadline
            time.sleep(0.1)
        ask(server, 40)
        every_worker_says(port, 100)


def test_the_port_of_operators_says_what_a_process_runs_on_and_that_of_clients_does_not(
    settings: dict[str, str],
) -> None:
    port = free_port()
    with serving("--port", "0", "--metrics-port", str(port), "--drain-delay", "60", **settings) as server:
        state = httpx.get(f"http://127.0.0.1:{port}/readyz").json()
        (key,) = httpx.get(f"{server.url}/.well-known/jwks.json").json()["keys"]
        assert (state["status"], state["database_role"], state["problems"]) == ("ok", "primary", {})
        assert state["schema_version"] == state["program_schema_version"]
        assert state["signing_key"] == key["kid"]
        assert state["published_keys"] == [key["kid"]]
        assert state["version"] == metadata.version("asgi-authkit")
        assert state["process"] == server.process.pid
        public = httpx.get(f"{server.url}/readyz")
        assert set(public.json()) == {"status", "checks"}
        os.killpg(server.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while (answer := httpx.get(f"http://127.0.0.1:{port}/readyz")).status_code != 503:
            assert time.monotonic() < deadline
        assert answer.json()["draining"] is True
        os.killpg(server.process.pid, signal.SIGTERM)  # the second one ends the drain
        assert server.process.wait(timeout=30) == 0
