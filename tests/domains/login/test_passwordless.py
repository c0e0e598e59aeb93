"""What a code or a link opens: which account, what it takes from it, and what ends it."""

from __future__ import annotations

import dataclasses
from contextlib import suppress

import jwt
import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from fakes.factors import add_app, app_code, events, with_email_factor
from fakes.users import EMAIL, PASSWORD, PHONE, finish_background, unverified_user, verified_user
from fakes.wallets import Wallet

HOME = Client(ip="192.0.2.1", user_agent="Firefox")
DOMAIN = "app.example.test"


@pytest.fixture
def config(config):
    return dataclasses.replace(
        config, passwordless="both", code_cooldown=0.0, solana_domains=(DOMAIN,), new_device_notices=False
    )


async def begin(service, identifier=EMAIL, client=HOME, **more) -> str:
    flow = await service.passwordless.start(identifier, client=client, **more)
    await finish_background(service)
    return flow.flow_id


async def enter(service, mailbox, identifier=EMAIL, client=HOME):
    flow = await begin(service, identifier, client)
    return await service.passwordless.confirm_code(flow, mailbox.last(identifier).code, client=client)


def amr(pair) -> list[str]:
    return jwt.decode(pair.access_token, options={"verify_signature": False})["amr"]


async def with_attachments(service, user_id: str) -> None:
    """Attach what another person may have attached: a password, a wallet, an app, and a session."""
    await service.passwords.store_hash(user_id, await service.passwords.hash(PASSWORD))
    wallet = Wallet()
    challenge = await service.solana.generate_challenge(DOMAIN, wallet.address)
    await service.solana.link_wallet(user_id, wallet.sign(challenge))
    await add_app(service, user_id)
    await service.sessions.issue(user_id)


async def test_the_first_proof_of_an_address_takes_away_what_was_there_before(make_service, mailbox):
    service = await make_service(verification_required=False)
    user_id = await unverified_user(service)
    await with_attachments(service, user_id)
    pair = await enter(service, mailbox)
    user = await service.users.get(user_id)
    assert (pair.user_id, user.email_verified) == (user_id, True)
    assert [session.id for session in await service.sessions.list_for_user(user_id)] == [pair.session_id]
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.with_password(EMAIL, PASSWORD)
    (frozen,) = await events(service, "logins_frozen")
    assert '"two_factor": true' in frozen["data"]
    (removed,) = await events(service, "password_removed")
    assert (removed["user_id"], removed["reason"]) == (user_id, "contact_proved")
    await finish_background(service)
    kinds = {message.kind for message in mailbox.to(EMAIL)}
    assert {"logins_frozen", "password_removed"} <= kinds
    assert (await enter(service, mailbox)).user_id == user_id
    assert len(await events(service, "password_removed")) == 1


async def test_an_unverified_account_that_was_never_used_is_verified_and_signed_in(service, mailbox):
    user_id = await unverified_user(service)
    await service.passwords.store_hash(user_id, await service.passwords.hash(PASSWORD))
    assert (await enter(service, mailbox)).user_id == user_id
    assert (await service.users.get(user_id)).email_verified
    (event,) = await events(service, "contact_verified")
    assert (event["user_id"], event["method"], event["actor"]) == (user_id, "email", None)
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.with_password(EMAIL, PASSWORD)


@pytest.mark.parametrize("contact", [EMAIL, PHONE])
async def test_an_unverified_contact_of_an_account_in_use_opens_nothing(service, mailbox, contact):
    user_id = await unverified_user(service, phone=PHONE)
    opened = await service.sessions.issue(user_id)
    flow = await begin(service, contact)
    with pytest.raises(errors.AccountProofRequired):
        await service.passwordless.confirm_code(flow, mailbox.last(contact).code)
    user = await service.users.get(user_id)
    assert (user.email_verified, user.phone_verified) == (False, False)
    assert [session.id for session in await service.sessions.list_for_user(user_id)] == [opened.session_id]


async def test_an_unverified_address_restores_and_erases_no_deleted_account(service, mailbox):
    user_id = await verified_user(service, mailbox)
    await service.users.set_email_verified(user_id, False)
    await service.lifecycle.soft_delete(user_id, actor=user_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await enter(service, mailbox)
    await service.users.set_email_verified(user_id, True)
    with pytest.raises(errors.UserDeleted) as refused:
        await enter(service, mailbox)
    await service.deleted_accounts.restore_by_token(str(refused.value.metadata["restore_token"]))
    assert (await enter(service, mailbox)).user_id == user_id


async def test_a_verified_contact_changes_nothing_about_the_account(service, mailbox):
    user_id = await verified_user(service, mailbox)
    opened = await service.sessions.issue(user_id)
    pair = await enter(service, mailbox)
    live = {session.id for session in await service.sessions.list_for_user(user_id)}
    assert live == {opened.session_id, pair.session_id}
    assert (await service.logins.with_password(EMAIL, PASSWORD)).user_id == user_id
    assert await events(service, "logins_frozen") == []


async def reset(service, mailbox) -> None:
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    await service.passwords.confirm_reset(mailbox.last(EMAIL).token, PASSWORD)


async def test_an_operators_word_on_an_address_leaves_its_second_factor(service, mailbox):
    user_id = await unverified_user(service)
    await service.users.set_email_verified(user_id, True)
    secret, _ = await add_app(service, user_id)
    with pytest.raises(errors.TwoFactorRequired) as required:
        await enter(service, mailbox)
    challenge = str(required.value.metadata["challenge"])
    pair = await service.logins.complete_two_factor(user_id, challenge, app_code(secret))
    assert amr(pair) == ["otp", "mfa"]
    # The owner has proved both: a reader of the mailbox alone makes no first proof of it any more.
    await reset(service, mailbox)
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.with_password(EMAIL, PASSWORD)


@pytest.mark.parametrize("exempt", [(), ("passwordless_login",)])
async def test_an_operators_word_on_an_address_is_no_proof_by_its_owner(make_service, mailbox, exempt):
    service = await make_service(verification_required=False, two_factor_exempt_methods=exempt)
    user_id = await unverified_user(service)
    await service.passwords.store_hash(user_id, await service.passwords.hash(PASSWORD))
    await (add_app(service, user_id) if exempt else service.sessions.issue(user_id))
    await service.users.set_email_verified(user_id, True)
    pair = await enter(service, mailbox)
    assert [session.id for session in await service.sessions.list_for_user(user_id)] == [pair.session_id]
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.with_password(EMAIL, PASSWORD)
    await add_app(service, user_id)
    await reset(service, mailbox)
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.with_password(EMAIL, PASSWORD)


async def test_a_code_that_the_user_reads_in_a_session_is_a_proof_of_the_address(service, mailbox):
    user_id = await unverified_user(service)
    await service.users.set_email_verified(user_id, True)
    await service.two_factor.send_email_setup_code(user_id)
    await service.two_factor.enable(user_id, "email", code=mailbox.last(EMAIL).code)
    await reset(service, mailbox)
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.with_password(EMAIL, PASSWORD)


# --- accounts that are made, or change, while the code is on its way --------------------------------------


@pytest.fixture
async def open_service(make_service):
    return await make_service(passwordless_registration=True)


async def test_an_account_that_was_made_meanwhile_is_its_owners_as_well(open_service, mailbox):
    flow = await begin(open_service)
    code = mailbox.last(EMAIL).code
    user_id = await verified_user(open_service, mailbox)
    pair = await open_service.passwordless.confirm_code(flow, code)
    assert (pair.user_id, pair.created) == (user_id, False)


async def test_an_account_that_changed_since_it_was_made_meanwhile_is_closed(open_service, mailbox):
    flow = await begin(open_service)
    code = mailbox.last(EMAIL).code
    user_id = await verified_user(open_service, mailbox)
    await open_service.sessions.revoke_all(user_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await open_service.passwordless.confirm_code(flow, code)


async def test_an_account_that_another_person_made_meanwhile_loses_its_password(make_service, mailbox):
    service = await make_service(passwordless_registration=True, verification_required=False)
    flow = await begin(service)
    code = mailbox.last(EMAIL).code
    await service.registration.register(EMAIL, "attacker", PASSWORD)
    attacker = await service.logins.with_password(EMAIL, PASSWORD)
    pair = await service.passwordless.confirm_code(flow, code)
    assert (pair.user_id, pair.created) == (attacker.user_id, False)
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.with_password(EMAIL, PASSWORD)
    with pytest.raises(errors.SessionEnded):
        await service.sessions.authenticate(attacker.user_id, attacker.session_id)


async def test_a_number_outside_of_the_countries_gets_no_code(make_service, mailbox):
    service = await make_service(passwordless_registration=True, sms_countries=("1",))
    with pytest.raises(errors.InvalidPhoneNumber):
        await begin(service, PHONE)
    flow = await begin(service, "+15550100200")
    pair = await service.passwordless.confirm_code(flow, mailbox.last("+15550100200").code)
    user = await service.users.get(pair.user_id)
    assert (pair.created, user.phone_verified, user.email) == (True, True, None)
    assert "5550100200" not in user.username


@pytest.mark.parametrize("change", ["everywhere", "password", "ban", "address", "deletion"])
async def test_a_change_of_the_account_ends_the_flow(service, mailbox, change):
    user_id = await verified_user(service, mailbox)
    flow = await begin(service)
    mail = mailbox.last(EMAIL)
    if change == "everywhere":
        await service.sessions.revoke_all(user_id)
    elif change == "password":
        await service.passwords.change(user_id, PASSWORD, "another staple, longer")
    elif change == "ban":
        await service.lifecycle.ban(user_id, actor=None)
        await service.lifecycle.unban(user_id, actor=None)
    elif change == "address":
        await service.users.update_email(user_id, "new@example.test")
    else:
        await service.lifecycle.hard_delete(user_id, actor=None)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwordless.confirm_link(mail.token, flow_ids=[flow])
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.passwordless.confirm_code(flow, mail.code)


# --- second factors ---------------------------------------------------------------------------------------


async def test_a_second_code_to_the_same_address_is_no_second_factor(service, mailbox):
    user_id, backup = await with_email_factor(service, mailbox)
    with pytest.raises(errors.TwoFactorRequired) as required:
        await enter(service, mailbox)
    challenge = str(required.value.metadata["challenge"])
    pair = await service.logins.complete_two_factor(user_id, challenge, mailbox.last(EMAIL).code)
    assert amr(pair) == ["otp"]
    with pytest.raises(errors.TwoFactorRequired) as required:
        await enter(service, mailbox)
    challenge = str(required.value.metadata["challenge"])
    pair = await service.logins.complete_two_factor(user_id, challenge, backup[0], is_backup=True)
    assert amr(pair) == ["otp", "mfa"]


async def test_a_mailbox_alone_has_no_role_that_requires_a_second_factor(make_service, mailbox):
    service = await make_service(two_factor_required_roles=("admin",))
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    await service.roles.assign(user_id, "admin")

    async def roles(pair) -> list[tuple[str, ...]]:
        found = await service.sessions.authenticate(user_id, pair.session_id)
        return [(await service.tokens.verify(pair.access_token)).roles, tuple(found.roles)]

    async def complete(challenge: str, code: str):
        return await service.logins.complete_two_factor(user_id, challenge, code, client=HOME)

    with pytest.raises(errors.TwoFactorRequired) as waits:
        await enter(service, mailbox)
    pair = await complete(waits.value.metadata["challenge"], mailbox.last(EMAIL).code)
    assert (amr(pair), await roles(pair)) == (["otp"], [(), ()])
    pair = await service.sessions.exchange(pair.refresh_token)
    assert await roles(pair) == [(), ()]

    with pytest.raises(errors.TwoFactorRequired) as waits:
        await service.logins.with_password(EMAIL, PASSWORD, client=HOME)
    pair = await complete(waits.value.metadata["challenge"], mailbox.last(EMAIL).code)
    assert await roles(pair) == [("admin",)] * 2


async def test_a_factor_that_was_added_in_the_session_of_a_code_counts_in_it(make_service, mailbox):
    service = await make_service(two_factor_required_roles=("admin",))
    user_id = await verified_user(service, mailbox)
    await service.roles.assign(user_id, "admin")
    pair = await enter(service, mailbox)
    await add_app(service, user_id, keep=pair.session_id)
    pair = await service.sessions.exchange(pair.refresh_token)
    assert (amr(pair), (await service.tokens.verify(pair.access_token)).roles) == (["otp"], ("admin",))


async def test_a_user_with_another_factor_is_asked_for_that_one(service, mailbox):
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    await add_app(service, user_id)
    listed = await service.second_factors.list_for_user(user_id)
    (address,) = [one for one in listed.factors if one.kind == "email"]
    assert address.default
    with pytest.raises(errors.TwoFactorRequired) as required:
        await enter(service, mailbox)
    metadata = required.value.metadata
    assert (metadata["method"], [one["kind"] for one in metadata["methods"]]) == ("totp", ["totp"])
    with pytest.raises(errors.TwoFactorMethodUnavailable):
        await service.second_factors.select(user_id, str(metadata["challenge"]), address.id)
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD)
    assert required.value.metadata["method"] == "email"


# --- ways in ----------------------------------------------------------------------------------------------


async def test_a_login_may_be_unlinked_where_a_message_signs_in(service, make_service, mailbox):
    user = await service.users.add(email=EMAIL, username="ada_l", verified=True)
    wallet = Wallet()
    challenge = await service.solana.generate_challenge(DOMAIN, wallet.address)
    await service.solana.link_wallet(user.id, wallet.sign(challenge))
    without = await make_service(passwordless="off")
    with pytest.raises(errors.CannotUnlinkLastLoginMethod):
        await without.providers.unlink(user.id, "solana")
    assert await service.providers.unlink(user.id, "solana")
    assert (await enter(service, mailbox)).user_id == user.id


async def test_the_explanation_of_a_user_knows_of_messages(service, make_service):
    user_id = await unverified_user(service, phone=PHONE)
    for mode, can in (("off", False), ("code", True), ("link", True)):
        other = await make_service(passwordless=mode)
        assert (await other.admin.explain_user(user_id)).can_sign_in is can


async def test_an_account_without_a_password_needs_a_way_in(make_service):
    for more in ({"passwordless": "off"}, {"passwordless": "link"}):
        service = await make_service(**more)
        with pytest.raises(errors.Invalid, match="password"):
            await service.registration.register(PHONE, "ada_l", None)


# --- purposes, spellings, outages, senders ----------------------------------------------------------------


async def test_codes_of_other_purposes_and_flows_do_not_fit(service, mailbox, clock):
    user_id = await unverified_user(service)
    request_id = await service.verification.request_email(EMAIL)
    await finish_background(service)
    other = mailbox.last(EMAIL)
    flow = await begin(service)
    mail = mailbox.last(EMAIL)
    for shown, code in ((request_id, other.code), (request_id, mail.code), ("", mail.code)):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.passwordless.confirm_code(shown, code)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwordless.confirm_link(other.token, flow_ids=[request_id, flow])
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.verification.confirm_email(EMAIL, mail.code, request_id=flow)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.verification.confirm_email_link(mail.token)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwords.confirm_reset(mail.token, "another staple, longer")
    clock.advance(601)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.passwordless.confirm_code(flow, mail.code)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwordless.confirm_link(mail.token, flow_ids=[flow])
    assert await service.sessions.list_for_user(user_id) == []


async def test_every_spelling_of_an_address_is_one_target(service, mailbox):
    user = await service.users.add(email="ada@b\xfccher.example", username="ada_l", verified=True)
    target = "ada@xn--bcher-kva.example"
    for spelled in ("ADA@B\xdcCHER.example", target, "ada@bu\N{COMBINING DIAERESIS}cher.example"):
        flow = await begin(service, spelled)
        pair = await service.passwordless.confirm_code(flow, mailbox.last(target).code)
        assert pair.user_id == user.id


async def test_a_store_that_is_down_is_said_and_nothing_is_taken_for_absent(make_service, mailbox, own_redis):
    service = await make_service(redis_url=own_redis.url)
    await verified_user(service, mailbox)
    flow = await begin(service)
    mail = mailbox.last(EMAIL)
    own_redis.stop()
    for call in (
        lambda: service.passwordless.start(EMAIL),
        lambda: service.passwordless.start("unknown@example.test"),
        lambda: service.passwordless.confirm_code(flow, mail.code),
        lambda: service.passwordless.confirm_link(mail.token, flow_ids=[flow]),
    ):
        with pytest.raises(errors.EphemeralStoreUnavailable):
            await call()


@pytest.mark.parametrize("by", ["code", "link"])
async def test_a_store_that_fails_at_any_step_leaves_the_message_good_or_used(
    service, mailbox, monkeypatch, by
):
    user_id = await verified_user(service, mailbox)
    store, step = type(service.rt.ephemeral), 0
    while True:
        step += 1
        flow = await begin(service, client=Client(ip=f"192.0.2.{step}"))
        mail = mailbox.last(EMAIL)
        left = [step]

        def failing(name, left=left):
            real = getattr(store, name)

            async def call(self, *args, **more):
                left[0] -= 1
                if left[0] == 0:
                    raise errors.EphemeralStoreUnavailable
                return await real(self, *args, **more)

            return call

        async def confirm(flow=flow, mail=mail):
            if by == "code":
                return await service.passwordless.confirm_code(flow, mail.code)
            return await service.passwordless.confirm_link(mail.token, flow_ids=[flow])

        with monkeypatch.context() as patch:
            for name in ("get", "set", "delete", "take_if", "incr"):
                patch.setattr(store, name, failing(name))
            pair = None
            with suppress(errors.EphemeralStoreUnavailable):
                pair = await confirm()
        if pair is None:
            assert await service.sessions.list_for_user(user_id) == []
            pair = await confirm()
        assert [one.id for one in await service.sessions.list_for_user(user_id)] == [pair.session_id]
        await service.sessions.revoke(pair.session_id)
        if left[0] > 0:
            break
    assert step > 4


async def test_a_sender_without_links_is_refused_where_links_are_on(make_service, mailbox):
    class Codes:
        send_password_reset_code = mailbox.send_password_reset_code
        send_email_verification_code = mailbox.send_email_verification_code
        send_login_code = mailbox.send_login_code
        send_welcome = mailbox.send_welcome

    for mode in ("link", "both"):
        with pytest.raises(errors.ConfigError, match="set link_base_url"):
            await make_service(passwordless=mode, email_sender=Codes())
    service = await make_service(passwordless="code", email_sender=Codes())
    await unverified_user(service)
    await begin(service)
    assert mailbox.last(EMAIL).kind == "login_code"
