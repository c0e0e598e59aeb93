"""An operator gives an account back: every way in from before is closed, and one new contact opens it."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.factors import EMAIL, PASSWORD, events, with_app
from fakes.mail import Mailbox
from fakes.users import finish_background

NEW, NUMBER, BETTER = "found@example.test", "+15550100300", "another horse battery"
OPERATOR = "018f3c5e-0000-7000-8000-000000000000"
BY = {"actor": OPERATOR, "reason": "lost everything"}


async def with_every_way_in(service: Service) -> str:
    """Return the id of a user with password, app, passkey, login, wallet, number and session."""
    user_id, _, _ = await with_app(service, EMAIL, password=PASSWORD)
    assert service.pool is not None
    await service.providers.link_by_issuer(user_id, "https://idp.example.test", "github", "subject")
    await service.pool.execute(
        "insert into profiles.passkeys (id, user_id, credential_id, public_key, sign_count, aaguid, name,"
        " backup_eligible, backed_up) values (gen_random_uuid(), $1::text::uuid, $2, '', 0,"
        " gen_random_uuid(), 'Phone', false, false)",
        user_id,
        b"0" * 16,
    )
    await service.pool.execute(
        "update profiles.users set phone_number = $2, phone_verified = true, proved_phone = $2"
        " where id = $1::text::uuid",
        user_id,
        "+15550100400",
    )
    await service.sessions.issue(user_id, method="test")
    return user_id


async def test_nothing_that_signed_in_before_signs_in_after(service: Service, mailbox: Mailbox) -> None:
    user_id = await with_every_way_in(service)
    await service.lifecycle.recover(user_id, email=NEW, **BY)
    await finish_background(service)
    for identifier in (EMAIL, NEW, "+15550100400"):
        with pytest.raises(errors.InvalidCredentials):
            await service.logins.with_password(identifier, PASSWORD)
    assert await service.sessions.list_for_user(user_id) == []
    assert await service.providers.list_for_user(user_id) == []
    assert await service.passkeys.list_for_user(user_id) == []
    listed = await service.second_factors.list_for_user(user_id)
    assert (listed.enabled, listed.factors, listed.backup_codes_left) == (False, [], 0)


async def test_the_reset_goes_to_the_new_contact_and_signs_the_owner_in(
    service: Service, mailbox: Mailbox
) -> None:
    user_id = await with_every_way_in(service)
    await service.lifecycle.recover(user_id, email=NEW, **BY)
    await finish_background(service)
    await service.passwords.confirm_reset(mailbox.last(NEW).token, BETTER)
    pair = await service.logins.with_password(NEW, BETTER)
    assert pair.user_id == user_id


async def test_every_former_contact_gets_a_notice_and_no_link(service: Service, mailbox: Mailbox) -> None:
    user_id = await with_every_way_in(service)
    await finish_background(service)
    mailbox.messages.clear()
    await service.lifecycle.recover(user_id, email=NEW, **BY)
    await finish_background(service)
    sent = {(message.to, message.kind, bool(message.token)) for message in mailbox.messages}
    assert sent == {
        (EMAIL, "account_recovered", False),
        ("+15550100400", "account_recovered", False),
        (NEW, "password_reset_link", True),
    }


async def test_the_other_contact_resets_no_password_before_it_is_proved_again(
    service: Service, mailbox: Mailbox
) -> None:
    user_id = await with_every_way_in(service)
    await service.lifecycle.recover(user_id, email=NEW, **BY)
    await finish_background(service)
    mailbox.messages.clear()
    await service.passwords.request_phone_reset("+15550100400")
    await finish_background(service)
    assert mailbox.messages == []


@pytest.mark.parametrize("required", [True, False])
async def test_the_holder_of_the_other_contact_takes_the_account_in_no_way(
    make_service, mailbox: Mailbox, *, required: bool
) -> None:
    service = await make_service(passwordless="code", verification_required=required)
    user_id = await with_every_way_in(service)
    await service.lifecycle.recover(user_id, phone=NUMBER, **BY)
    await finish_background(service)
    request_id = await service.verification.request_email(EMAIL)
    flow = await service.passwordless.start(EMAIL)
    await finish_background(service)
    codes = {message.kind: message.code for message in mailbox.to(EMAIL)}
    with pytest.raises(errors.AccountProofRequired):
        await service.verification.confirm_email(
            EMAIL, codes["email_verification_code"], request_id=request_id
        )
    with pytest.raises(errors.AccountProofRequired):
        await service.passwordless.confirm_code(flow.flow_id, codes["sign_in_code"])
    mailbox.messages.clear()
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    assert mailbox.messages == []


async def test_a_number_takes_the_place_of_an_address(service: Service, mailbox: Mailbox) -> None:
    user_id = await with_every_way_in(service)
    await finish_background(service)
    mailbox.messages.clear()
    await service.lifecycle.recover(user_id, phone=NUMBER, **BY)
    await finish_background(service)
    assert {(message.to, message.kind) for message in mailbox.messages} == {
        (EMAIL, "account_recovered"),
        ("+15550100400", "account_recovered"),
        (NUMBER, "password_reset_link"),
    }
    mailbox.messages.clear()
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    assert mailbox.messages == []
    await service.passwords.request_phone_reset(NUMBER)


async def test_the_present_address_will_do(service: Service, mailbox: Mailbox) -> None:
    user_id = await with_every_way_in(service)
    await service.lifecycle.recover(user_id, email=EMAIL, **BY)
    await finish_background(service)
    assert mailbox.last(EMAIL).kind in {"password_reset_link", "account_recovered"}
    user = await service.users.get(user_id)
    assert user is not None
    assert (user.email, user.email_verified) == (EMAIL, True)


async def test_a_contact_of_another_account_is_refused_and_nothing_changes(service: Service) -> None:
    user_id = await with_every_way_in(service)
    await service.users.create(NEW, "somebody_else")
    with pytest.raises(errors.EmailInUse):
        await service.lifecycle.recover(user_id, email=NEW, **BY)
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.with_password(EMAIL, PASSWORD)
    assert await events(service, "user_recovered") == []
    assert len(await service.sessions.list_for_user(user_id)) == 1


async def test_a_recovery_names_one_contact_an_operator_and_a_reason(service: Service) -> None:
    user_id = await with_every_way_in(service)
    for contacts in ({}, {"email": NEW, "phone": NUMBER}):
        with pytest.raises(errors.Invalid):
            await service.lifecycle.recover(user_id, **contacts, **BY)
    with pytest.raises(errors.Invalid):
        await service.lifecycle.recover(user_id, email=NEW, actor=OPERATOR, reason="  ")
    with pytest.raises(errors.OwnAccount):
        await service.lifecycle.recover(user_id, email=NEW, actor=user_id.upper(), reason="mine")
    with pytest.raises(errors.UserNotFound):
        await service.lifecycle.recover(OPERATOR, email=NEW, actor=user_id, reason="gone")
    assert await events(service, "user_recovered") == []
    await service.lifecycle.recover(user_id, email=NEW, **BY)
    (event,) = await events(service, "user_recovered")
    assert (event["actor"], event["reason"], event["method"]) == (OPERATOR, "lost everything", "email")


@pytest.mark.parametrize("state", ["banned", "deleted"])
async def test_a_recovery_lifts_no_ban_and_no_deletion(service: Service, state: str) -> None:
    user_id = await with_every_way_in(service)
    if state == "banned":
        await service.lifecycle.ban(user_id)
    else:
        await service.lifecycle.soft_delete(user_id)
    with pytest.raises(errors.AccountNotActive):
        await service.lifecycle.recover(user_id, email=NEW, **BY)


async def test_a_sign_in_under_way_opens_nothing_after_a_recovery(service: Service) -> None:
    user_id = await with_every_way_in(service)
    proof = await service.passwords.prove(EMAIL, PASSWORD)
    await service.lifecycle.recover(user_id, email=NEW, **BY)
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.finish(proof, method="password_login", amr=("pwd",))


async def test_of_two_accounts_after_one_contact_one_gets_it(service: Service, mailbox: Mailbox) -> None:
    users = [(await service.users.create(f"{name}@example.test", name)).id for name in ("ada_l", "bob_m")]
    found = await asyncio.gather(
        *(service.lifecycle.recover(user, email=NEW, **BY) for user in users), return_exceptions=True
    )
    assert {type(result) for result in found} == {str, errors.EmailInUse}


async def test_roles_and_memberships_stay(service: Service) -> None:
    user_id = await with_every_way_in(service)
    await service.roles.assign(user_id, "admin")
    await service.lifecycle.recover(user_id, email=NEW, **BY)
    assert await service.roles.list_for_user(user_id) == ["admin"]
