"""Sign In With Solana over HTTP."""

from __future__ import annotations

import base64
import dataclasses

import pytest

from authkit_issuer.security.siws import SignInInput
from fakes.calls import assert_tokens, bearer, me, refusal
from fakes.wallets import Wallet

DOMAINS = ("app.example.test", "shop.example.test:8443")


@pytest.fixture
def config(config):
    return dataclasses.replace(config, solana_domains=DOMAINS, base_url="https://id.example.test")


async def _challenge(api, wallet: Wallet, **more) -> dict:
    answer = await api.post("/auth/solana/challenge", json={"address": wallet.address} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _answer(api, wallet: Wallet, **more) -> dict:
    """Return the body with which a wallet answers a new challenge."""
    challenge = await _challenge(api, wallet, **more)
    return {"output": wallet.sign(SignInInput.from_json(challenge["input"])).to_json()}


async def test_a_wallet_signs_in_and_gets_an_account_once(api):
    wallet = Wallet(1)
    answer = await api.post("/auth/solana/login", json=await _answer(api, wallet, username="ada_l"))
    assert "authkit_device=akd_" in answer.headers["set-cookie"]
    body = assert_tokens(answer, "created", "user")
    assert body["created"] is True
    found = await me(api, body)
    assert body["user"] == {"id": found["id"], "solana_address": wallet.address}
    assert (found["username"], found["solana_address"], found["amr"]) == ("ada_l", wallet.address, ["pop"])
    again = assert_tokens(
        await api.post("/auth/solana/login", json=await _answer(api, wallet)), "created", "user"
    )
    assert (again["created"], again["user"]) == (False, body["user"])


async def test_a_challenge_is_what_the_wallet_shows_and_signs(api):
    wallet = Wallet(1)
    challenge = await _challenge(api, wallet, chain_id="solana:devnet")
    assert set(challenge) == {"nonce", "issued_at", "message", "input"}
    given = challenge["input"]
    assert (given["domain"], given["address"], given["chainId"]) == (DOMAINS[0], wallet.address, "mainnet")
    assert (given["nonce"], given["issuedAt"]) == (challenge["nonce"], challenge["issued_at"])
    assert challenge["message"].startswith(
        f"{DOMAINS[0]} wants you to sign in with your Solana account:\n{wallet.address}\n"
    )
    assert f"Nonce: {challenge['nonce']}" in challenge["message"]


@pytest.mark.parametrize(
    ("origin", "domain", "expected"),
    [
        ("", None, DOMAINS[0]),
        (f"https://{DOMAINS[1]}", None, DOMAINS[1]),
        ("https://phish.example", None, DOMAINS[0]),
        ("null", None, DOMAINS[0]),
        ("https://[bad", None, DOMAINS[0]),
        ("https://phish.example", DOMAINS[1], DOMAINS[1]),
    ],
)
async def test_the_domain_is_always_one_of_ours(api, origin, domain, expected):
    body = {"address": Wallet(1).address} | ({"domain": domain} if domain else {})
    headers = {"origin": origin} if origin else {}
    answer = await api.post("/auth/solana/challenge", json=body, headers=headers)
    assert answer.json()["input"]["domain"] == expected


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"domain": "phish.example"}, "siws_domain_invalid"),
        ({"address": "0OIl"}, "invalid_address"),
        ({"address": ""}, "invalid_address"),
        ({"username": "ab"}, "username_too_short"),
        ({"username": "admin"}, "username_reserved"),
    ],
)
async def test_a_challenge_that_cannot_be_made_says_why(api, body, code):
    answer = await api.post("/auth/solana/challenge", json={"address": Wallet(1).address} | body)
    assert refusal(answer) == (400, code)


async def test_bytes_come_in_every_form_that_wallets_write(api):
    for seed, form in enumerate((_standard, _bare, _url_safe, list)):
        wallet = Wallet(seed + 1)
        challenge = SignInInput.from_json((await _challenge(api, wallet))["input"])
        signed = wallet.sign(challenge)
        output = {
            "account": {"address": wallet.address, "publicKey": form(wallet.public_key), "label": "mine"},
            "signature": form(signed.signature),
            "signedMessage": form(signed.signed_message),
            "signatureType": "ed25519",
        }
        assert (await api.post("/auth/solana/login", json={"output": output})).status_code == 200


def _standard(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bare(raw: bytes) -> str:
    return _standard(raw).rstrip("=")


def _url_safe(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


async def test_an_answer_counts_once(api):
    body = await _answer(api, Wallet(1))
    assert (await api.post("/auth/solana/login", json=body)).status_code == 200
    assert refusal(await api.post("/auth/solana/login", json=body)) == (401, "siws_challenge_not_found")


@pytest.mark.parametrize(
    ("spoil", "status", "code"),
    [
        (lambda output: output | {"signature": "!"}, 400, "siws_message_invalid"),
        (lambda output: output | {"signature": _standard(b"x" * 64)}, 401, "siws_signature_invalid"),
        (lambda output: output | {"signedMessage": _standard(b"sign this")}, 400, "siws_message_invalid"),
        (
            lambda output: output | {"account": {"address": Wallet(9).address}},
            400,
            "siws_address_mismatch",
        ),
        (lambda output: {"account": output["account"]}, 400, "invalid_request"),
    ],
)
async def test_an_answer_that_does_not_hold_opens_nothing(api, service, spoil, status, code):
    body = await _answer(api, Wallet(1))
    answer = await api.post("/auth/solana/login", json={"output": spoil(body["output"])})
    assert refusal(answer) == (status, code)
    assert await service.pool.fetchval("select count(*) from profiles.users") == 0


async def test_an_old_challenge_is_over(api, clock):
    body = await _answer(api, Wallet(1))
    clock.advance(901)
    answer = await api.post("/auth/solana/login", json=body)
    assert answer.status_code == 401
    assert answer.json()["error"] in {"siws_challenge_expired", "siws_challenge_not_found"}


async def test_a_wallet_is_linked_to_one_account(api, sign_up):
    tokens, wallet = await sign_up(api), Wallet(1)
    linked = await api.post("/auth/solana/link", json=await _answer(api, wallet), headers=bearer(tokens))
    assert linked.status_code == 200, linked.text
    assert linked.json() == {
        "success": True, "message": "The wallet is linked.", "solana_address": wallet.address
    }  # fmt: skip
    found = await me(api, tokens)
    assert (found["solana_address"], found["linked_providers"]) == (wallet.address, ["solana"])
    pair = await api.post("/auth/solana/login", json=await _answer(api, wallet))
    assert pair.json()["user"]["id"] == found["id"]
    other = await sign_up(api, "eve_1")
    taken = await api.post("/auth/solana/link", json=await _answer(api, wallet), headers=bearer(other))
    assert refusal(taken) == (409, "wallet_already_linked")


async def test_the_trail_says_from_where_a_wallet_came_and_went(api, sign_up, service):
    headers = bearer(await sign_up(api)) | {"user-agent": "Phantom"}
    await api.post("/auth/solana/link", json=await _answer(api, Wallet(1)), headers=headers)
    assert (await api.delete("/auth/user/providers/solana", headers=headers)).status_code == 200
    trail = await service.events.list_session_events("", "provider_linked", "provider_unlinked")
    assert [(event.ip_addr, event.user_agent) for event in trail] == [("127.0.0.1", "Phantom")] * 2


async def test_another_wallet_takes_its_place_only_when_that_is_said(api, sign_up):
    tokens = await sign_up(api)
    await api.post("/auth/solana/link", json=await _answer(api, Wallet(1)), headers=bearer(tokens))
    second = await api.post("/auth/solana/link", json=await _answer(api, Wallet(2)), headers=bearer(tokens))
    assert refusal(second) == (409, "wallet_already_linked")
    body = await _answer(api, Wallet(2)) | {"replace": True}
    assert (await api.post("/auth/solana/link", json=body, headers=bearer(tokens))).status_code == 200
    assert (await me(api, tokens))["solana_address"] == Wallet(2).address


async def test_linking_asks_for_a_recent_proof(api, sign_up, age):
    tokens = await sign_up(api)
    await age("refresh_sessions", (await me(api, tokens))["session_id"], auth_time=1000)
    body = await _answer(api, Wallet(1))
    answer = await api.post("/auth/solana/link", json=body, headers=bearer(tokens))
    assert refusal(answer) == (403, "step_up_required")


async def test_a_bad_answer_of_a_signed_in_wallet_is_no_reason_to_refresh(api, sign_up):
    tokens = await sign_up(api)
    body = await _answer(api, Wallet(1))
    await api.post("/auth/solana/login", json=body)
    answer = await api.post("/auth/solana/link", json=body, headers=bearer(tokens))
    assert refusal(answer) == (403, "siws_challenge_not_found")
    assert "www-authenticate" not in answer.headers


async def test_a_user_with_only_a_wallet_steps_up_with_it(api, age):
    wallet = Wallet(1)
    tokens = (await api.post("/auth/solana/login", json=await _answer(api, wallet))).json()
    session = (await me(api, tokens))["session_id"]
    await age("refresh_sessions", session, auth_time=1000)
    stale = await api.delete("/auth/user", headers=bearer(tokens))
    assert refusal(stale) == (403, "step_up_required")
    assert stale.json()["metadata"]["methods"] == ["solana"]
    foreign = await api.post(
        "/auth/step-up/solana", json=await _answer(api, Wallet(2)), headers=bearer(tokens)
    )
    assert refusal(foreign) == (400, "siws_address_mismatch")
    stepped = await api.post("/auth/step-up/solana", json=await _answer(api, wallet), headers=bearer(tokens))
    assert set(stepped.json()) == {"access_token", "token_type", "expires_in"}
    assert (await api.delete("/auth/user", headers=bearer(stepped.json()))).status_code == 200


async def test_the_second_factor_is_asked_of_wallets_too(api, sign_up, mailbox):
    tokens, wallet = await sign_up(api), Wallet(1)
    await api.post("/auth/solana/link", json=await _answer(api, wallet), headers=bearer(tokens))
    await api.post("/auth/user/2fa/start-email", headers=bearer(tokens))
    code = mailbox.last("ada_l@example.test").code
    await api.post("/auth/user/2fa/enable", json={"method": "email", "code": code}, headers=bearer(tokens))
    await api.delivered()
    asked = await api.post("/auth/solana/login", json=await _answer(api, wallet))
    assert refusal(asked) == (401, "two_factor_required")
    body = {name: asked.json()["metadata"][name] for name in ("user_id", "challenge")}
    body["code"] = mailbox.last("ada_l@example.test").code
    signed_in = assert_tokens(await api.post("/auth/2fa/verify", json=body))
    assert sorted((await me(api, signed_in))["amr"]) == ["mfa", "otp", "pop"]


async def test_a_banned_wallet_stays_out(api, service):
    wallet = Wallet(1)
    tokens = (await api.post("/auth/solana/login", json=await _answer(api, wallet))).json()
    await service.lifecycle.ban(tokens["user"]["id"])
    answer = await api.post("/auth/solana/login", json=await _answer(api, wallet))
    assert refusal(answer) == (401, "user_banned")


async def test_without_a_domain_there_are_no_wallets(make_service, serve):
    async with serve(await make_service(solana_domains=())) as api:
        for path in ("challenge", "login", "link"):
            assert refusal(await api.post(f"/auth/solana/{path}", json={})) == (404, "not_found")
        assert (await api.get("/auth/capabilities")).json()["solana"] is False
