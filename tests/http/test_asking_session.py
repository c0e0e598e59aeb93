"""A request that was authenticated before the owner's reset, and runs after it, changes nothing.

An attacker with a session can keep requests open, one after the other, until the owner recovers the account.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.http import create_app
from fakes.late_bodies import held_back
from fakes.passkeys import SETTINGS, Authenticator, add_passkey
from fakes.users import finish_background
from fakes.wallets import Wallet

EMAIL, PHONE, DOMAIN = "vic@example.test", "+4915112345678", "app.example.test"
OLD, NEW = "correct horse battery", "another fine horse"


@pytest.fixture
async def service(make_service):
    return await make_service(
        verification_required=False,
        solana_domains=(DOMAIN,),
        base_url="https://app.example.test/",
        code_cooldown=0.0,
        factor_change_ends_sessions=False,
        **SETTINGS,
    )


@pytest.fixture
def recover(service, mailbox) -> Callable[[], Awaitable[None]]:
    """The owner of the address resets the password for the first time."""

    async def do() -> None:
        await service.passwords.request_reset(EMAIL)
        await finish_background(service)
        await service.passwords.confirm_reset(mailbox.last(EMAIL).token, NEW)

    return do


async def attackers_account(service) -> tuple[str, Any]:
    """Return an account that another person made with the owner's address, and that person's session."""
    await service.registration.create_pending_email(EMAIL, "vic_t", await service.passwords.hash(OLD))
    user = await service.users.get_by_email(EMAIL)
    return user.id, await service.logins.with_password("vic_t", OLD)


async def signed(service, wallet: Wallet):
    return wallet.sign(await service.solana.generate_challenge(DOMAIN, wallet.address))


@pytest.fixture(autouse=True)
def no_second_look(monkeypatch) -> None:
    """Leave out the second look after a late body: a client that is quick enough is not looked at again."""
    monkeypatch.setattr("authkit_issuer.http.dispatch.SLOW_BODY", 60.0)


@pytest.mark.parametrize("change", ["link", "confirm"])
async def test_no_wallet_outlives_the_owners_reset(service, scope, recover, change):
    user, session = await attackers_account(service)
    wallet = Wallet()
    if change == "confirm":
        await service.solana.link_wallet(user, await signed(service, wallet))
        path, body = "/auth/user/providers/solana/confirm", {}
    else:
        answer = (await signed(service, wallet)).to_json()
        path, body = "/auth/solana/link", {"output": answer}
    request = scope("POST", path, [])
    status = await held_back(create_app(service), request, session.access_token, body, recover)
    assert status == (401, "session_ended")
    if change == "confirm":
        with pytest.raises(errors.LoginFrozen):
            await service.solana.verify_and_login(await signed(service, wallet))
    else:
        assert await service.providers.list_for_user(user) == []


async def test_no_second_factor_of_another_person_comes_back(service, scope, recover, mailbox):
    user, session = await attackers_account(service)
    await service.two_factor.send_phone_setup_code(user, PHONE)
    await service.two_factor.enable(user, "sms", PHONE, code=mailbox.last(PHONE).code)
    await service.pool.execute("update profiles.refresh_sessions set amr = '{pwd,sms,mfa}'")
    request = scope("POST", "/auth/user/2fa/confirm", [])
    status = await held_back(create_app(service), request, session.access_token, {}, recover)
    assert status == (401, "session_ended")
    assert await service.logins.with_password(EMAIL, NEW)


async def test_no_passkey_of_another_person_comes_back(service, scope, recover):
    user, session = await attackers_account(service)
    added = await add_passkey(service, user, Authenticator())
    request = scope("POST", f"/auth/passkeys/{added.id}/confirm", [])
    status = await held_back(create_app(service), request, session.access_token, {}, recover)
    assert status == (401, "session_ended")
    (passkey,) = await service.passkeys.list_for_user(user)
    assert passkey.frozen


@pytest.mark.parametrize("method", ["DELETE /auth/user", "DELETE /auth/user/providers/github"])
async def test_nothing_of_the_recovered_account_is_taken_away(service, scope, recover, method):
    user, session = await attackers_account(service)
    await service.providers.link_by_issuer(user, "https://git.example.test", "github", "own")
    request = scope(*method.split(), [])
    status = await held_back(create_app(service), request, session.access_token, {}, recover)
    assert status == (401, "session_ended")
    assert (await service.users.get(user)).deleted_at is None
    assert await service.providers.count(user) == 1


async def test_new_backup_codes_are_not_made_for_a_session_that_ended(service, mailbox):
    user, session = await attackers_account(service)
    await service.two_factor.send_phone_setup_code(user, PHONE)
    await service.two_factor.enable(user, "sms", PHONE, code=mailbox.last(PHONE).code)
    await service.sessions.revoke_all(user)
    with pytest.raises(errors.SessionEnded):
        await service.two_factor.regenerate_backup_codes(user, session_id=session.session_id)
    with pytest.raises(errors.SessionEnded):
        await service.two_factor.disable(user, keep_session_id=session.session_id)
    assert (await service.two_factor.get_settings(user)).enabled


async def test_a_live_session_confirms(service, scope, recover):
    user, _ = await attackers_account(service)
    await service.solana.link_wallet(user, await signed(service, Wallet()))
    await recover()
    owner = await service.logins.with_password(EMAIL, NEW)

    async def nothing() -> None:
        return None

    request = scope("POST", "/auth/user/providers/solana/confirm", [])
    assert await held_back(create_app(service), request, owner.access_token, {}, nothing) == (200, "")


async def test_no_number_of_another_person_is_verified_anew(service, scope, recover, mailbox):
    user, session = await attackers_account(service)
    await service.pool.execute("update profiles.users set phone_number = $1, phone_verified = true", PHONE)
    app, sent = create_app(service), list[dict[str, Any]]()
    raw = json.dumps({"phone_number": PHONE}).encode()

    async def receive() -> dict[str, Any]:
        await recover()
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [
        (b"authorization", f"Bearer {session.access_token}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(raw)),
    ]
    await app(scope("POST", "/auth/phone/verify/request", headers), receive, send)
    await finish_background(service)
    request_id = json.loads(sent[1]["body"])["request_id"]
    with pytest.raises(errors.AccountProofRequired):
        await service.verification.confirm_phone(PHONE, mailbox.last(PHONE).code, request_id=request_id)
    assert not (await service.users.get(user)).phone_verified


async def test_an_answer_that_was_held_back_proves_no_number_either(service, recover, mailbox):
    user, session = await attackers_account(service)
    await service.pool.execute("update profiles.users set phone_number = $1, phone_verified = true", PHONE)
    await recover()
    request_id = await service.verification.request_phone(PHONE)
    await finish_background(service)
    proof = {"code": mailbox.last(PHONE).code, "request_id": request_id, "user_id": user}
    with pytest.raises(errors.AccountProofRequired):
        await service.verification.confirm_phone(PHONE, session_id=session.session_id, **proof)
    owner = await service.logins.with_password("vic_t", NEW)
    await service.verification.confirm_phone(PHONE, session_id=owner.session_id, **proof)
