"""Messages with codes are limited; sign-ins with a second factor are not."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.factors import EMAIL, PASSWORD, with_email_factor
from fakes.mail import Mailbox

HOME = Client(ip="192.0.2.7", user_agent="browser")


async def begin(service: Service, client: Client = HOME) -> dict[str, Any]:
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD, client=client)
    return required.value.metadata


async def attack(service: Service, challenges: int) -> None:
    """Sign in with the right password from many networks, as one who knows it can."""
    for number in range(challenges):
        await begin(service, Client(ip=f"198.51.{number}.1"))


async def test_every_sign_in_of_an_hour_that_is_finished_gets_its_code(
    service: Service, mailbox: Mailbox, clock
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    for _ in range(30):
        clock.advance(60)
        asked = await begin(service)
        assert asked["code_sent"] is True
        code = mailbox.last(EMAIL).code
        assert await service.logins.complete_two_factor(user_id, asked["challenge"], code, client=HOME)


@pytest.mark.parametrize("networks", [5, 30])
async def test_beyond_the_limits_the_code_that_was_sent_last_works(
    service: Service, mailbox: Mailbox, networks: int
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    await attack(service, networks)
    for _ in range(5):
        await begin(service)
    asked = await begin(service)
    assert asked["code_sent"] is False
    code = mailbox.last(EMAIL).code
    assert await service.logins.complete_two_factor(user_id, asked["challenge"], code, client=HOME)


async def test_a_shared_code_opens_one_session(service: Service, mailbox: Mailbox) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    asked = [await begin(service) for _ in range(8)]
    code, complete = mailbox.last(EMAIL).code, service.logins.complete_two_factor
    assert await complete(user_id, asked[7]["challenge"], code, client=HOME)
    for other in (asked[4], asked[5], asked[6]):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await complete(user_id, other["challenge"], code, client=HOME)


async def test_a_backup_code_helps_an_owner_whose_password_another_client_knows(
    service: Service, mailbox: Mailbox, clock
) -> None:
    user_id, backup = await with_email_factor(service, mailbox, password=PASSWORD)
    await attack(service, 30)
    clock.advance(service.config.code_ttl)
    await attack(service, 30)
    asked = await begin(service)
    assert await service.logins.complete_two_factor(
        user_id, asked["challenge"], backup[0], is_backup=True, client=HOME
    )


async def test_a_known_device_gets_its_code_whatever_other_clients_ask_for(
    service: Service, mailbox: Mailbox
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    await attack(service, 30)
    epoch = await service.pool.fetchval("select auth_epoch from profiles.users")
    device = Devices(service.rt).prove(user_id, epoch, None)
    assert (await begin(service, Client(ip="198.51.1.1", device=device)))["code_sent"] is True


async def test_no_code_of_before_a_change_of_the_account_is_shared(
    service: Service, mailbox: Mailbox
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    for _ in range(6):
        await begin(service)
    code = mailbox.last(EMAIL).code
    await service.sessions.revoke_all(user_id)  # raises the epoch
    asked = await begin(service)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.complete_two_factor(user_id, asked["challenge"], code, client=HOME)


async def test_cleared_challenges_share_no_code(service: Service, mailbox: Mailbox) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    for _ in range(6):
        await begin(service)
    code = mailbox.last(EMAIL).code
    await service.two_factor.clear_challenge(user_id)
    asked = await begin(service)
    assert asked["code_sent"] is False
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.complete_two_factor(user_id, asked["challenge"], code, client=HOME)


async def test_wrong_codes_give_no_message_back(service: Service, mailbox: Mailbox) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    for number in range(8):
        asked = await begin(service)
        assert asked["code_sent"] is (number < 5)
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.logins.complete_two_factor(user_id, asked["challenge"], "wrong", client=HOME)


async def test_a_store_that_fails_after_the_code_leaves_challenge_and_code_good(
    service: Service, mailbox: Mailbox, monkeypatch
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    asked, code = await begin(service), mailbox.last(EMAIL).code

    async def down(*_: object, **__: object) -> None:
        raise errors.EphemeralStoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr("authkit_issuer.domains.base.sending_limits.SendingLimits.forget", down)
        with pytest.raises(errors.EphemeralStoreUnavailable):
            await service.logins.complete_two_factor(user_id, asked["challenge"], code, client=HOME)
    assert await service.logins.complete_two_factor(user_id, asked["challenge"], code, client=HOME)
