"""The story of a wallet over sockets: with one server, and with two of which either may be asked."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from authkit_issuer.security.siws import SignInInput
from fakes.deployment import PASSWORD, Deployment, Mode, deployed
from fakes.servers import on
from fakes.wallets import Wallet

pytestmark = pytest.mark.timeout(180)

DOMAIN = "app.example.test"


def answer_of(issuer: Deployment, wallet: Wallet, **more: str) -> dict[str, Any]:
    """Return what a wallet answers to a new challenge."""
    challenge = issuer.expect(200, "POST", "/auth/solana/challenge", {"address": wallet.address, **more})
    assert challenge["input"]["domain"] == DOMAIN
    return {"output": wallet.sign(SignInInput.from_json(challenge["input"])).to_json()}


def grow_old(database_url: str) -> None:
    """Let every proof of identity be an hour old."""
    old = "update profiles.refresh_sessions set auth_time = auth_time - interval '1 hour'"
    asyncio.run(on(database_url, lambda connection: connection.execute(old)))


@pytest.mark.parametrize("mode", ["memory", "redis"])
def test_a_wallet_from_the_first_sign_in_to_the_end_of_its_account(
    mode: Mode, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    settings = {"AUTHKIT_SOLANA_DOMAINS": DOMAIN, "AUTHKIT_SOLANA_NETWORK": "devnet"}
    with deployed(tmp_path, mode, database_url, redis_url, **settings) as issuer:
        alone(issuer, database_url)
        linked(issuer, database_url)


def alone(issuer: Deployment, database_url: str) -> None:
    wallet = Wallet()
    body = answer_of(issuer, wallet, username="wally")
    first = issuer.expect(200, "POST", "/auth/solana/login", body)
    assert (first["created"], first["user"]["solana_address"]) == (True, wallet.address)
    for _ in range(2):
        assert issuer.expect(401, "POST", "/auth/solana/login", body)["error"] == "siws_challenge_not_found"
    race(issuer, Wallet())
    again = issuer.expect(200, "POST", "/auth/solana/login", answer_of(issuer, wallet))
    assert (again["created"], again["user"]) == (False, first["user"])
    me = issuer.expect(200, "GET", "/auth/user/me", token=again["access_token"])
    assert (me["username"], me["solana_address"], me["has_password"]) == ("wally", wallet.address, False)
    grow_old(database_url)
    refusal = issuer.expect(403, "DELETE", "/auth/user", token=again["access_token"])
    assert (refusal["error"], refusal["metadata"]["methods"]) == ("step_up_required", ["solana"])
    proof = answer_of(issuer, wallet)
    stepped = issuer.expect(200, "POST", "/auth/step-up/solana", proof, token=again["access_token"])
    issuer.expect(200, "DELETE", "/auth/user", token=stepped["access_token"])
    issuer.expect(401, "GET", "/auth/user/me", token=first["access_token"])
    gone = issuer.expect(401, "POST", "/auth/solana/login", answer_of(issuer, wallet))
    assert gone["error"] == "user_deleted"


def race(issuer: Deployment, wallet: Wallet) -> None:
    """Of many who bring one answer, one signs in; of many answers of a new wallet, one makes its account."""
    body = answer_of(issuer, wallet)
    with ThreadPoolExecutor(10) as threads:
        once = list(threads.map(lambda _: issuer.ask("POST", "/auth/solana/login", body), range(10)))
    assert sorted(answer.status_code for answer in once) == [200] + [401] * 9
    other = Wallet()
    bodies = [answer_of(issuer, other) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        each = list(threads.map(lambda body: issuer.ask("POST", "/auth/solana/login", body), bodies))
    assert [answer.status_code for answer in each] == [200] * 6
    assert sorted(answer.json()["created"] for answer in each) == [False] * 5 + [True]
    assert len({answer.json()["user"]["id"] for answer in each}) == 1


def linked(issuer: Deployment, database_url: str) -> None:
    ada, wallet = issuer.join("ada_l"), Wallet()
    grow_old(database_url)
    body = answer_of(issuer, wallet)
    issuer.expect(403, "POST", "/auth/solana/link", body, token=ada.access)
    password = {"password": PASSWORD}
    fresh = issuer.expect(200, "POST", "/auth/step-up/password", password, token=ada.access)["access_token"]
    # The guard came first: the answer is still good.
    assert issuer.expect(200, "POST", "/auth/solana/link", body, token=fresh)["success"] is True
    pair = issuer.expect(200, "POST", "/auth/solana/login", answer_of(issuer, wallet))
    assert (pair["created"], pair["user"]["id"]) == (False, ada.id)
    eve = issuer.join("eve_1")
    taken = issuer.expect(409, "POST", "/auth/solana/link", answer_of(issuer, wallet), token=eve.access)
    assert taken["error"] == "wallet_already_linked"
    with_second_factor(issuer, ada.email, pair["access_token"], wallet)


def with_second_factor(issuer: Deployment, email: str, access: str, wallet: Wallet) -> None:
    issuer.expect(200, "POST", "/auth/user/2fa/start-email", token=access)
    code = {"method": "email", "code": issuer.mails.code(email)}
    issuer.expect(200, "POST", "/auth/user/2fa/enable", code, token=access)
    refusal = issuer.expect(401, "POST", "/auth/solana/login", answer_of(issuer, wallet))
    assert refusal["error"] == "two_factor_required"
    body = {name: refusal["metadata"][name] for name in ("user_id", "challenge")}
    pair = issuer.expect(200, "POST", "/auth/2fa/verify", body | {"code": issuer.mails.code(email)})
    me = issuer.expect(200, "GET", "/auth/user/me", token=pair["access_token"])
    assert sorted(me["amr"]) == ["mfa", "otp", "pop"]
