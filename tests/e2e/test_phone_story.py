"""The story of a phone number over sockets: with one server, and with two of which either may be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes.deployment import PASSWORD, Deployment, Mode
from fakes.texting import texting

pytestmark = pytest.mark.timeout(180)

OLD, NEW, NEXT = "+15550100200", "+15550100300", "another staple, longer"
CODES_ENOUGH = {"AUTHKIT_MAX_CODES_PER_HOUR": "100"}


def log_in(issuer: Deployment, phone: str, password: str, status: int = 200) -> dict[str, Any]:
    body = {"identifier": phone, "password": password}
    found: dict[str, Any] = issuer.expect(status, "POST", "/auth/password/login", body)
    return found


@pytest.mark.parametrize("mode", ["memory", "redis"])
def test_a_phone_number_from_registration_to_the_second_factor(
    mode: Mode, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    with texting(tmp_path, mode, database_url, redis_url, **CODES_ENOUGH) as issuer:
        assert len(issuer.servers) == (2 if mode == "redis" else 1)
        tokens = register(issuer)
        reset(issuer, tokens)
        change(issuer)
        second_factor(issuer)


def register(issuer: Deployment) -> dict[str, Any]:
    who = {"identifier": OLD, "username": "ada_l", "password": PASSWORD}
    pending = issuer.expect(202, "POST", "/auth/register", who)
    assert pending["phone"] == OLD
    own = {"registration_id": pending["registration_id"]}
    issuer.mails.code(OLD)
    assert log_in(issuer, OLD, PASSWORD, 401)["error"] == "phone_not_verified"
    issuer.mails.code(OLD)
    issuer.expect(202, "POST", "/auth/register/resend-phone", own)
    code = {"phone_number": OLD, "code": issuer.mails.code(OLD)}
    # The code alone confirms no registration.
    issuer.expect(400, "POST", "/auth/phone/verify/confirm", code)
    tokens: dict[str, Any] = issuer.expect(200, "POST", "/auth/phone/verify/confirm", code | own)
    me = issuer.expect(200, "GET", "/auth/user/me", token=tokens["access_token"])
    assert (me["phone_number"], me["phone_verified"], me["email"]) == (OLD, True, None)
    issuer.expect(409, "POST", "/auth/phone/verify/confirm", code | own)
    return tokens


def reset(issuer: Deployment, tokens: dict[str, Any]) -> None:
    for phone in (OLD, NEW):
        asked = issuer.expect(202, "POST", "/auth/phone/password/reset/request", {"phone_number": phone})
        assert set(asked) == {"ok", "message", "request_id"}
    body = {"phone_number": OLD, "code": issuer.mails.token(OLD), "new_password": NEXT}
    issuer.expect(400, "POST", "/auth/phone/password/reset/confirm", body | {"phone_number": NEW})
    issuer.expect(200, "POST", "/auth/phone/password/reset/confirm", body)
    issuer.expect(400, "POST", "/auth/phone/password/reset/confirm", body)
    issuer.expect(401, "GET", "/auth/user/me", token=tokens["access_token"])
    assert log_in(issuer, OLD, PASSWORD, 401)["error"] == "invalid_credentials"
    log_in(issuer, OLD, NEXT)


def change(issuer: Deployment) -> None:
    access = log_in(issuer, OLD, NEXT)["access_token"]
    path = "/auth/user/phone/change"
    wrong = {"phone_number": NEW, "password": PASSWORD}
    assert issuer.expect(403, "POST", f"{path}/request", wrong, token=access)["error"] == "invalid_password"
    issuer.expect(202, "POST", f"{path}/request", wrong | {"password": NEXT}, token=access)
    issuer.mails.code(NEW)
    me = issuer.expect(200, "GET", "/auth/user/me", token=access)
    assert (me["phone_number"], me["pending_phone_number"]) == (OLD, NEW)
    issuer.expect(202, "POST", f"{path}/resend", {"phone_number": NEW}, token=access)
    body = {"phone_number": NEW, "code": issuer.mails.code(NEW)}
    issuer.expect(200, "POST", f"{path}/confirm", body, token=access)
    issuer.expect(400, "POST", f"{path}/confirm", body, token=access)
    assert log_in(issuer, OLD, NEXT, 401)["error"] == "invalid_credentials"
    log_in(issuer, NEW, NEXT)


def second_factor(issuer: Deployment) -> None:
    access = log_in(issuer, NEW, NEXT)["access_token"]
    issuer.expect(200, "POST", "/auth/user/2fa/start-phone", {"phone": NEW}, token=access)
    body = {"method": "sms", "phone_number": NEW, "code": issuer.mails.code(NEW)}
    issuer.expect(200, "POST", "/auth/user/2fa/enable", body, token=access)
    told = log_in(issuer, NEW, NEXT, 401)["metadata"]
    assert (told["method"], told["destination"]) == ("sms", "+15*******00")
    answer = {name: told[name] for name in ("user_id", "challenge")} | {"code": issuer.mails.code(NEW)}
    pair = issuer.expect(200, "POST", "/auth/2fa/verify", answer)
    me = issuer.expect(200, "GET", "/auth/user/me", token=pair["access_token"])
    assert sorted(me["amr"]) == ["mfa", "pwd", "sms"]
    issuer.expect(200, "POST", "/auth/user/2fa/disable", token=pair["access_token"])
