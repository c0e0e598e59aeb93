"""The connection is killed at every statement of a confirmation: old state or new, the code stays good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller, Moment
from fakes.mail import Mailbox
from fakes.users import PASSWORD, finish_background, register, unverified_user

Confirm = Callable[[], Awaitable[object]]
Stands = Callable[[], Awaitable[bool]]
Prepare = Callable[[Service, Mailbox, int], Awaitable[tuple[Confirm, Stands]]]


async def registration_by_phone(service: Service, mailbox: Mailbox, number: int) -> tuple[Confirm, Stands]:
    phone = f"+4915{number:08d}"
    registration_id = await register(service, phone, f"ada_{number}")
    code = mailbox.last(phone).code
    return (
        lambda: service.registration.confirm_phone(phone, code, registration_id=registration_id),
        lambda: _whole_account(service, phone),
    )


async def registration_by_link(service: Service, mailbox: Mailbox, number: int) -> tuple[Confirm, Stands]:
    email = f"ada{number}@example.test"
    registration_id = await register(service, email, f"ada_{number}")
    token = mailbox.last(email).token
    return (
        lambda: service.registration.confirm_email_link(token, registration_id=registration_id),
        lambda: _whole_account(service, email),
    )


async def verification(service: Service, mailbox: Mailbox, number: int) -> tuple[Confirm, Stands]:
    email = f"ada{number}@example.test"
    user_id = await unverified_user(service, email, f"ada_{number}")
    request_id = await service.verification.request_email(email)
    await finish_background(service)
    code = mailbox.last(email).code
    return (
        lambda: service.verification.confirm_email(email, code, request_id=request_id),
        lambda: _verified(service, user_id, email),
    )


async def email_change(service: Service, mailbox: Mailbox, number: int) -> tuple[Confirm, Stands]:
    user_id = await unverified_user(service, f"ada{number}@example.test", f"ada_{number}")
    new = f"new{number}@example.test"
    await service.sessions.issue(user_id)
    await service.contact_changes.request_email(user_id, new)
    code = mailbox.last(new).code
    return (
        lambda: service.contact_changes.confirm_email(user_id, code),
        lambda: _changed(service, user_id, new),
    )


async def phone_change(service: Service, mailbox: Mailbox, number: int) -> tuple[Confirm, Stands]:
    user_id = await unverified_user(service, f"ada{number}@example.test", f"ada_{number}")
    new = f"+4915{number:08d}"
    await service.sessions.issue(user_id)
    await service.contact_changes.request_phone(user_id, new)
    code = mailbox.last(new).code
    return (
        lambda: service.contact_changes.confirm_phone(user_id, new, code),
        lambda: _changed(service, user_id, new),
    )


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "prepare", [registration_by_phone, registration_by_link, verification, email_change, phone_change]
)
async def test_a_confirmation_is_whole_or_not_at_all_and_can_be_repeated(
    make_service, mailbox: Mailbox, connection_killer: ConnectionKiller, prepare: Prepare, moment: Moment
) -> None:
    service = await make_service(contact_change_ends_sessions=True)
    number = 0
    while True:
        number += 1
        confirm, stands = await prepare(service, mailbox, number)
        answered = False
        with connection_killer.striking(moment, number):
            await confirm()
            answered = True
        stood = await stands()
        assert stood or not answered
        if not connection_killer.struck:
            break
        await confirm()
        assert await stands()
        await finish_background(service)
    assert number > 3
    for event in ("user_created", "contact_changed"):
        repeated = await service.pool.fetchval(
            "select count(*) from (select user_id from profiles.session_events where event = $1"
            " group by user_id having count(*) > 1) twice",
            event,
        )
        assert repeated == 0


async def _whole_account(service: Service, identifier: str) -> bool:
    """True if there is an account; there is no half of one."""
    users = service.users
    user = await (users.get_by_phone if identifier.startswith("+") else users.get_by_email)(identifier)
    rows = await service.pool.fetchrow(
        "select (select count(*) from profiles.users) as users,"
        " (select count(*) from profiles.user_passwords) as passwords,"
        " (select count(*) from profiles.names) as names,"
        " (select count(*) from profiles.session_events where event = 'user_created') as events"
    )
    assert len(set(rows.values())) == 1
    if user is None:
        return False
    return await service.passwords.verify(user.id, PASSWORD)


async def _verified(service: Service, user_id: str, email: str) -> bool:
    user = await service.users.get(user_id)
    assert user is not None
    assert user.email == email
    return user.email_verified


async def _changed(service: Service, user_id: str, new: str) -> bool:
    """True if the new contact is in force; then, and only then, the sessions have ended."""
    user = await service.users.get(user_id)
    assert user is not None
    changed = (
        (user.phone_number, user.phone_verified) if new.startswith("+") else (user.email, user.email_verified)
    )
    live = await service.sessions.list_for_user(user_id)
    assert (changed == (new, True)) == (live == [])
    return changed == (new, True)
