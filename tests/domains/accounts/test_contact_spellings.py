"""However an address or a number is written, it is one account, from the registration to the login."""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.mail import Mailbox
from fakes.users import PASSWORD, register, verified_user

IDN, STORED = "Ada@Müller.example", "ada@xn--mller-kva.example"
NUMBER, TYPED = "+491511234567", "0049 (0)151 / 123 45-67"


async def confirmed(service: Service, mailbox: Mailbox, typed: str, stored: str) -> str:
    """Register and confirm with the same spelling; returns the user's id."""
    registration_id = await register(service, typed)
    confirm = service.registration.confirm_email if "@" in typed else service.registration.confirm_phone
    return await confirm(typed, mailbox.last(stored).code, registration_id=registration_id)


async def test_an_international_address_is_one_account_in_every_spelling(service: Service, mailbox) -> None:
    user_id = await confirmed(service, mailbox, IDN, STORED)
    assert {message.to for message in mailbox.messages} == {STORED}
    for spelling in (IDN, STORED, f"<{IDN}>", f"mailto:{STORED},"):
        found = await service.users.get_by_email(spelling)
        assert found is not None
        assert (found.id, found.email) == (user_id, STORED)
        assert (await service.logins.with_password(spelling, PASSWORD)).user_id == user_id
    with pytest.raises(errors.EmailInUse):
        await service.users.create(STORED, "another_name")


async def test_a_number_is_one_account_in_every_spelling(service: Service, mailbox) -> None:
    user_id = await confirmed(service, mailbox, TYPED, NUMBER)
    assert {message.to for message in mailbox.messages} == {NUMBER}
    for spelling in (TYPED, NUMBER, "+49 0151 1234567", "(+49) 151 1234567"):
        found = await service.users.get_by_phone(spelling)
        assert found is not None
        assert (found.id, found.phone_number) == (user_id, NUMBER)
        assert (await service.logins.with_password(spelling, PASSWORD)).user_id == user_id


async def test_an_address_that_was_stored_before_the_rule_still_signs_in(service: Service, mailbox) -> None:
    user_id = await verified_user(service, mailbox)
    await service.pool.execute("update profiles.users set email = 'a..b@example.test'")
    assert (await service.logins.with_password("A..B@example.test", PASSWORD)).user_id == user_id
