"""``authkit demo``: the story it tells, and that it can fail."""

from __future__ import annotations

import re

import pytest

from authkit_issuer import demo
from fakes.commands import run

pytestmark = pytest.mark.timeout(180)

STORY = (
    r"register +202",
    r"read the code from the inbox +\d{6}",
    r"confirm the address +200",
    r"log in with the password +200",
    r"call the protected app +200 ada_l",
    r"a tampered token +401 invalid_token",
    r"no token at all +401 missing_token",
    r"keys rotate --now +the issuer signs with ",
    r"the app accepts the new key's token +200 ada_l",
    r"refresh +200",
    r"the old refresh token after a pause: a replay +400 invalid_grant",
    r"the session has ended for every token +400 invalid_grant",
    r"log out +200",
    r"refresh after logging out +400 invalid_grant",
    r"every response was as expected",
)


def test_the_demo_walks_the_whole_story_whatever_the_user_has_set() -> None:
    done = run(
        "demo",
        AUTHKIT_ENVIRONMENT="production",
        AUTHKIT_DATABASE_URL="postgresql://127.0.0.1:1/x",
        HTTP_PROXY="http://127.0.0.1:1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert re.search(r"[\s\S]*".join(STORY), done.stdout), done.stdout


def test_a_step_that_answers_something_else_ends_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "PASSWORD", "short")
    assert demo.run() == 1
    assert "FAILED: register: expected 202, got 400" in capsys.readouterr().out
