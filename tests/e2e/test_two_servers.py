"""Two servers: in Redis mode a request may hit either; in memory mode there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.commands import assert_one_line, run, serving
from fakes.deployment import PASSWORD, deployed

pytestmark = pytest.mark.timeout(180)


def test_a_story_that_alternates_between_two_servers(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    settings = {"AUTHKIT_REFRESH_ROTATION_GRACE": "0"}
    with deployed(tmp_path, "redis", database_url, redis_url, **settings) as issuer:
        assert len({server.url for server in issuer.servers}) == 2
        ada = issuer.join("ada_l")
        issuer.log_in(ada)
        first = ada.refresh
        for _ in range(4):
            issuer.refresh(ada)
            assert issuer.expect(200, "GET", "/auth/user/me", token=ada.access)["username"] == "ada_l"
        issuer.expect_refused_refresh(first, "refresh_token_reuse_detected")
        issuer.expect_refused_refresh(ada.refresh, "invalid_refresh_token")
        issuer.expect(401, "GET", "/auth/user/me", token=ada.access)
        issuer.log_in(ada)
        issuer.expect(200, "DELETE", "/auth/logout", token=ada.access)
        issuer.expect_refused_refresh(ada.refresh, "invalid_refresh_token")
        issuer.expect(401, "GET", "/auth/user/sessions", token=ada.access)


def test_wrong_passwords_and_calls_are_counted_over_both_servers(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    settings = {
        "AUTHKIT_LOGIN_FAILURE_LIMIT": "3",
        "AUTHKIT_RATE_LIMITS": '{"auth_user_me": "5/1h"}',
    }
    with deployed(tmp_path, "redis", database_url, redis_url, **settings) as issuer:
        ada = issuer.join("ada_l")
        wrong = {"identifier": ada.email, "password": "wrong horse battery"}
        for _ in range(3):
            issuer.expect(401, "POST", "/auth/password/login", wrong)
        right = {"identifier": ada.email, "password": PASSWORD}
        issuer.expect(429, "POST", "/auth/password/login", right)
        calls = [issuer.ask("GET", "/auth/user/me", token=ada.access).status_code for _ in range(6)]
        assert calls == [200] * 4 + [429] * 2  # joining was the fifth


def serving_in_memory(folder: Path, database_url: str):
    return serving("--dev", "--port", "0", "--data-dir", str(folder), AUTHKIT_DATABASE_URL=database_url)


def refused_in_memory(folder: Path, database_url: str) -> None:
    arguments = ("serve", "--dev", "--port", "0", "--data-dir", str(folder))
    assert_one_line(run(*arguments, AUTHKIT_DATABASE_URL=database_url), "without Redis runs on this database")


def test_a_second_server_in_memory_mode_refuses_to_start(tmp_path: Path, database_url: str) -> None:
    with serving_in_memory(tmp_path / "one", database_url) as server:
        refused_in_memory(tmp_path / "two", database_url)
        assert server.process.poll() is None
    with serving_in_memory(tmp_path / "two", database_url):
        pass
