"""Changing the email address or the phone number of an account."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.factors import with_email_factor
from fakes.users import EMAIL, PHONE, finish_background, unverified_user, verified_user

NEW, NEW_PHONE = "new@example.test", "+4915199999999"


@dataclasses.dataclass(frozen=True)
class Change:
    """The calls of one kind of change, so that both are held to the same."""

    service: Service
    kind: str
    old: str
    new: str
    other: str

    async def request(self, user_id: str, to: str, **more: Any) -> None:
        request = getattr(self.service.contact_changes, f"request_{self.kind}")
        await request(user_id, to, **more)
        await finish_background(self.service)

    async def confirm(self, user_id: str, to: str, code: str, **more: Any) -> None:
        if self.kind == "email":
            await self.service.contact_changes.confirm_email(user_id, code, **more)
        else:
            await self.service.contact_changes.confirm_phone(user_id, to, code, **more)
        await finish_background(self.service)

    async def resend(self, user_id: str) -> None:
        if self.kind == "email":
            await self.service.contact_changes.resend_email(user_id)
        else:
            await self.service.contact_changes.resend_phone(user_id, self.new)
        await finish_background(self.service)

    async def cancel(self, user_id: str) -> None:
        await getattr(self.service.contact_changes, f"cancel_{self.kind}")(user_id)

    async def pending(self, user_id: str) -> str | None:
        return await getattr(self.service.contact_changes, f"get_pending_{self.kind}")(user_id)

    async def contact(self, user_id: str) -> tuple[str | None, bool]:
        user = await self.service.users.get(user_id)
        assert user is not None
        if self.kind == "email":
            return user.email, user.email_verified
        return user.phone_number, user.phone_verified

    def error(self, name: str) -> type[errors.AuthError]:
        return getattr(errors, name.replace("X", self.kind.title()))


@pytest.fixture(params=["email", "phone"])
async def change(request: pytest.FixtureRequest, service: Service) -> Change:
    if request.param == "email":
        return Change(service, "email", EMAIL, NEW, "other@example.test")
    return Change(service, "phone", PHONE, NEW_PHONE, "+4915188888888")


async def test_the_old_contact_stays_in_force_until_the_new_one_is_proved(change: Change, mailbox) -> None:
    user_id = await verified_user(change.service, mailbox, change.old)
    await change.request(user_id, f" {change.new.upper()} ")
    assert await change.contact(user_id) == (change.old, True)
    assert await change.pending(user_id) == change.new
    await change.confirm(user_id, change.new, mailbox.last(change.new).code)
    assert await change.contact(user_id) == (change.new, True)
    assert await change.pending(user_id) is None
    events = await change.service.pool.fetch(
        "select event, method from profiles.session_events where event like 'contact%' order by id"
    )
    assert [tuple(row) for row in events] == [
        ("contact_change_requested", change.kind),
        ("contact_changed", change.kind),
    ]


async def test_a_requested_number_is_nobodys_until_it_is_proved(change: Change, mailbox) -> None:
    user_id = await verified_user(change.service, mailbox, change.old)
    await change.request(user_id, change.new)
    owner = await verified_user(change.service, mailbox, change.new, "owner")
    with pytest.raises(change.error("XInUse")):
        await change.confirm(user_id, change.new, mailbox.to(change.new)[0].code)
    assert await change.contact(user_id) == (change.old, True)
    assert await change.contact(owner) == (change.new, True)


async def test_a_code_is_its_users_alone_and_works_once(change: Change, mailbox) -> None:
    user_id = await verified_user(change.service, mailbox, change.old)
    thief = await unverified_user(change.service, "thief@example.test", "thief")
    await change.request(user_id, change.new)
    code = mailbox.last(change.new).code
    for wrong in (thief, "no id", ""):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await change.confirm(wrong, change.new, code)
    await change.confirm(user_id, change.new, code)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await change.confirm(user_id, change.new, code)


async def test_there_is_one_change_per_user_and_the_newest_counts(change: Change, mailbox) -> None:
    user_id = await verified_user(change.service, mailbox, change.old)
    await change.request(user_id, change.new)
    early = mailbox.last(change.new).code
    await change.request(user_id, change.other)
    assert await change.pending(user_id) == change.other
    with pytest.raises(errors.InvalidOrExpiredCode):
        await change.confirm(user_id, change.new, early)
    await change.confirm(user_id, change.other, mailbox.last(change.other).code)
    assert await change.contact(user_id) == (change.other, True)


async def test_the_sixth_guess_fails_even_when_it_is_right(change: Change, mailbox) -> None:
    user_id = await verified_user(change.service, mailbox, change.old)
    await change.request(user_id, change.new)
    code = mailbox.last(change.new).code
    for guess in range(5):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await change.confirm(user_id, change.new, f"{(int(code) + guess + 1) % 1_000_000:06d}")
    with pytest.raises(errors.InvalidOrExpiredCode):
        await change.confirm(user_id, change.new, code)


async def test_a_resend_replaces_the_code(change: Change, mailbox, clock) -> None:
    user_id = await verified_user(change.service, mailbox, change.old)
    with pytest.raises(change.error("NoPendingXChange")):
        await change.resend(user_id)
    await change.request(user_id, change.new)
    early = mailbox.last(change.new).code
    with pytest.raises(errors.TooManyRequests):
        await change.resend(user_id)
    clock.advance(change.service.config.code_cooldown)
    await change.resend(user_id)
    late = mailbox.last(change.new).code
    for code in {early} - {late}:
        with pytest.raises(errors.InvalidOrExpiredCode):
            await change.confirm(user_id, change.new, code)
    await change.confirm(user_id, change.new, late)


async def test_a_resend_is_for_the_number_that_is_pending(service: Service, mailbox) -> None:
    user_id = await verified_user(service, mailbox, PHONE)
    await service.contact_changes.request_phone(user_id, NEW_PHONE)
    for wrong in ("+4915188888888", "no number"):
        with pytest.raises(errors.NoPendingPhoneChange):
            await service.contact_changes.resend_phone(user_id, wrong)
    with pytest.raises(errors.InvalidOrExpiredCode):
        code = mailbox.last(NEW_PHONE).code
        await service.contact_changes.confirm_phone(user_id, "+4915188888888", code)


async def test_a_cancelled_change_is_gone(change: Change, mailbox) -> None:
    user_id = await verified_user(change.service, mailbox, change.old)
    await change.cancel(user_id)
    await change.request(user_id, change.new)
    await change.cancel(user_id)
    await change.cancel("no id")
    assert await change.pending(user_id) is None
    with pytest.raises(errors.InvalidOrExpiredCode):
        await change.confirm(user_id, change.new, mailbox.last(change.new).code)


async def test_what_changed_since_ends_the_change(change: Change, mailbox) -> None:
    service = change.service

    async def signed_out_everywhere(user_id: str) -> None:
        await service.sessions.revoke_all(user_id)

    async def banned(user_id: str) -> None:
        await service.lifecycle.ban(user_id)

    for number, step in enumerate((signed_out_everywhere, banned)):
        old = f"ada{number}@example.test" if change.kind == "email" else f"+491517777777{number}"
        user_id = await verified_user(service, mailbox, old, f"ada_{number}")
        target = f"new{number}@example.test" if change.kind == "email" else f"+491516666666{number}"
        await change.request(user_id, target)
        await step(user_id)
        with pytest.raises(errors.InvalidOrExpiredCode):
            await change.confirm(user_id, target, mailbox.last(target).code)
        assert await change.contact(user_id) == (old, True)


async def test_an_address_moved_by_an_operator_ends_the_change_unless_it_is_the_same(
    service: Service, mailbox
) -> None:
    user_id = await verified_user(service, mailbox)
    await service.contact_changes.request_email(user_id, NEW)
    code = mailbox.last(NEW).code
    await service.users.update_email(user_id, "third@example.test")
    assert await service.contact_changes.get_pending_email(user_id) is None
    with pytest.raises(errors.NoPendingEmailChange):
        await service.contact_changes.resend_email(user_id)
    await service.users.update_email(user_id, NEW)
    await service.contact_changes.confirm_email(user_id, code)
    user = await service.users.get(user_id)
    assert user is not None
    assert (user.email, user.email_verified) == (NEW, True)


async def test_verify_and_change_do_not_disturb_each_other(service: Service, mailbox) -> None:
    user_id = await unverified_user(service, phone=PHONE)
    await service.contact_changes.request_email(user_id, NEW)
    request_id = await service.verification.request_email(EMAIL)
    number = await service.verification.request_phone(PHONE)
    await service.contact_changes.request_phone(user_id, NEW_PHONE)
    await finish_background(service)
    codes = {message.to: message.code for message in mailbox.messages if message.code}
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.verification.confirm_email(NEW, codes[NEW], request_id=user_id)
    await service.verification.confirm_email(EMAIL, codes[EMAIL], request_id=request_id)
    # The proved address has an owner, who alone verifies the number.
    with pytest.raises(errors.AccountProofRequired):
        await service.verification.confirm_phone(PHONE, codes[PHONE], request_id=number)
    await service.verification.confirm_phone(PHONE, codes[PHONE], request_id=number, user_id=user_id)
    await service.contact_changes.confirm_email(user_id, codes[NEW])
    await service.contact_changes.confirm_phone(user_id, NEW_PHONE, codes[NEW_PHONE])
    user = await service.users.get(user_id)
    assert user is not None
    assert (user.email, user.phone_number) == (NEW, NEW_PHONE)
    assert user.email_verified
    assert user.phone_verified


async def test_the_old_address_hears_of_the_request_and_of_the_change(service: Service, mailbox) -> None:
    user_id = await verified_user(service, mailbox)
    mailbox.messages.clear()
    await service.contact_changes.request_email(user_id, NEW)
    await finish_background(service)
    assert [mail.kind for mail in mailbox.to(EMAIL)] == ["email_change_requested"]
    await service.contact_changes.confirm_email(user_id, mailbox.last(NEW).code)
    await service.contact_changes.request_phone(user_id, NEW_PHONE)
    await finish_background(service)
    await service.contact_changes.confirm_phone(user_id, NEW_PHONE, mailbox.last(NEW_PHONE).code)
    await finish_background(service)
    assert [mail.kind for mail in mailbox.to(EMAIL)] == ["email_change_requested", "email_changed"]
    told = [mail.kind for mail in mailbox.to(NEW)]
    assert told == ["email_verification_code", "phone_change_requested", "phone_changed"]
    assert all(mail.username == "ada_l" for mail in mailbox.messages if mail.channel == "email")


async def test_a_user_whose_sign_in_codes_move_with_the_address_gets_a_notice(
    service: Service, mailbox
) -> None:
    user_id, _ = await with_email_factor(service, mailbox)
    await service.contact_changes.request_email(user_id, NEW)
    await service.contact_changes.confirm_email(user_id, mailbox.last(NEW).code)
    await finish_background(service)
    assert mailbox.last(NEW).kind == "two_factor_email_changed"


async def test_sessions_stay_unless_the_configuration_says_otherwise(make_service, mailbox) -> None:
    for ends, left in ((False, 2), (True, 1)):
        service = await make_service(contact_change_ends_sessions=ends, code_cooldown=0.0)
        email, new = f"ada{left}@example.test", f"new{left}@example.test"
        user_id = await verified_user(service, mailbox, email, f"ada_{left}")
        kept = await service.sessions.issue(user_id)
        await service.sessions.issue(user_id)
        await service.contact_changes.request_email(user_id, new)
        code = mailbox.last(new).code
        await service.contact_changes.confirm_email(user_id, code, keep_session_id=kept.session_id)
        live = await service.sessions.list_for_user(user_id)
        assert len(live) == left
        assert kept.session_id in {session.id for session in live}


async def test_refusals_of_a_request(change: Change, mailbox) -> None:
    user_id = await verified_user(change.service, mailbox, change.old)
    await verified_user(change.service, mailbox, change.other, "other_1")
    for target, error in (
        (change.old, "XUnchanged"),
        (change.other, "XInUse"),
    ):
        with pytest.raises(change.error(error)):
            await change.request(user_id, target)
    with pytest.raises(errors.Invalid):
        await change.request(user_id, "neither\r\nbcc: x@example.test")
    for unknown in ("no id", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(errors.UserNotFound):
            await change.request(unknown, change.new)
        with pytest.raises(errors.UserNotFound):
            await change.pending(unknown)
    await change.service.lifecycle.ban(user_id)
    with pytest.raises(errors.UserBanned):
        await change.request(user_id, change.new)


async def test_looking_for_taken_addresses_is_limited(service: Service, mailbox) -> None:
    user_id = await verified_user(service, mailbox)
    await unverified_user(service, "taken@example.test", "taken")
    for _ in range(service.config.max_codes_per_hour):
        with pytest.raises(errors.EmailInUse):
            await service.contact_changes.request_email(user_id, "taken@example.test")
    with pytest.raises(errors.TooManyRequests):
        await service.contact_changes.request_email(user_id, "taken@example.test")


async def test_an_address_cannot_be_flooded_from_many_accounts(service: Service, mailbox) -> None:
    for number in range(8):
        user_id = await unverified_user(service, f"ada{number}@example.test", f"ada_{number}")
        client = Client(ip="192.0.2.1")
        if number == 0:
            await service.contact_changes.request_email(user_id, NEW, client=client)
            continue
        with pytest.raises(errors.TooManyRequests):
            await service.contact_changes.request_email(user_id, NEW, client=client)
    assert len(mailbox.to(NEW)) == 1


async def test_a_failed_message_is_an_error_and_the_change_can_be_sent_again(
    change: Change, mailbox, clock
) -> None:
    user_id = await verified_user(change.service, mailbox, change.old)
    mailbox.failure = RuntimeError("down")
    failed = errors.EmailDeliveryFailed if change.kind == "email" else errors.SmsDeliveryFailed
    with pytest.raises(failed):
        await change.request(user_id, change.new)
    mailbox.failure = None
    clock.advance(change.service.config.code_cooldown)
    await change.resend(user_id)
    await change.confirm(user_id, change.new, mailbox.last(change.new).code)
    assert await change.contact(user_id) == (change.new, True)


async def test_without_a_sender_it_says_so_first(make_service) -> None:
    service = await make_service(email_sender=None, sms_sender=None)
    for call in (service.contact_changes.request_email("x", "y"), service.contact_changes.resend_email("x")):
        with pytest.raises(errors.EmailUnavailable):
            await call
    for call in (
        service.contact_changes.request_phone("x", "y"),
        service.contact_changes.resend_phone("x", "y"),
    ):
        with pytest.raises(errors.SmsUnavailable):
            await call


async def test_nothing_of_it_joins_a_host_transaction(service: Service) -> None:
    async with service.transaction() as tx:
        for refused in (
            tx.contact_changes.request_email("x", NEW),
            tx.contact_changes.resend_email("x"),
            tx.contact_changes.confirm_email("x", "123456"),
            tx.contact_changes.confirm_phone("x", NEW_PHONE, "123456"),
        ):
            with pytest.raises(errors.NotJoinable):
                await refused
