"""Second factors and wallets: of any number of parallel uses one wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.factors import (
    EMAIL,
    PASSWORD,
    add_app,
    app_code,
    let_codes_be_new,
    new_user,
    with_app,
    with_email_factor,
)
from fakes.gather import gather
from fakes.mail import Mailbox
from fakes.wallets import Wallet

DOMAIN = "app.example.test"
LOST = (errors.InvalidChallenge, errors.InvalidOrExpiredCode)


@pytest.fixture(params=["memory", "redis"])
async def service(request: pytest.FixtureRequest, make_service) -> Service:
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return await make_service(
        redis_url=redis_url,
        solana_domains=(DOMAIN,),
        session_max_per_user=None,
        max_codes_per_hour=10_000,
        max_codes_per_target_hour=10_000,
    )


def won(outcomes: list[Any], lost: tuple[type[BaseException], ...]) -> list[Any]:
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [refusal for refusal in refused if not isinstance(refusal, lost)] == []
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


async def begin(service: Service) -> str:
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD)
    return str(required.value.metadata["challenge"])


async def sessions_of(service: Service, user_id: str) -> int:
    assert service.pool is not None
    return await service.pool.fetchval(
        "select count(*) from profiles.refresh_sessions where user_id = $1::text::uuid", user_id
    )


def many(call: Callable[[], Awaitable[Any]]) -> list[Callable[[], Awaitable[Any]]]:
    return [call] * 50


async def test_fifty_parallel_completions_of_a_challenge_open_one_session(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    for number in range(rounds(200)):
        challenge, code = await begin(service), mailbox.last(EMAIL).code
        outcomes = await gather(
            *many(lambda challenge=challenge, code=code: service.logins.complete_two_factor(
                user_id, challenge, code
            ))
        )  # fmt: skip
        assert len(won(outcomes, LOST)) == 1
        assert await sessions_of(service, user_id) == number + 1


async def test_fifty_parallel_uses_of_a_backup_code_have_one_winner(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    for _ in range(rounds(200)):
        backup = (await service.two_factor.regenerate_backup_codes(user_id))[0]
        challenges = [await service.two_factor.create_challenge(user_id) for _ in range(50)]
        outcomes = await gather(
            *(
                lambda challenge=challenge, backup=backup: service.two_factor.complete_login(
                    user_id, challenge, backup, is_backup=True
                )
                for challenge in challenges
            )
        )
        assert len(won(outcomes, LOST)) == 1
        settings = await service.two_factor.get_settings(user_id)
        assert settings is not None
        assert len(settings.backup_codes) == 9


async def test_fifty_parallel_uses_of_a_code_of_an_app_open_one_session(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    for number in range(rounds(50)):
        await let_codes_be_new(service)
        challenges, code = [await begin(service) for _ in range(50)], app_code(secret)
        outcomes = await gather(
            *(
                lambda challenge=challenge, code=code: service.logins.complete_two_factor(
                    user_id, challenge, code
                )
                for challenge in challenges
            )
        )
        assert len(won(outcomes, (*LOST, errors.TooManyRequests))) == 1
        assert await sessions_of(service, user_id) == number + 1
        await service.rt.ephemeral.delete(f"totp_tries:{user_id}")


async def test_an_enrollment_is_confirmed_once(service: Service, rounds) -> None:
    for number in range(rounds(50)):
        user_id = await new_user(service, f"ada{number}@example.test")
        code = app_code((await service.totp.begin(user_id)).secret, 0)
        confirm = partial(service.totp.complete, user_id, code)
        outcomes = await gather(*[confirm] * 5)
        assert len(won(outcomes, LOST)) == 1
        assert len((await service.second_factors.list_for_user(user_id)).factors) == 1


async def test_two_factors_that_are_removed_at_once_leave_two_factor_sign_in_off(
    service: Service, rounds
) -> None:
    for number in range(rounds(50)):
        user_id, _, _ = await with_app(service, f"ada{number}@example.test")
        await add_app(service, user_id)
        found = await service.second_factors.list_for_user(user_id)
        outcomes = await gather(
            *(partial(service.second_factors.remove, user_id, factor.id) for factor in found.factors)
        )
        assert outcomes == [None, None]
        after = await service.second_factors.list_for_user(user_id)
        assert (after.enabled, after.factors, after.backup_codes_left) == (False, [], 0)


async def test_a_factor_is_not_lost_when_another_one_is_removed_at_once(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    for number in range(rounds(50)):
        email = f"ada{number}@example.test"
        user_id, _, _ = await with_app(service, email)
        (app,) = (await service.second_factors.list_for_user(user_id)).factors
        await service.two_factor.send_email_setup_code(user_id)
        code = mailbox.last(email).code
        outcomes = await gather(
            partial(service.second_factors.remove, user_id, app.id),
            partial(service.second_factors.add, user_id, "email", code=code),
        )
        added = not isinstance(outcomes[1], BaseException)
        after = await service.second_factors.list_for_user(user_id)
        assert [factor.kind for factor in after.factors] == (["email"] if added else [])
        assert after.enabled is added
        assert all(factor.default for factor in after.factors)


async def test_one_backup_code_shown_to_many_sign_ins_opens_one_session(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    for number in range(rounds(50)):
        backup = (await service.two_factor.regenerate_backup_codes(user_id))[0]
        challenges = [await begin(service) for _ in range(5)]
        outcomes = await gather(
            *(
                lambda challenge=challenge, backup=backup: service.logins.complete_two_factor(
                    user_id, challenge, backup, is_backup=True
                )
                for challenge in challenges
            )
        )
        assert len(won(outcomes, LOST)) == 1
        assert await sessions_of(service, user_id) == number + 1


async def test_parallel_guesses_stay_under_the_cap(service: Service, mailbox: Mailbox) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    challenge, code = await begin(service), mailbox.last(EMAIL).code
    wrong = [f"{(int(code) + 1 + n) % 10**6:06d}" for n in range(50)]
    outcomes = await gather(
        *(
            lambda guess=guess: service.logins.complete_two_factor(user_id, challenge, guess)
            for guess in [*wrong, code]
        )
    )
    assert won(outcomes, LOST) == []
    assert await service.sessions.list_for_user(user_id) == []


async def test_fifty_parallel_uses_of_a_nonce_have_one_winner(service: Service, rounds) -> None:
    for _ in range(rounds(200)):
        wallet = Wallet()
        output = wallet.sign(await service.solana.generate_challenge(DOMAIN, wallet.address))
        outcomes = await gather(*many(lambda output=output: service.solana.verify_and_login(output)))
        (winner,) = won(outcomes, (errors.SiwsChallengeNotFound,))
        assert len(await service.sessions.list_for_user(winner.user_id)) == 1


async def test_parallel_first_sign_ins_of_a_wallet_make_one_user(service: Service, rounds) -> None:
    assert service.pool is not None
    for number in range(rounds(50)):
        wallet = Wallet()
        outputs = [
            wallet.sign(await service.solana.generate_challenge(DOMAIN, wallet.address, f"name_{number}_{n}"))
            for n in range(8)
        ]
        logins = await gather(
            *(lambda output=output: service.solana.verify_and_login(output) for output in outputs)
        )
        assert len({login.user_id for login in logins}) == 1
        assert sum(login.created for login in logins) == 1
        assert await service.pool.fetchval("select count(*) from profiles.users") == number + 1


async def test_parallel_first_sign_ins_that_want_one_name_all_get_in(service: Service, rounds) -> None:
    for number in range(rounds(50)):
        wallets = [Wallet() for _ in range(8)]
        outputs = [
            wallet.sign(await service.solana.generate_challenge(DOMAIN, wallet.address, f"wanted_{number}"))
            for wallet in wallets
        ]
        logins = await gather(
            *(lambda output=output: service.solana.verify_and_login(output) for output in outputs)
        )
        assert all(login.created for login in logins), logins
        assert len({login.user_id for login in logins}) == 8


async def test_two_users_after_one_wallet_and_one_user_after_two(service: Service, rounds) -> None:
    for number in range(rounds(100)):
        ada = (await service.users.create(None, f"ada_{number}")).id
        eve = (await service.users.create(None, f"eve_{number}")).id
        wallet, other = Wallet(), Wallet()

        async def link(user_id: str, whose: Wallet) -> None:
            challenge = await service.solana.generate_challenge(DOMAIN, whose.address)
            await service.solana.link_wallet(user_id, whose.sign(challenge))

        outcomes = await asyncio.gather(
            link(ada, wallet), link(eve, wallet), link(ada, other), return_exceptions=True
        )
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert all(isinstance(refusal, errors.WalletAlreadyLinked) for refusal in refused), refused
        owners = [await service.solana.get_address(user) for user in (ada, eve)]
        assert owners[0] != owners[1]
        assert {wallet.address, other.address} >= {owner for owner in owners if owner}
        assert 1 <= len(refused) <= 2


async def test_a_sign_in_under_way_does_not_get_past_a_factor_switched_on_meanwhile(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    for _ in range(rounds(100)):
        await service.two_factor.disable(user_id)
        await service.sessions.revoke_all(user_id)
        proof = await service.passwords.prove(EMAIL, PASSWORD)
        verified = f"{proof.auth_epoch}|{identifier_digest(service.rt, 'email', EMAIL)}"
        await service.rt.ephemeral.set(f"2fa_setup_ok:{user_id}", verified.encode(), 60)
        outcomes = await gather(
            lambda: service.two_factor.enable(user_id, "email"),
            lambda proof=proof: service.logins.finish(proof, method="password_login", amr=("pwd",)),
        )
        assert not isinstance(outcomes[0], BaseException)
        live = len(await service.sessions.list_for_user(user_id))
        assert live == (0 if isinstance(outcomes[1], errors.InvalidCredentials) else 1)
        with pytest.raises(errors.InvalidCredentials):
            await service.logins.finish(proof, method="password_login", amr=("pwd",))


async def test_after_a_device_is_forgotten_no_sign_in_skips_the_factor(make_service) -> None:
    service: Service = await make_service(two_factor_remember=1000.0, session_max_per_user=None)
    assert service.pool is not None
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    for _ in range(6):
        await let_codes_be_new(service)
        with pytest.raises(errors.TwoFactorRequired) as required:
            await service.logins.with_password(EMAIL, PASSWORD)
        challenge, finish = str(required.value.metadata["challenge"]), service.logins.complete_two_factor
        pair = await finish(user_id, challenge, app_code(secret), remember_device=True)
        (device,) = (await service.second_factors.list_for_user(user_id)).devices
        client = Client(device=pair.device)
        sign_in = partial(service.logins.with_password, EMAIL, PASSWORD, client=client)
        forget = partial(service.second_factors.forget_device, user_id, device.id)
        outcomes = await gather(sign_in, sign_in, sign_in, forget, sign_in, sign_in, sign_in)
        assert won(outcomes, (errors.TwoFactorRequired, errors.InvalidCredentials))
        # Both are written under the lock of the user's row, in the order of their ids.
        late = await service.pool.fetchval(
            "select count(*) from profiles.session_events where event = 'session_created'"
            " and data ? 'factor_remembered' and id > ("
            "select id from profiles.session_events where target = $1 and event = 'devices_forgotten')",
            device.id,
        )
        assert late == 0
