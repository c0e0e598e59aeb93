"""A new factor, login or wallet may end the other sessions of the user: one may be an attacker's."""

from __future__ import annotations

import pytest

from authkit_issuer.service import Service
from fakes.wallets import Wallet

EMAIL, DOMAIN = "ada@example.test", "app.example.test"
SETTINGS = {"solana_domains": (DOMAIN,), "base_url": "https://app.example.test/", "code_cooldown": 0.0}


async def enable(service: Service, mailbox, user: str, **wish) -> None:
    await service.two_factor.send_email_setup_code(user)
    code = next(mail.code for mail in reversed(mailbox.to(EMAIL)) if mail.code)
    await service.two_factor.enable(user, "email", code=code, **wish)


async def link_wallet(service: Service, mailbox, user: str, **wish) -> None:
    wallet = Wallet()
    signed = wallet.sign(await service.solana.generate_challenge(DOMAIN, wallet.address))
    await service.solana.link_wallet(user, signed, **wish)


async def disable(service: Service, mailbox, user: str, **wish) -> None:
    await enable(service, mailbox, user, end_other_sessions=False)
    await service.two_factor.disable(user, **wish)


@pytest.mark.parametrize("change", [enable, disable, link_wallet])
@pytest.mark.parametrize(
    ("configured", "wished", "ends"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
async def test_other_sessions_end_if_the_configuration_or_the_user_says_so(
    make_service, mailbox, change, configured, wished, ends
) -> None:
    service = await make_service(factor_change_ends_sessions=configured, **SETTINGS)
    user = (await service.users.add(email=EMAIL, username="ada_l", verified=True)).id
    kept = await service.sessions.issue(user)
    await service.sessions.issue(user)
    await change(service, mailbox, user, keep_session_id=kept.session_id, end_other_sessions=wished)
    live = {session.id for session in await service.sessions.list_for_user(user)}
    assert kept.session_id in live
    assert len(live) == (1 if ends else 2)
    ended = await service.events.list_session_events(user, "session_revoked")
    assert [event.reason for event in ended] == (["factor_change"] if ends else [])
