"""A login that was taken away opens nothing: neither what it had begun nor what is under way."""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.service import Service
from fakes.factors import EMAIL, PASSWORD, new_user, with_email_factor
from fakes.wallets import Wallet

DOMAIN = "app.example.test"


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(solana_domains=(DOMAIN,))


async def answered(service: Service, wallet: Wallet):
    return wallet.sign(await service.solana.generate_challenge(DOMAIN, wallet.address))


async def take_away(service: Service, user_id: str, *, replace: bool) -> None:
    if replace:
        await service.solana.link_wallet(user_id, await answered(service, Wallet(2)), replace=True)
    else:
        assert await service.providers.unlink(user_id, "solana")


@pytest.mark.parametrize("replace", [False, True])
async def test_a_sign_in_in_flight_ends_with_its_login(service: Service, monkeypatch, replace) -> None:
    user_id, wallet = await new_user(service, password=PASSWORD), Wallet(1)
    await service.solana.link_wallet(user_id, await answered(service, wallet))
    finish = Logins.finish

    async def overtaken(self, *args, **options):
        await take_away(service, user_id, replace=replace)
        return await finish(self, *args, **options)

    output = await answered(service, wallet)
    monkeypatch.setattr(Logins, "finish", overtaken)
    with pytest.raises(errors.InvalidCredentials):
        await service.solana.verify_and_login(output)
    assert await service.sessions.list_for_user(user_id) == []


@pytest.mark.parametrize("replace", [False, True])
async def test_a_challenge_ends_with_the_login_that_began_it(service: Service, mailbox, replace) -> None:
    (user_id, _), wallet = await with_email_factor(service, mailbox, password=PASSWORD), Wallet(1)
    await service.solana.link_wallet(user_id, await answered(service, wallet))
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.solana.verify_and_login(await answered(service, wallet))
    await take_away(service, user_id, replace=replace)
    with pytest.raises(errors.InvalidChallenge):
        await service.logins.complete_two_factor(
            user_id, str(required.value.metadata["challenge"]), mailbox.last(EMAIL).code
        )


async def test_taking_nothing_away_ends_nothing(service: Service) -> None:
    user_id, wallet = await new_user(service, password=PASSWORD), Wallet(1)
    await service.solana.link_wallet(user_id, await answered(service, wallet))
    proof = await service.passwords.prove(EMAIL, PASSWORD)
    await service.solana.link_wallet(user_id, await answered(service, wallet))
    assert not await service.providers.unlink(user_id, "discord")
    assert await service.logins.finish(proof, method="password_login", amr=("pwd",))
