"""Pending registrations under pressure: attackers, cancelled callers, hosts' transactions."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.signup import service as registration
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.users import finish_background

EMAIL = "ada@example.test"
PASSWORD = "correct horse battery"


async def register(service: Service, name: str, password: str, ip: str) -> str:
    started = await service.registration.register(EMAIL, name, password, client=Client(ip=ip))
    await finish_background(service)
    return started.registration_id


async def test_an_attacker_does_not_hide_a_registration_from_its_owners_login(
    service: Service, mailbox
) -> None:
    mine = await register(service, "ada_l", PASSWORD, "192.0.2.1")
    theirs = await register(service, "mallory", "the attacker's words", "198.51.100.1")
    for password, registration_id in ((PASSWORD, mine), ("the attacker's words", theirs)):
        with pytest.raises(errors.EmailNotVerified) as refused:
            await service.logins.with_password(EMAIL, password)
        assert refused.value.metadata == {"registration_id": registration_id}


async def test_the_work_of_a_login_is_bounded_however_many_register_the_address(
    service: Service, mailbox
) -> None:
    for number in range(6):
        await register(service, f"name_{number}", f"password number {number}", f"192.0.2.{number}")
    before = service.rt.hasher.computed
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.with_password(EMAIL, "none of these")
    assert service.rt.hasher.computed - before == 4


@pytest.mark.parametrize("through", ["confirm", "sign in"])
async def test_a_caller_who_hangs_up_in_the_middle_loses_nothing(
    service: Service, mailbox, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    registration_id = await register(service, "ada_l", PASSWORD, "192.0.2.1")
    code = mailbox.last(EMAIL).code
    reached, original = asyncio.Event(), registration.make_account

    async def stuck(*args: object, **kwargs: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(registration, "make_account", stuck)
    confirm = (
        service.registration.confirm_email if through == "confirm" else service.logins.with_registration_code
    )
    task = asyncio.create_task(confirm(EMAIL, code, registration_id=registration_id))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.setattr(registration, "make_account", original)
    assert await confirm(EMAIL, code, registration_id=registration_id)


async def test_registering_is_not_done_inside_a_host_transaction(service: Service, mailbox) -> None:
    async with service.transaction() as tx:
        with pytest.raises(errors.NotJoinable):
            await tx.registration.register(EMAIL, "ada_l", PASSWORD)
        with pytest.raises(errors.NotJoinable):
            await tx.passwords.hash(PASSWORD)


async def test_the_code_of_a_hosts_registration_leaves_only_after_its_commit(
    service: Service, mailbox
) -> None:
    hashed = await service.passwords.hash(PASSWORD)

    class Stop(Exception):
        pass

    with pytest.raises(Stop):
        async with service.transaction() as tx:
            await tx.registration.create_pending_email(EMAIL, "ada_l", hashed)
            await finish_background(service)
            raise Stop
    await finish_background(service)
    assert mailbox.messages == []
    async with service.transaction() as tx:
        await tx.registration.create_pending_email("eve@example.test", "eve_1", hashed)
    await finish_background(service)
    assert mailbox.last("eve@example.test").code


@pytest.mark.parametrize(
    "text",
    [
        "$argon2id$v=19$m=65536,t=1,p=1$AAAA$AAAA",
        "$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=64,t=1,p=1$!!!!$????",
    ],
)
async def test_a_hash_that_can_never_verify_is_not_taken_and_never_breaks_a_login(
    service: Service, text: str
) -> None:
    with pytest.raises(errors.InvalidPasswordHash):
        await service.registration.create_pending_email(EMAIL, "ada_l", text)
    user = await service.users.create(EMAIL, "ada_l")
    await service.passwords.store_hash(user.id, text)
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.with_password(EMAIL, PASSWORD)


async def test_a_message_that_is_waited_for_does_not_leave_inside_a_host_transaction(
    make_service, mailbox
) -> None:
    service = await make_service(private_registration=False)
    hashed = await service.passwords.hash(PASSWORD)
    async with service.transaction() as tx:
        with pytest.raises(errors.NotJoinable):
            await tx.registration.create_pending_email(EMAIL, "ada_l", hashed)
    assert mailbox.messages == []


async def test_a_name_needs_its_owner_slug_where_there_are_organizations(make_service) -> None:
    service = await make_service(org_mode="multi")
    await service.users.create("first@example.test", "ada_l")
    assert await service.registration.check_email_conflict(EMAIL, "ada__l") == (False, True)
    assert await service.registration.check_email_conflict(EMAIL, "___") == (False, False)
    with pytest.raises(errors.UsernameInUse):
        await register(service, "ada__l", PASSWORD, "192.0.2.1")
