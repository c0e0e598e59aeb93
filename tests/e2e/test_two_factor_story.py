"""The story of a second factor over sockets: with one server, and with two of which either may be asked."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fakes.deployment import PASSWORD, Deployment, Mode, Person, deployed

pytestmark = pytest.mark.timeout(180)


def challenge_of(issuer: Deployment, person: Person) -> dict[str, Any]:
    """Sign in with the password and return the answer to the challenge that comes back."""
    who = {"identifier": person.email, "password": PASSWORD}
    refusal = issuer.expect(401, "POST", "/auth/password/login", who)
    assert refusal["error"] == "two_factor_required"
    metadata = refusal["metadata"]
    assert (metadata["user_id"], metadata["method"], metadata["destination"]) == (
        person.id,
        "email",
        "a***@e***.test",
    )
    return {"user_id": metadata["user_id"], "challenge": metadata["challenge"]}


@pytest.mark.parametrize("mode", ["memory", "redis"])
def test_a_second_factor_from_switching_on_to_switching_off(
    mode: Mode, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    settings = {"AUTHKIT_CODE_COOLDOWN": "0", "AUTHKIT_MAX_CODES_PER_HOUR": "100"}
    with deployed(tmp_path, mode, database_url, redis_url, **settings) as issuer:
        ada = issuer.join("ada_l")
        codes = switch_on(issuer, ada)
        sign_in(issuer, ada)
        race(issuer, ada)
        guess(issuer, ada)
        with_backup_code(issuer, ada, codes)
        switch_off(issuer, ada)


def switch_on(issuer: Deployment, ada: Person) -> list[str]:
    issuer.expect(200, "POST", "/auth/user/2fa/start-email", token=ada.access)
    wrong = {"method": "email", "code": other(issuer.mails.code(ada.email))}
    assert (
        issuer.expect(400, "POST", "/auth/user/2fa/enable", wrong, token=ada.access)["error"]
        == "invalid_or_expired_code"
    )
    right = {"method": "email", "code": issuer.mails.code(ada.email)}
    enabled = issuer.expect(200, "POST", "/auth/user/2fa/enable", right, token=ada.access)
    assert len(set(enabled["backup_codes"])) == 10
    return list(enabled["backup_codes"])


def sign_in(issuer: Deployment, ada: Person) -> None:
    first = challenge_of(issuer, ada)
    first_code = issuer.mails.code(ada.email)
    second = challenge_of(issuer, ada)
    second_code = issuer.mails.code(ada.email)
    # Two sign-ins wait side by side, each with a code of its own.
    if first_code != second_code:
        issuer.expect(400, "POST", "/auth/2fa/verify", second | {"code": first_code})
    ada.keep(issuer.expect(200, "POST", "/auth/2fa/verify", second | {"code": second_code}))
    assert "mfa" in issuer.expect(200, "GET", "/auth/user/me", token=ada.access)["amr"]
    issuer.refresh(ada)
    assert "mfa" in issuer.expect(200, "GET", "/auth/user/me", token=ada.access)["amr"]
    issuer.expect(200, "POST", "/auth/2fa/verify", first | {"code": first_code})
    for body in (first | {"code": first_code}, second | {"code": second_code}) * 2:
        assert issuer.expect(401, "POST", "/auth/2fa/verify", body)["error"] == "invalid_challenge"


def race(issuer: Deployment, ada: Person) -> None:
    body = challenge_of(issuer, ada)
    body["code"] = issuer.mails.code(ada.email)
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: issuer.ask("POST", "/auth/2fa/verify", body), range(10)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[200] == 1
    assert statuses[400] + statuses[401] == 9


def guess(issuer: Deployment, ada: Person) -> None:
    body = challenge_of(issuer, ada)
    code = issuer.mails.code(ada.email)
    for _ in range(5):
        issuer.expect(400, "POST", "/auth/2fa/verify", body | {"code": other(code)})
    # The tries are counted over both servers.
    answer = issuer.ask("POST", "/auth/2fa/verify", body | {"code": code})
    assert answer.json()["error"] in {"invalid_challenge", "invalid_or_expired_code"}


def with_backup_code(issuer: Deployment, ada: Person, codes: list[str]) -> None:
    body = challenge_of(issuer, ada) | {"code": codes[0], "backup_code": True}
    ada.keep(issuer.expect(200, "POST", "/auth/2fa/verify", body))
    again = challenge_of(issuer, ada) | {"code": codes[0], "backup_code": True}
    issuer.expect(400, "POST", "/auth/2fa/verify", again)
    left = issuer.expect(200, "GET", "/auth/user/2fa", token=ada.access)
    assert (left["enabled"], left["method"], left["backup_codes_left"]) == (True, "email", 9)


def switch_off(issuer: Deployment, ada: Person) -> None:
    assert (
        issuer.expect(403, "POST", "/auth/step-up/password", {"password": PASSWORD}, token=ada.access)[
            "error"
        ]
        == "two_factor_required"
    )
    waiting = challenge_of(issuer, ada)
    sent = issuer.expect(200, "POST", "/auth/step-up/2fa", {}, token=ada.access)
    assert (sent["method"], sent["destination"]) == ("email", "a***@e***.test")
    code = {"code": issuer.mails.code(ada.email)}
    stepped = issuer.expect(200, "POST", "/auth/step-up/2fa", code, token=ada.access)
    issuer.expect(400, "POST", "/auth/step-up/2fa", code, token=ada.access)
    fresh = stepped["access_token"]
    assert (
        len(issuer.expect(200, "POST", "/auth/user/2fa/regenerate-codes", token=fresh)["backup_codes"]) == 10
    )
    assert issuer.expect(200, "POST", "/auth/user/2fa/disable", token=fresh) == {"success": True}
    issuer.expect(401, "POST", "/auth/2fa/verify", waiting | {"code": "123456"})
    issuer.log_in(ada)


def other(code: str) -> str:
    """Return a code that is not this one."""
    return f"{(int(code) + 1) % 1_000_000:06}"
