"""Mails of a running server, taken by a mail server that somebody else wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from authkit_issuer.senders.mails import KINDS
from fakes.commands import run
from fakes.deployment import PASSWORD, Mode, deployed

pytestmark = pytest.mark.timeout(180)

MODES = pytest.mark.parametrize("mode", ["memory", "redis"])


@MODES
def test_the_registration_mail_arrives_and_its_code_opens_the_account(
    mode: Mode, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    with deployed(tmp_path, mode, database_url, redis_url, AUTHKIT_CODE_COOLDOWN="0") as issuer:
        who = {"identifier": "ada@example.test", "username": "ada_l", "password": PASSWORD}
        started = issuer.expect(202, "POST", "/auth/register", who)
        mail = issuer.mails.wait_for("ada@example.test")
        assert mail["From"] == "Example <auth@example.test>"
        assert mail["Subject"] == "Your verification code"
        assert mail["Auto-Submitted"] == "auto-generated"
        proof = {"email": "ada@example.test", "code": issuer.mails.code("ada@example.test")}
        proof["registration_id"] = started["registration_id"]
        issuer.expect(200, "POST", "/auth/email/verify/confirm", proof)
        issuer.expect(202, "POST", "/auth/register", who | {"username": "ada_2"})
        issuer.mails.wait_for("ada@example.test", "which already has an account")
        assert len(issuer.mails.mails) == 2


def test_a_mail_server_that_is_gone_costs_the_mail_and_no_answer(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    settings = {"AUTHKIT_SMTP_URL": "smtp+plain://127.0.0.1:1"}
    with deployed(tmp_path, "redis", database_url, redis_url, **settings) as issuer:
        who = {"identifier": "ada@example.test", "username": "ada_l", "password": PASSWORD}
        issuer.expect(202, "POST", "/auth/register", who)
        for server in issuer.servers:
            assert server.stop()[0] == 0
        assert any("failed" in server.log() for server in issuer.servers)
        assert not any("ada@example.test" in server.log() for server in issuer.servers)


def test_the_preview_writes_every_kind_in_a_language_and_an_index(tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    written = run("mails", "preview", "--language", "de", "--folder", str(folder), AUTHKIT_BRAND_NAME="Laden")
    assert (written.returncode, written.stdout) == (0, f"{len(KINDS)} mails are in {folder}/index.html\n")
    assert {path.stem for path in folder.glob("*.html")} == {*KINDS, "index"}
    assert {path.stem for path in folder.glob("*.txt")} == set(KINDS)
    assert "Ihr Anmeldecode lautet:" in (folder / "login_code.txt").read_text("utf-8")
    assert "Laden" in (folder / "login_code.html").read_text("utf-8")
    index = (folder / "index.html").read_text("utf-8")
    assert all(f'<iframe sandbox loading="lazy" src="{kind}.html"' in index for kind in KINDS)
    unknown = run("mails", "preview", "--language", "fr", "--folder", str(folder))
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "the languages are de, en" in unknown.stderr
