"""Devices that remember the second factor: for how long, for whom, and until they are forgotten."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.base.devices import RememberedDevice
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.factors import EMAIL, PASSWORD, events, new_user, with_email_factor
from fakes.users import finish_background

BOB = "bob@example.test"
HOME = Client(ip="192.0.2.1", user_agent="Firefox")


async def prove_factor(service: Service, mailbox: Any, client: Client, *, remember: bool = True) -> Client:
    """Sign in with password and code; returns the client with what it was given."""
    with pytest.raises(errors.TwoFactorRequired) as asked:
        await service.logins.with_password(EMAIL, PASSWORD, client=client)
    await finish_background(service)
    facts = asked.value.metadata
    pair = await service.logins.complete_two_factor(
        str(facts["user_id"]),
        str(facts["challenge"]),
        mailbox.last(EMAIL).code,
        remember_device=remember,
        client=client,
    )
    return dataclasses.replace(client, device=pair.device)


async def is_asked(service: Service, client: Client, password: str = PASSWORD) -> bool:
    try:
        await service.logins.with_password(EMAIL, password, client=client)
    except errors.TwoFactorRequired:
        return True
    return False


async def test_a_factor_is_remembered_on_the_device_and_for_the_time_it_was_wished_for(
    make_service, mailbox, clock
) -> None:
    service = await make_service(two_factor_remember=1000.0, code_cooldown=0.0, max_codes_per_hour=99)
    ada, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    plain = await prove_factor(service, mailbox, HOME, remember=False)
    assert await is_asked(service, plain)
    known = await prove_factor(service, mailbox, plain)
    assert await is_asked(service, HOME)
    pair = await service.logins.with_password(EMAIL, PASSWORD, client=known)
    claims = await service.tokens.verify(pair.access_token)
    assert claims.amr == ("pwd",)
    (event, *_) = await service.events.list_session_events(ada, "session_created")
    assert event.data == {"factor_remembered": True}
    # The sign-in in between made it no longer.
    clock.advance(999)
    renewed = dataclasses.replace(known, device=pair.device)
    assert not await is_asked(service, renewed)
    assert await service.passwords.login(EMAIL, PASSWORD, client=renewed)
    clock.advance(1)
    assert await is_asked(service, renewed)
    assert await is_asked(service, known)


async def test_a_remembered_factor_ends_with_what_the_account_was(make_service, mailbox) -> None:
    service = await make_service(two_factor_remember=1000.0, code_cooldown=0.0, max_codes_per_hour=99)
    ada, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    known = await prove_factor(service, mailbox, HOME)
    await service.sessions.revoke_all(ada)
    assert await is_asked(service, known)
    known = await prove_factor(service, mailbox, HOME)
    await service.two_factor.disable(ada)
    await service.two_factor.send_email_setup_code(ada)
    await service.two_factor.enable(ada, "email", code=mailbox.last(EMAIL).code)
    assert await is_asked(service, known)
    known = await prove_factor(service, mailbox, HOME)
    await service.passwords.admin_set(ada, "another fine horse")
    assert await is_asked(service, known, "another fine horse")


async def test_a_remembered_factor_ends_when_its_codes_go_elsewhere(make_service, mailbox) -> None:
    service = await make_service(two_factor_remember=1000.0, code_cooldown=0.0, max_codes_per_hour=99)
    ada, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    known = await prove_factor(service, mailbox, HOME)
    await service.contact_changes.request_email(ada, "new@example.test")
    await service.contact_changes.confirm_email(ada, mailbox.last("new@example.test").code)
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.with_password("new@example.test", PASSWORD, client=known)


async def test_a_remembered_factor_ends_when_an_operator_sends_its_codes_elsewhere(
    make_service, mailbox
) -> None:
    service = await make_service(two_factor_remember=1000.0, code_cooldown=0.0, max_codes_per_hour=99)
    ada, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    known = await prove_factor(service, mailbox, HOME)
    await service.users.update_email(ada, "new@example.test")
    await service.users.set_email_verified(ada, True)
    await finish_background(service)
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.with_password("new@example.test", PASSWORD, client=known)
    assert "two_factor_email_changed" in [mail.kind for mail in mailbox.to("new@example.test")]


async def test_a_factor_is_remembered_only_where_that_is_allowed_and_for_its_own_account(
    make_service, mailbox
) -> None:
    usual = await make_service(code_cooldown=0.0, max_codes_per_hour=99)
    await with_email_factor(usual, mailbox, password=PASSWORD)
    wished = await prove_factor(usual, mailbox, HOME)
    assert await is_asked(usual, wished)
    allowing = await make_service(two_factor_remember=1000.0, code_cooldown=0.0, max_codes_per_hour=99)
    known = await prove_factor(allowing, mailbox, HOME)
    assert not await is_asked(allowing, known)
    assert await is_asked(usual, known)
    bob = await new_user(allowing, BOB, password=PASSWORD)
    await allowing.two_factor.send_email_setup_code(bob)
    await allowing.two_factor.enable(bob, "email", code=mailbox.last(BOB).code)
    with pytest.raises(errors.TwoFactorRequired):
        await allowing.logins.with_password(BOB, PASSWORD, client=known)


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def remembering(make_service, mailbox) -> tuple[Service, str]:
    service = await make_service(two_factor_remember=1000.0, code_cooldown=0.0, max_codes_per_hour=99)
    return service, (await with_email_factor(service, mailbox, password=PASSWORD))[0]


async def remembered(service: Service, user_id: str) -> list[RememberedDevice]:
    return (await service.second_factors.list_for_user(user_id)).devices


async def test_a_user_sees_the_devices_that_remember_the_factor(make_service, mailbox, age) -> None:
    service, ada = await remembering(make_service, mailbox)
    await prove_factor(service, mailbox, HOME, remember=False)
    assert await remembered(service, ada) == []
    known = await prove_factor(service, mailbox, Client(ip="2001:db8::7", user_agent=FIREFOX))
    (first,) = await remembered(service, ada)
    assert (first.browser, first.network) == ("Firefox", "2001:db8::/64")
    await age("remembered_devices", first.id, created_at=100, last_used_at=100)
    pair = await service.logins.with_password(
        EMAIL, PASSWORD, client=dataclasses.replace(known, ip="192.0.2.9")
    )
    (used,) = await remembered(service, ada)
    assert (used.id, used.network) == (first.id, "192.0.2.9")
    assert (used.last_used_at - used.created_at).total_seconds() >= 99
    (exported,) = (await service.users.export(ada))["remembered_devices"]
    assert set(exported) == {"id", "browser", "network", "created_at", "last_used_at"}
    await prove_factor(service, mailbox, HOME)
    devices = await remembered(service, ada)
    assert len(devices) == 2
    assert devices[1].id == first.id
    assert str(pair.device) not in str(await service.pool.fetch("select * from profiles.remembered_devices"))
    await age("remembered_devices", first.id, created_at=1001)
    assert [device.id for device in await remembered(service, ada)] == [devices[0].id]
    assert await service.devices.purge() == 1


async def test_one_device_is_forgotten_and_the_others_remember(make_service, mailbox) -> None:
    service, ada = await remembering(make_service, mailbox)
    at_home = await prove_factor(service, mailbox, HOME)
    (home,) = await remembered(service, ada)
    at_work = await prove_factor(service, mailbox, Client(ip="192.0.2.9"))
    await service.second_factors.forget_device(ada, home.id)
    assert await is_asked(service, at_home)
    assert not await is_asked(service, at_work)
    assert len(await remembered(service, ada)) == 1
    (event,) = await events(service, "devices_forgotten")
    assert (event["user_id"], event["target"]) == (ada, home.id)
    for unknown in (home.id, "no id", ada):
        with pytest.raises(errors.DeviceNotFound):
            await service.second_factors.forget_device(ada, unknown)
    await service.second_factors.forget_devices(ada)
    assert await remembered(service, ada) == []
    assert await is_asked(service, at_work)


async def test_a_browser_that_is_remembered_again_brings_no_copy_of_its_token_back(
    make_service, mailbox
) -> None:
    service, ada = await remembering(make_service, mailbox)
    stolen = await prove_factor(service, mailbox, HOME)
    (device,) = await remembered(service, ada)
    await service.second_factors.forget_device(ada, device.id)
    again = await prove_factor(service, mailbox, stolen)
    assert not await is_asked(service, again)
    assert await is_asked(service, stolen)
    (other,) = await remembered(service, ada)
    assert other.id != device.id


async def test_a_user_forgets_no_device_of_another_user(make_service, mailbox) -> None:
    service, ada = await remembering(make_service, mailbox)
    known = await prove_factor(service, mailbox, HOME)
    (device,) = await remembered(service, ada)
    bob = await new_user(service, BOB, password=PASSWORD)
    with pytest.raises(errors.DeviceNotFound):
        await service.second_factors.forget_device(bob, device.id)
    assert not await is_asked(service, known)
    assert (await remembered(service, bob), len(await remembered(service, ada))) == ([], 1)


async def test_a_device_that_is_forgotten_during_a_sign_in_opens_no_session(make_service, mailbox) -> None:
    service, ada = await remembering(make_service, mailbox)
    known = await prove_factor(service, mailbox, HOME)
    (device,) = await remembered(service, ada)
    await service.sessions.revoke_all(ada)
    known = await prove_factor(service, mailbox, known)
    (device,) = await remembered(service, ada)
    proof = await service.passwords.prove(EMAIL, PASSWORD, client=known)
    assert not await service.two_factor.required_for(proof, known)
    await service.second_factors.forget_device(ada, device.id)
    with pytest.raises(errors.InvalidCredentials):
        await service.sessions.sign_in(
            ada, method="x", auth_epoch=proof.auth_epoch, amr=("pwd",), client=known, factor="remembered"
        )
    assert len(await service.sessions.list_for_user(ada)) == 1


async def test_a_lost_connection_leaves_no_remembered_device_without_a_session(make_service, mailbox) -> None:
    service, ada = await remembering(make_service, mailbox)
    with pytest.raises(errors.TwoFactorRequired) as asked:
        await service.logins.with_password(EMAIL, PASSWORD)
    challenge, code = str(asked.value.metadata["challenge"]), mailbox.last(EMAIL).code
    await service.pool.execute("alter table profiles.remembered_devices rename to gone")
    try:
        with pytest.raises(Exception, match="remembered_devices"):
            await service.logins.complete_two_factor(ada, challenge, code, remember_device=True, client=HOME)
        assert await service.sessions.list_for_user(ada) == []
    finally:
        await service.pool.execute("alter table profiles.gone rename to remembered_devices")
