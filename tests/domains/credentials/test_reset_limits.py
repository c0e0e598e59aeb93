"""The reset is the way out: what other clients ask for and guess never keeps the owner from it."""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.mail import Mailbox
from fakes.users import EMAIL, PASSWORD, PHONE, finish_background

OWNER = Client(ip="203.0.113.9", user_agent="browser")
QUARTER = 900


class CodesOnly:
    """A sender of mails without links."""

    def __init__(self, box: Mailbox) -> None:
        self.send_password_reset_code = box.send_password_reset_code
        self.send_email_verification_code = box.send_email_verification_code
        self.send_login_code = box.send_login_code
        self.send_welcome = box.send_welcome


class TextsOnly:
    """A sender of SMS messages without links."""

    def __init__(self, box: Mailbox) -> None:
        self.send_verification_code = box.texts.send_verification_code
        self.send_login_code = box.texts.send_login_code


@pytest.fixture
async def codes_only(make_service, mailbox) -> Service:
    return await make_service(email_sender=CodesOnly(mailbox), sms_sender=TextsOnly(mailbox))


async def add_ada(service: Service, **contacts: object) -> str:
    fields = {"email": EMAIL, "phone": PHONE} | contacts
    user = await service.users.add(username="ada_l", verified=True, **fields)  # type: ignore[arg-type]
    await service.passwords.store_hash(user.id, await service.rt.hasher.hash(PASSWORD))
    return user.id


async def attack(service: Service, number: int, *, guesses: int) -> None:
    request_id = await service.passwords.request_reset(EMAIL, client=Client(ip=f"192.0.{number % 8}.1"))
    for _ in range(guesses):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.passwords.confirm_reset_code(
                EMAIL, "wrong", "a new fine horse", request_id=request_id
            )


@pytest.mark.parametrize("guesses", [0, 5])
async def test_the_owner_gets_in_whatever_eight_networks_ask_for(
    codes_only: Service, mailbox: Mailbox, clock, guesses: int
) -> None:
    ada = await add_ada(codes_only)
    for quarter in range(12):
        for number in range(QUARTER // 30):
            clock.advance(30)
            await attack(codes_only, number, guesses=guesses)
        request_id = await codes_only.passwords.request_reset(EMAIL, client=OWNER)
        await finish_background(codes_only)
        code = mailbox.last(EMAIL).code
        new = f"another fine horse {quarter}"
        assert await codes_only.passwords.confirm_reset_code(EMAIL, code, new, request_id=request_id) == ada


async def test_a_known_device_gets_a_message_beyond_the_limit_of_the_target(
    codes_only: Service, mailbox: Mailbox, clock
) -> None:
    ada = await add_ada(codes_only)
    for number in range(codes_only.config.max_codes_per_target_hour):
        await codes_only.passwords.request_reset(EMAIL, client=Client(ip=f"192.0.{number}.1"))
    await finish_background(codes_only)
    sent = len(mailbox.to(EMAIL))
    eve = (await codes_only.users.add(email="eve@example.test", username="eve_l", verified=True)).id
    for user, more in ((eve, 0), (ada, 1)):
        device = Devices(codes_only.rt).prove(user, 0, None)
        await codes_only.passwords.request_reset(EMAIL, client=Client(ip="192.0.1.1", device=device))
        await finish_background(codes_only)
        assert len(mailbox.to(EMAIL)) == sent + more


async def test_a_known_device_is_limited_too(codes_only: Service, mailbox: Mailbox, clock) -> None:
    ada = await add_ada(codes_only)
    device = Devices(codes_only.rt).prove(ada, 0, None)
    for number in range(8):
        await codes_only.passwords.request_reset(EMAIL, client=Client(ip=f"192.0.{number}.1", device=device))
        clock.advance(61)
    await finish_background(codes_only)
    assert len(mailbox.to(EMAIL)) == codes_only.config.max_codes_per_hour


@pytest.mark.parametrize(
    ("contacts", "to"), [({}, EMAIL), ({"email": None}, PHONE), ({"phone": None}, EMAIL)]
)
async def test_a_reset_takes_the_user_name(codes_only: Service, mailbox: Mailbox, contacts, to: str) -> None:
    ada = await add_ada(codes_only, **contacts)
    request_id = await codes_only.passwords.request_reset(" Ada_L ", client=OWNER)
    await finish_background(codes_only)
    code = mailbox.last(to).code
    confirm = codes_only.passwords.confirm_reset_code
    for name in ("ada", "", "eve_l"):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await confirm(name, code, "another fine horse", request_id=request_id)
    assert await confirm("ADA_L", code, "another fine horse", request_id=request_id) == ada


async def test_a_request_by_address_is_not_confirmed_by_name(codes_only: Service, mailbox: Mailbox) -> None:
    await add_ada(codes_only)
    request_id = await codes_only.passwords.request_reset(EMAIL, client=OWNER)
    await finish_background(codes_only)
    code = mailbox.last(EMAIL).code
    with pytest.raises(errors.InvalidOrExpiredCode):
        await codes_only.passwords.confirm_reset_code(
            "ada_l", code, "another fine horse", request_id=request_id
        )


async def test_an_unknown_name_gets_an_id_and_no_message(codes_only: Service, mailbox: Mailbox) -> None:
    await add_ada(codes_only)
    for name in ("eve_l", "", "\x00", "a name"):
        assert len(await codes_only.passwords.request_reset(name, client=OWNER)) == 22
    await finish_background(codes_only)
    assert mailbox.messages == []


async def test_a_name_longer_than_any_is_not_kept(codes_only: Service) -> None:
    for sign in ("x", "\U0001d54f"):
        assert len(await codes_only.passwords.request_reset(sign * 60000, client=OWNER)) == 22
    stored = codes_only.rt.ephemeral._entries  # type: ignore[attr-defined]
    assert sum(len(value) for value, _ in stored.values()) < 2000
