"""A proof of a mailbox is credited to an account in use only if the account's own user made it."""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.users import EMAIL, PASSWORD, PHONE, finish_background

WRONG = "another fine horse"


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(verification_required=False, link_base_url="https://app.example.test")


@pytest.fixture
async def attacker(service: Service) -> str:
    """An account with the address and number of another person, which its maker uses."""
    user = await service.users.add(email=EMAIL, phone=PHONE, username="mallory")
    await service.passwords.store_hash(user.id, await service.passwords.hash(PASSWORD))
    await service.logins.with_password("mallory", PASSWORD)
    return user.id


async def link(service: Service, mailbox, **by: str) -> str:
    await service.verification.request_email(EMAIL, **by)
    await finish_background(service)
    return mailbox.last(EMAIL).token


async def test_a_link_alone_does_not_verify_the_address_of_an_account_in_use(
    service, attacker, mailbox
) -> None:
    token = await link(service, mailbox, user_id=attacker)
    for wrong in ({}, {"password": WRONG}, {"user_id": "6b7f2f5e-61c5-4a17-9a5f-3f3f3f3f3f3f"}):
        with pytest.raises(errors.AccountProofRequired) as refused:
            await service.verification.confirm_email_link(token, **wrong)
        assert refused.value.metadata == {"username": "mallory"}
    assert not (await service.users.get(attacker)).email_verified


@pytest.mark.parametrize("proof", ["session", "password"])
async def test_the_user_of_the_account_follows_the_link(service, attacker, mailbox, proof) -> None:
    token = await link(service, mailbox)
    with pytest.raises(errors.AccountProofRequired):
        await service.verification.confirm_email_link(token)
    by = {"user_id": attacker} if proof == "session" else {"password": PASSWORD}
    assert await service.verification.confirm_email_link(token, **by) == attacker
    assert (await service.users.get(attacker)).email_verified


async def test_an_outage_while_the_session_is_looked_at_uses_up_no_code_and_no_link(
    service, attacker, mailbox, monkeypatch
) -> None:
    async def down(*_: object) -> bool:
        raise errors.DatabaseUnavailable

    request_id = await service.verification.request_email(EMAIL)
    await finish_background(service)
    sent, verification = mailbox.last(EMAIL), service.verification
    with monkeypatch.context() as outage:
        outage.setattr("authkit_issuer.domains.signup.verification.is_live", down)
        with pytest.raises(errors.DatabaseUnavailable):
            await verification.confirm_email_link(sent.token, user_id=attacker)
        with pytest.raises(errors.DatabaseUnavailable):
            await verification.confirm_email(EMAIL, sent.code, request_id=request_id, user_id=attacker)
    assert await verification.confirm_email_link(sent.token, user_id=attacker) == attacker


@pytest.mark.parametrize("target", [EMAIL, PHONE])
async def test_a_code_that_another_person_asked_for_needs_the_user_too(
    service, attacker, mailbox, target
) -> None:
    verification = service.verification
    mail = target == EMAIL
    ask = verification.request_email if mail else verification.request_phone
    confirm = verification.confirm_email if mail else verification.confirm_phone
    request_id = await ask(target)
    await finish_background(service)
    code = mailbox.last(target).code
    with pytest.raises(errors.AccountProofRequired):
        await confirm(target, code, request_id=request_id)
    await confirm(target, code, request_id=request_id, password=PASSWORD)
    user = await service.users.get(attacker)
    assert user.email_verified if mail else user.phone_verified


async def test_a_code_that_the_user_asked_for_in_a_session_needs_no_more(service, attacker, mailbox) -> None:
    request_id = await service.verification.request_email(EMAIL, user_id=attacker)
    await finish_background(service)
    await service.verification.confirm_email(EMAIL, mailbox.last(EMAIL).code, request_id=request_id)
    request_id = await service.verification.send_phone(PHONE, attacker)
    await service.verification.confirm_phone(PHONE, mailbox.last(PHONE).code, request_id=request_id)


async def test_an_account_that_is_not_in_use_yet_needs_no_more(make_service, mailbox) -> None:
    service = await make_service(link_base_url="https://app.example.test")
    user = await service.users.create(EMAIL, "ada_l")
    assert await service.verification.confirm_email_link(await link(service, mailbox)) == user.id


async def test_an_imported_password_opens_nothing_by_a_click_of_the_addresss_owner(
    make_service, mailbox
) -> None:
    service = await make_service(link_base_url="https://app.example.test")
    user = await service.users.create(EMAIL, "mallory")
    await service.passwords.upsert_hash(user.id, await service.passwords.hash(PASSWORD), "argon2id")
    token = await link(service, mailbox)
    with pytest.raises(errors.AccountProofRequired):
        await service.verification.confirm_email_link(token)
    with pytest.raises(errors.EmailNotVerified):
        await service.logins.with_password(EMAIL, PASSWORD)
    assert await service.verification.confirm_email_link(token, password=PASSWORD) == user.id
    assert await service.logins.with_password(EMAIL, PASSWORD)


async def test_an_imported_hash_that_opens_nothing_leaves_its_user_the_way_by_a_reset(
    make_service, mailbox
) -> None:
    service = await make_service(link_base_url="https://app.example.test")
    user = await service.users.create(EMAIL, "ada_l")
    await service.passwords.upsert_hash(user.id, "md5:5f4dcc3b", "legacy-reset-required")
    assert await service.verification.confirm_email_link(await link(service, mailbox)) == user.id
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    await service.passwords.confirm_reset(mailbox.last(EMAIL).token, PASSWORD)
    assert await service.logins.with_password(EMAIL, PASSWORD)


async def test_the_owner_of_the_address_says_that_the_account_is_another_persons(
    service, attacker, mailbox
) -> None:
    token = await link(service, mailbox)
    await service.verification.deny_email_link(token)
    assert await service.sessions.list_for_user(attacker) == []
    for again in (service.verification.deny_email_link, service.verification.confirm_email_link):
        with pytest.raises(errors.InvalidOrExpiredToken):
            await again(token)
    (event,) = await service.events.list_session_events(attacker, "contact_denied")
    assert event.method == "email"


async def test_a_password_that_opened_the_account_before_its_address_was_replaced_counts(
    make_service, mailbox
) -> None:
    service = await make_service(link_base_url="https://app.example.test")
    user = await service.users.add(email="mallory@example.test", username="mallory", verified=True)
    await service.passwords.store_hash(user.id, await service.passwords.hash(PASSWORD))
    await service.logins.with_password("mallory", PASSWORD)
    await service.users.update_email(user.id, EMAIL, actor="cli")
    await service.sessions.revoke_all(user.id)
    await finish_background(service)  # its own link is of the epoch before
    token = await link(service, mailbox)
    with pytest.raises(errors.AccountProofRequired):
        await service.verification.confirm_email_link(token)
    assert await service.verification.confirm_email_link(token, password=PASSWORD) == user.id
