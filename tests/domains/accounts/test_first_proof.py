"""The first proof of a contact by its owner: what was attached to the account before waits for the owner."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.users import finish_background
from fakes.wallets import Wallet

EMAIL, PHONE = "vic@example.test", "+4915112345678"
OLD, NEW = "correct horse battery", "another fine horse"
DOMAIN = "app.example.test"
SETTINGS = {
    "solana_domains": (DOMAIN,),
    "base_url": "https://app.example.test/",
    "code_cooldown": 0.0,
}


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(verification_required=False, **SETTINGS)


async def answer(service: Service, wallet: Wallet):
    return wallet.sign(await service.solana.generate_challenge(DOMAIN, wallet.address))


async def attached(service: Service) -> tuple[str, Wallet]:
    """An account that another person made with the owner's address, and a wallet in it."""
    await service.registration.create_pending_email(EMAIL, "vic_t", await service.passwords.hash(OLD))
    found = await service.users.get_by_email(EMAIL)
    assert found is not None
    wallet = Wallet()
    await service.solana.link_wallet(found.id, await answer(service, wallet))
    return found.id, wallet


async def reset(service: Service, mailbox, to: str = EMAIL) -> None:
    """Recover the account through the mailbox."""
    await finish_background(service)
    mailbox.messages.clear()
    if to == EMAIL:
        await service.passwords.request_reset(to)
        await finish_background(service)
        await service.passwords.confirm_reset(mailbox.last(to).token, NEW)
    else:
        await service.passwords.request_phone_reset(to)
        await finish_background(service)
        await service.passwords.confirm_phone_reset(to, mailbox.last(to).token, NEW)
    await finish_background(service)


async def test_a_wallet_from_before_the_first_proof_signs_in_no_more(service, mailbox) -> None:
    user, wallet = await attached(service)
    assert (await service.solana.verify_and_login(await answer(service, wallet))).user_id == user
    await reset(service, mailbox)
    with pytest.raises(errors.LoginFrozen):
        await service.solana.verify_and_login(await answer(service, wallet))
    assert [mail.kind for mail in mailbox.to(EMAIL)][-2:] == ["logins_frozen", "password_changed"]
    (login,) = await service.providers.list_for_user(user)
    assert login.frozen


async def test_a_frozen_login_proves_nothing_and_is_no_way_in(service, mailbox) -> None:
    user, wallet = await attached(service)
    await service.providers.link_by_issuer(user, "https://id.example.test", "solana", "other")
    await reset(service, mailbox)
    pair = await service.logins.with_password(EMAIL, NEW)
    assert "solana" not in await service.logins.step_up_methods(user)
    with pytest.raises(errors.LoginFrozen):
        await service.solana.step_up(user, pair.session_id, await answer(service, wallet))
    await service.pool.execute("delete from profiles.user_passwords where user_id = $1", user)
    await service.providers.link_by_issuer(user, "https://git.example.test", "github", "own")
    with pytest.raises(errors.CannotUnlinkLastLoginMethod):
        await service.providers.unlink(user, "github")


async def test_the_owner_confirms_a_frozen_login_or_removes_it(service, mailbox) -> None:
    user, wallet = await attached(service)
    await service.providers.link_by_issuer(user, "https://git.example.test", "github", "other")
    await reset(service, mailbox)
    assert await service.providers.confirm(user, "solana")
    assert not await service.providers.confirm(user, "solana")
    assert (await service.solana.verify_and_login(await answer(service, wallet))).user_id == user
    assert await service.providers.unlink(user, "github")
    events = await service.events.list_session_events(user, "logins_frozen", "provider_confirmed")
    assert [(event.event, event.method) for event in events] == [
        ("provider_confirmed", "solana"),
        ("logins_frozen", None),
    ]


async def test_linking_a_frozen_login_again_confirms_it(service, mailbox) -> None:
    user, wallet = await attached(service)
    await reset(service, mailbox)
    await service.solana.link_wallet(user, await answer(service, wallet))
    assert (await service.solana.verify_and_login(await answer(service, wallet))).user_id == user


async def test_a_second_factor_from_before_the_first_proof_is_not_asked_for(service, mailbox) -> None:
    user, _ = await attached(service)
    await service.two_factor.send_phone_setup_code(user, PHONE)
    codes = await service.two_factor.enable(user, "sms", PHONE, code=mailbox.last(PHONE).code)
    await reset(service, mailbox)
    assert await service.logins.with_password(EMAIL, NEW)
    settings = await service.two_factor.get_settings(user)
    assert settings is not None
    assert (settings.enabled, settings.frozen) == (False, True)
    with pytest.raises(errors.TwoFactorNotEnabled):
        await service.two_factor.verify_backup_code(user, codes[0])
    assert await service.two_factor.confirm(user)
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.with_password(EMAIL, NEW)


async def with_number(service: Service, mailbox) -> str:
    """The account of another person with the owner's address has a number that they proved."""
    user, _ = await attached(service)
    await service.contact_changes.request_phone(user, PHONE)
    await finish_background(service)
    await service.contact_changes.confirm_phone(user, PHONE, mailbox.last(PHONE).code)
    await finish_background(service)
    return user


async def test_a_number_from_before_the_first_proof_resets_nothing(service, mailbox) -> None:
    user = await with_number(service, mailbox)
    await service.passwords.request_phone_reset(PHONE)
    await finish_background(service)
    held = mailbox.last(PHONE).token
    assert held
    await reset(service, mailbox)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwords.confirm_phone_reset(PHONE, held, OLD)
    mailbox.messages.clear()
    await service.passwords.request_phone_reset(PHONE)
    await finish_background(service)
    assert mailbox.to(PHONE) == []
    # Nor does a verification by the number's owner alone bring it back.
    request = await service.verification.request_phone(PHONE)
    await finish_background(service)
    with pytest.raises(errors.AccountProofRequired):
        await service.verification.confirm_phone(PHONE, mailbox.last(PHONE).code, request_id=request)
    (event,) = await service.events.list_session_events(user, "logins_frozen")
    assert event.data["contact"] is True


async def test_the_owner_verifies_the_other_contact_again(service, mailbox) -> None:
    user = await with_number(service, mailbox)
    await reset(service, mailbox)
    request = await service.verification.request_phone(PHONE, user_id=user)
    await finish_background(service)
    code = mailbox.last(PHONE).code
    await service.verification.confirm_phone(PHONE, code, request_id=request, user_id=user)
    mailbox.messages.clear()
    await service.passwords.request_phone_reset(PHONE)
    await finish_background(service)
    assert len(mailbox.to(PHONE)) == 1


async def test_an_address_from_before_the_first_proof_of_a_number_resets_nothing(
    make_service, mailbox
) -> None:
    service = await make_service(**SETTINGS)
    user = await service.users.add(email=EMAIL, phone=PHONE, username="vic_t", verified=True)
    # An operator's word on a number is no proof, as ``set_email_verified`` is none.
    await service.pool.execute("update profiles.users set proved_phone = null where id = $1", user.id)
    await reset(service, mailbox, PHONE)
    mailbox.messages.clear()
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    assert mailbox.to(EMAIL) == []
    request = await service.verification.request_email(EMAIL)
    await finish_background(service)
    with pytest.raises(errors.AccountProofRequired):
        await service.verification.confirm_email(EMAIL, mailbox.last(EMAIL).code, request_id=request)


async def with_frozen_address(make_service, mailbox, *, verification_required: bool) -> tuple[Service, str]:
    """The owner of an operator's number has reset; the unverified address is another person's."""
    service = await make_service(**SETTINGS, verification_required=verification_required)
    user = await service.users.add(
        email=EMAIL, phone=PHONE, username="vic_t", verified=False, phone_verified=True
    )
    await service.pool.execute("update profiles.users set proved_phone = null where id = $1", user.id)
    await reset(service, mailbox, PHONE)
    mailbox.messages.clear()
    return service, user.id


@pytest.mark.parametrize("named", [EMAIL, "vic_t"])
@pytest.mark.parametrize("verification_required", [True, False])
async def test_an_unverified_address_from_before_resets_nothing_whatever_the_setting(
    make_service, mailbox, named: str, *, verification_required: bool
) -> None:
    service, _ = await with_frozen_address(make_service, mailbox, verification_required=verification_required)
    await service.passwords.request_reset(named)
    await finish_background(service)
    assert mailbox.to(EMAIL) == []
    assert await service.logins.with_password("vic_t", NEW)


async def test_the_owner_verifies_a_frozen_address_which_resets_again(make_service, mailbox) -> None:
    service, user = await with_frozen_address(make_service, mailbox, verification_required=False)
    request = await service.verification.request_email(EMAIL)
    await finish_background(service)
    with pytest.raises(errors.AccountProofRequired):
        await service.verification.confirm_email(EMAIL, mailbox.last(EMAIL).code, request_id=request)
    request = await service.verification.request_email(EMAIL, user_id=user)
    await finish_background(service)
    code = mailbox.last(EMAIL).code
    await service.verification.confirm_email(EMAIL, code, request_id=request, user_id=user)
    mailbox.messages.clear()
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    assert len(mailbox.to(EMAIL)) == 1


async def test_two_first_proofs_at_once_leave_one_way_in(service, mailbox) -> None:
    user = await with_number(service, mailbox)
    await service.pool.execute("update profiles.users set proved_phone = null where id = $1", user)
    await service.passwords.request_reset(EMAIL)
    await service.passwords.request_phone_reset(PHONE)
    await finish_background(service)
    by_email, by_phone = mailbox.last(EMAIL).token, mailbox.last(PHONE).token
    results = await asyncio.gather(
        service.passwords.confirm_reset(by_email, NEW),
        service.passwords.confirm_phone_reset(PHONE, by_phone, OLD),
        return_exceptions=True,
    )
    assert sum(isinstance(result, str) for result in results) == 1, results
    row = await service.pool.fetchrow("select email_verified, phone_verified from profiles.users")
    assert row is not None
    assert sum(row.values()) == 1


async def test_later_proofs_freeze_nothing(service, mailbox) -> None:
    user, wallet = await attached(service)
    await reset(service, mailbox)
    await service.solana.link_wallet(user, await answer(service, wallet))
    await reset(service, mailbox)
    assert (await service.solana.verify_and_login(await answer(service, wallet))).user_id == user


async def test_a_registration_by_code_is_the_first_proof(make_service, mailbox) -> None:
    service = await make_service(**SETTINGS)
    pending = await service.registration.create_pending_email(
        EMAIL, "vic_t", await service.passwords.hash(OLD)
    )
    await finish_background(service)
    pair = await service.logins.with_registration_code(
        EMAIL, mailbox.last(EMAIL).code, registration_id=pending.registration_id
    )
    wallet = Wallet()
    await service.solana.link_wallet(pair.user_id, await answer(service, wallet))
    await reset(service, mailbox)
    assert await service.solana.verify_and_login(await answer(service, wallet))


async def test_another_address_needs_a_first_proof_of_its_own(make_service, mailbox) -> None:
    service = await make_service(**SETTINGS)
    user = await service.users.add(email="old@example.test", username="vic_t", verified=True)
    wallet = Wallet()
    await service.solana.link_wallet(user.id, await answer(service, wallet))
    await service.users.update_email(user.id, EMAIL)
    await service.users.set_email_verified(user.id, True)
    await reset(service, mailbox)
    with pytest.raises(errors.LoginFrozen):
        await service.solana.verify_and_login(await answer(service, wallet))


async def test_a_contact_change_is_a_proof_by_the_user_of_the_session(service, mailbox) -> None:
    user = await service.users.create("old@example.test", "vic_t")
    wallet = Wallet()
    await service.solana.link_wallet(user.id, await answer(service, wallet))
    await service.contact_changes.request_email(user.id, EMAIL)
    await service.contact_changes.confirm_email(user.id, mailbox.last(EMAIL).code)
    await reset(service, mailbox)
    assert (await service.solana.verify_and_login(await answer(service, wallet))).user_id == user.id


async def test_a_proof_that_an_operator_withdrew_is_none_for_what_was_attached(make_service, mailbox) -> None:
    service = await make_service(**SETTINGS)
    user = (await service.users.add(email=EMAIL, username="vic_t", verified=True)).id
    wallet = Wallet()
    await service.solana.link_wallet(user, await answer(service, wallet))
    for verified in (False, True):
        await service.users.set_email_verified(user, verified, actor="an operator")
    await reset(service, mailbox)
    with pytest.raises(errors.LoginFrozen):
        await service.solana.verify_and_login(await answer(service, wallet))


async def test_a_frozen_address_gets_no_notices_and_an_unverified_one_no_network(
    make_service, mailbox
) -> None:
    service, user = await with_frozen_address(make_service, mailbox, verification_required=False)
    client = Client(ip="203.0.113.9", user_agent="Firefox/1")
    await service.passwords.change(user, NEW, OLD, client=client)
    await finish_background(service)
    assert mailbox.to(EMAIL) == []
    await service.users.update_email(user, "typo@example.test")
    await service.passwords.change(user, OLD, NEW, client=client)
    await finish_background(service)
    (notice,) = [mail for mail in mailbox.to("typo@example.test") if mail.kind == "password_changed"]
    assert (notice.circumstances.network, notice.circumstances.browser) == ("", "")
