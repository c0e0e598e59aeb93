"""The connection is killed at every statement of a second factor's and a wallet's flows."""

from __future__ import annotations

from contextlib import suppress

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller, Moment
from fakes.factors import PASSWORD, app_code, new_user, with_email_factor
from fakes.mail import Mailbox
from fakes.users import finish_background
from fakes.wallets import Wallet

DOMAIN = "app.example.test"


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(solana_domains=(DOMAIN,))


async def consistent(service: Service, user_id: str) -> bool:
    """True if the factor is on; fails when settings, epoch and event do not agree."""
    settings = await service.two_factor.get_settings(user_id)
    on = settings is not None and settings.enabled
    assert service.pool is not None
    told = await service.pool.fetchval(
        "select count(*) from profiles.session_events where user_id = $1 and event = 'two_factor_enabled'",
        user_id,
    )
    epoch = await service.pool.fetchval(
        "select auth_epoch from profiles.users where id = $1::text::uuid", user_id
    )
    assert told == epoch == int(on)
    assert settings is None or len(settings.backup_codes) == 10
    return on


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_switching_on_is_wholly_done_or_not_at_all(
    service: Service, mailbox: Mailbox, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    step = 0
    while True:
        step += 1
        email = f"ada{step}@example.test"
        user_id = await new_user(service, email)
        await service.two_factor.send_email_setup_code(user_id)
        code = mailbox.last(email).code
        with connection_killer.striking(moment, step):
            await service.two_factor.enable(user_id, "email", code=code)
        on = await consistent(service, user_id)
        if not connection_killer.struck:
            break
        if not on:
            assert len(await service.two_factor.enable(user_id, "email", code=code)) == 10
            assert await consistent(service, user_id)
    assert step > 5


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_app_is_added_wholly_or_not_at_all_and_its_code_signs_in_once(
    service: Service, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    step = 0
    while True:
        step += 1
        email = f"ada{step}@example.test"
        user_id = await new_user(service, email, password=PASSWORD)
        secret = (await service.totp.begin(user_id)).secret
        with connection_killer.striking(moment, step):
            await service.totp.complete(user_id, app_code(secret, 0))
        struck_adding = connection_killer.struck
        if not await consistent(service, user_id):
            await service.totp.complete(user_id, app_code(secret, 0))
            assert await consistent(service, user_id)
        with pytest.raises(errors.TwoFactorRequired) as required:
            await service.logins.with_password(email, PASSWORD)
        challenge, code = str(required.value.metadata["challenge"]), app_code(secret)
        with connection_killer.striking(moment, step):
            await service.logins.complete_two_factor(user_id, challenge, code)
        struck_signing_in = connection_killer.struck
        live = await service.sessions.list_for_user(user_id)
        accepted = await service.pool.fetchval(
            "select last_step from profiles.second_factors where user_id = $1::text::uuid and tries = 0"
            " and last_used_at is not null",
            user_id,
        )
        # The code is used if and only if the session is open.
        assert (accepted is not None) == bool(live)
        if not live:
            assert await service.logins.complete_two_factor(user_id, challenge, code)
        if not struck_adding and not struck_signing_in:
            break
    assert step > 5


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("shown", ["code", "backup code"])
async def test_a_second_factor_can_be_shown_again_until_it_is_answered(
    service: Service, mailbox: Mailbox, connection_killer: ConnectionKiller, moment: Moment, shown: str
) -> None:
    step, is_backup = 0, shown == "backup code"
    while True:
        step += 1
        email = f"ada{step}@example.test"
        user_id, backup = await with_email_factor(service, mailbox, email, password=PASSWORD)
        with pytest.raises(errors.TwoFactorRequired) as required:
            await service.logins.with_password(email, PASSWORD)
        challenge = str(required.value.metadata["challenge"])
        code = backup[0] if is_backup else mailbox.last(email).code
        pair = None
        with connection_killer.striking(moment, step):
            pair = await service.logins.complete_two_factor(user_id, challenge, code, is_backup=is_backup)
        settings = await service.two_factor.get_settings(user_id)
        assert settings is not None
        live = await service.sessions.list_for_user(user_id)
        # Code and session stand or fall together.
        assert len(settings.backup_codes) == 10 - (len(live) if is_backup else 0)
        if not connection_killer.struck:
            assert pair is not None
            break
        if not live:
            assert await service.logins.complete_two_factor(user_id, challenge, code, is_backup=is_backup)
    assert step > 5


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_wallet_can_answer_again_until_it_is_signed_in(
    service: Service, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    assert service.pool is not None
    step = 0
    while True:
        step += 1
        wallet = Wallet()
        output = wallet.sign(
            await service.solana.generate_challenge(DOMAIN, wallet.address, f"wallet_{step}")
        )
        with connection_killer.striking(moment, step):
            await service.solana.verify_and_login(output)
        await finish_background(service)
        links = await service.pool.fetchval("select count(*) from profiles.user_providers")
        assert await service.pool.fetchval("select count(*) from profiles.users") == links
        assert links in {step - 1, step}
        if not connection_killer.struck:
            break
        with suppress(errors.SiwsChallengeNotFound):
            await service.solana.verify_and_login(output)
        await finish_background(service)
        user = await service.solana.get_user_by_address(wallet.address)
        assert user is not None
        assert user.username == f"wallet_{step}"
        assert await service.sessions.list_for_user(user.id)
    assert step > 10


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_wallet_is_replaced_wholly_or_not_at_all(
    service: Service, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    user_id = (await service.users.create(None, "ada_l")).id
    old = Wallet()
    await service.solana.link_wallet(
        user_id, old.sign(await service.solana.generate_challenge(DOMAIN, old.address))
    )
    step = 0
    while True:
        step += 1
        new = Wallet()
        output = new.sign(await service.solana.generate_challenge(DOMAIN, new.address))
        with connection_killer.striking(moment, step):
            await service.solana.link_wallet(user_id, output, replace=True)
        assert await service.solana.get_address(user_id) in {old.address, new.address}
        if not connection_killer.struck:
            break
        await service.solana.link_wallet(user_id, output, replace=True)
        assert await service.solana.get_address(user_id) == new.address
        old = new
    assert step > 5
