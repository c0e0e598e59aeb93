"""Registration: the first proof wins, and no response shows which addresses are taken."""

from __future__ import annotations

import asyncio
import os

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.users import finish_background

EMAIL = "ada@example.test"
PASSWORD = "correct horse battery"
ATTACKERS = "a password of the attacker"


def ones(size: int) -> bytes:
    """Draw the same code every time, and honest randomness for everything else."""
    return b"\x01" * size if size == 3 else os.urandom(size)


async def register(
    service: Service,
    email: str = EMAIL,
    name: str = "ada_l",
    password: str = PASSWORD,
    client: Client | None = None,
) -> str:
    started = await service.registration.register(email, name, password, client=client)
    await finish_background(service)
    return started.registration_id


async def member(service: Service, mailbox, email: str = EMAIL, name: str = "ada_l") -> str:
    registration_id = await register(service, email, name)
    code = mailbox.last(email).code
    return await service.registration.confirm_email(email, code, registration_id=registration_id)


async def test_a_confirmed_registration_is_an_account_with_its_password(service: Service, mailbox) -> None:
    user_id = await member(service, mailbox)
    user = await service.users.get(user_id)
    assert user is not None
    assert (user.email, user.username, user.email_verified) == (EMAIL, "ada_l", True)
    assert await service.passwords.verify(user_id, PASSWORD)
    assert await service.passwords.has(user_id)
    events = await service.pool.fetch("select event, method, user_id from profiles.session_events")
    assert [tuple(row) for row in events] == [("user_created", "registration", user_id)]


async def test_nothing_is_in_the_database_before_the_proof(service: Service, mailbox) -> None:
    await register(service)
    assert await service.pool.fetchval("select count(*) from profiles.users") == 0
    pending = await service.registration.get_pending_by_email(" ADA@Example.TEST ")
    assert pending is not None
    assert (pending.email, pending.username) == (EMAIL, "ada_l")
    assert PASSWORD not in repr(pending)
    assert pending.password_hash not in repr(pending)


async def test_a_code_works_once_and_only_with_its_registration_id(service: Service, mailbox) -> None:
    registration_id = await register(service)
    code = mailbox.last(EMAIL).code
    for wrong_id in ("", None, "x" * 22, registration_id + "x"):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.registration.confirm_email(EMAIL, code, registration_id=wrong_id)
    for wrong_email in ("eve@example.test", "no address", ""):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.registration.confirm_email(wrong_email, code, registration_id=registration_id)
    assert await service.registration.confirm_email(EMAIL.upper(), code, registration_id=registration_id)
    with pytest.raises(errors.AlreadyConfirmed):
        await service.registration.confirm_email(EMAIL, code, registration_id=registration_id)


async def test_the_sixth_guess_fails_even_when_it_is_right(service: Service, mailbox) -> None:
    registration_id = await register(service)
    code = mailbox.last(EMAIL).code
    for guess in range(5):
        wrong = f"{(int(code) + guess + 1) % 1_000_000:06d}"
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.registration.confirm_email(EMAIL, wrong, registration_id=registration_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.registration.confirm_email(EMAIL, code, registration_id=registration_id)


async def test_parallel_guesses_do_not_exceed_the_cap(service: Service, mailbox) -> None:
    registration_id = await register(service)
    code = int(mailbox.last(EMAIL).code)

    async def guess(number: int) -> str:
        try:
            return await service.registration.confirm_email(
                EMAIL, f"{(code + number) % 1_000_000:06d}", registration_id=registration_id
            )
        except errors.InvalidOrExpiredCode:
            return ""

    # The right code comes sixth: five wrong ones before it use up the record.
    results = await asyncio.gather(*(guess(number) for number in (1, 2, 3, 4, 5, 0)))
    assert results == [""] * 6


async def test_fifty_parallel_confirms_of_one_code_have_one_winner(service: Service, mailbox) -> None:
    registration_id = await register(service)
    code = mailbox.last(EMAIL).code

    async def confirm() -> bool:
        try:
            await service.registration.confirm_email(EMAIL, code, registration_id=registration_id)
        except errors.InvalidOrExpiredCode:
            return False
        return True

    results = await asyncio.gather(*(confirm() for _ in range(50)))
    assert results.count(True) == 1
    assert await service.pool.fetchval("select count(*) from profiles.users") == 1
    assert await service.pool.fetchval("select count(*) from profiles.user_passwords") == 1


async def test_a_code_expires_by_the_clock(service: Service, mailbox, clock) -> None:
    registration_id = await register(service)
    clock.advance(service.config.code_ttl)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.registration.confirm_email(
            EMAIL, mailbox.last(EMAIL).code, registration_id=registration_id
        )


async def test_two_holders_of_equal_digits_do_not_meet(make_service, mailbox) -> None:
    # Every code drawn is the same; only the scope keeps them apart.
    service = await make_service(random_bytes=ones)
    first = await register(service)
    second = await register(service, "eve@example.test", "eve_1")
    code = mailbox.last(EMAIL).code
    assert code == mailbox.last("eve@example.test").code
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.registration.confirm_email("eve@example.test", code, registration_id=first)
    user_id = await service.registration.confirm_email("eve@example.test", code, registration_id=second)
    user = await service.users.get(user_id)
    assert user is not None
    assert user.username == "eve_1"


async def test_an_attacker_can_neither_replace_nor_burn_a_registration(service: Service, mailbox) -> None:
    mine = await register(service, client=Client(ip="192.0.2.1"))
    code = mailbox.last(EMAIL).code
    theirs = await register(service, EMAIL, "mallory", client=Client(ip="198.51.100.9"))
    for _ in range(10):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.registration.confirm_email(EMAIL, "000000", registration_id=theirs)
    assert await service.registration.confirm_email(EMAIL, code, registration_id=mine)


async def test_a_taken_address_answers_and_works_like_a_free_one(service: Service, mailbox) -> None:
    await member(service, mailbox)
    mailbox.messages.clear()
    before = service.rt.hasher.computed
    taken = await register(service, EMAIL, "somebody", client=Client(ip="198.51.100.1"))
    spent_on_taken = service.rt.hasher.computed - before
    before = service.rt.hasher.computed
    free = await register(service, "free@example.test", "anybody", client=Client(ip="198.51.100.1"))
    assert service.rt.hasher.computed - before == spent_on_taken == 1
    assert len(taken) == len(free) == 22
    assert [message.kind for message in mailbox.messages if message.to == EMAIL] == ["registration_attempt"]
    assert [m.kind for m in mailbox.messages if m.to == "free@example.test"] == ["email_verification_code"]


async def test_login_does_not_tell_a_taken_address_from_a_free_one(service: Service, mailbox) -> None:
    """An attacker registers an address with their own password and tries to log in with it."""
    await member(service, mailbox)
    answers = []
    for email, name in ((EMAIL, "stranger1"), ("free@example.test", "stranger2")):
        registration_id = await register(service, email, name, ATTACKERS, Client(ip="198.51.100.1"))
        before = service.rt.hasher.computed
        with pytest.raises(errors.EmailNotVerified) as refused:
            await service.logins.with_password(email, ATTACKERS)
        answers.append((refused.value.code, service.rt.hasher.computed - before))
        assert refused.value.metadata == {"registration_id": registration_id}
    assert answers[0] == answers[1]


async def test_a_pending_registration_reserves_no_name_and_the_first_confirmed_has_it(
    service: Service, mailbox
) -> None:
    mistyped = "ada@exmaple.test"
    late = await register(service, mistyped, "ada_l", client=Client(ip="192.0.2.1"))
    late_code = mailbox.last(mistyped).code
    registration_id = await register(service, EMAIL, "Ada_L", client=Client(ip="192.0.2.1"))
    code = mailbox.last(EMAIL).code
    user_id = await service.registration.confirm_email(EMAIL, code, registration_id=registration_id)
    assert (await service.users.get(user_id)).username == "Ada_L"
    with pytest.raises(errors.UsernameInUse):
        await service.registration.confirm_email(mistyped, late_code, registration_id=late)


async def test_a_registration_without_a_name_gets_a_free_one_at_its_confirmation(
    service: Service, mailbox
) -> None:
    names = []
    for host in ("one.example", "two.example"):
        email = f"grace.hopper@{host}"
        pending = await service.registration.register(email, None, PASSWORD)
        await finish_background(service)
        code = mailbox.last(email).code
        user_id = await service.registration.confirm_email(
            email, code, registration_id=pending.registration_id
        )
        names.append((await service.users.get(user_id)).username)
    assert names == ["gracehopper", "gracehopper1"]


async def test_a_registration_by_phone_without_a_name_shows_nothing_of_the_number(
    service: Service, mailbox
) -> None:
    pending = await service.registration.register("+4915112345678", "", PASSWORD)
    await finish_background(service)
    code = mailbox.last("+4915112345678").code
    user_id = await service.registration.confirm_phone(
        "+4915112345678", code, registration_id=pending.registration_id
    )
    assert (await service.users.get(user_id)).username == "user"


async def test_registrations_from_elsewhere_hide_no_pending_one_from_its_own_network(
    service: Service, mailbox
) -> None:
    own = Client(ip="192.0.2.1")
    registration_id = await register(service, EMAIL, "ada_l", client=own)
    for number in range(5):
        await service.registration.register(
            EMAIL, f"other_{number}", "another fine horse", client=Client(ip=f"198.51.100.{number}")
        )
    assert await service.registration.find_by_password(EMAIL, PASSWORD, client=own) == registration_id


async def test_the_record_of_a_taken_address_cannot_be_confirmed_by_its_code(make_service, mailbox) -> None:
    service = await make_service(random_bytes=ones)
    await member(service, mailbox)
    code = "065793"
    taken = await register(service, EMAIL, "somebody", client=Client(ip="198.51.100.1"))
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.registration.confirm_email(EMAIL, code, registration_id=taken)
    assert await service.pool.fetchval("select count(*) from profiles.users") == 1


async def test_an_address_taken_meanwhile_is_said_to_who_proved_it(service: Service, mailbox) -> None:
    first = await register(service, client=Client(ip="192.0.2.1"))
    code = mailbox.last(EMAIL).code
    second = await register(service, EMAIL, "ada_two", client=Client(ip="192.0.2.2"))
    other = mailbox.last(EMAIL).code
    await service.registration.confirm_email(EMAIL, code, registration_id=first)
    with pytest.raises(errors.EmailInUse):
        await service.registration.confirm_email(EMAIL, other, registration_id=second)
    assert await service.pool.fetchval("select count(*) from profiles.users") == 1


async def test_parallel_confirms_of_two_registrations_make_one_account(service: Service, mailbox) -> None:
    pairs = []
    for number in range(6):
        registration_id = await register(
            service, EMAIL, f"ada_{number}", client=Client(ip=f"192.0.2.{number}")
        )
        pairs.append((registration_id, mailbox.last(EMAIL).code))

    async def confirm(registration_id: str, code: str) -> str:
        try:
            return await service.registration.confirm_email(EMAIL, code, registration_id=registration_id)
        except errors.EmailInUse:
            return ""

    won = [user_id for user_id in await asyncio.gather(*(confirm(*pair) for pair in pairs)) if user_id]
    assert len(won) == 1
    assert await service.pool.fetchval("select count(*) from profiles.users") == 1
    assert await service.pool.fetchval("select count(*) from profiles.names") == 1


async def test_a_name_taken_meanwhile_leaves_no_half_account(service: Service, mailbox) -> None:
    registration_id = await register(service)
    await service.users.create("first@example.test", "ADA_L")
    with pytest.raises(errors.UsernameInUse):
        await service.registration.confirm_email(
            EMAIL, mailbox.last(EMAIL).code, registration_id=registration_id
        )
    assert await service.users.get_by_email(EMAIL) is None
    assert await service.pool.fetchval("select count(*) from profiles.user_passwords") == 0


async def test_sending_has_a_pause_and_an_hourly_limit_that_no_response_shows(
    service: Service, mailbox, clock
) -> None:
    client = Client(ip="192.0.2.1")
    for number in range(8):
        await register(service, EMAIL, f"ada_{number}", client=client)
        assert len(mailbox.messages) == min(number + 1, 5)
        quick = await register(service, EMAIL, f"eve_{number}", client=client)
        assert len(quick) == 22
        clock.advance(service.config.code_cooldown)
    assert len(mailbox.messages) == 5


async def test_without_a_sender_registration_says_so_before_any_lookup(make_service) -> None:
    service = await make_service(email_sender=None)
    await service.users.create(EMAIL, "ada_l")
    for email in (EMAIL, "free@example.test", "not valid"):
        with pytest.raises(errors.EmailUnavailable):
            await service.registration.register(email + "@", "ada_2", PASSWORD)


@pytest.mark.parametrize(
    ("identifier", "username", "password", "error"),
    [
        ("no address", "ada_l", PASSWORD, errors.InvalidIdentifier),
        ("+0", "ada_l", PASSWORD, errors.InvalidPhoneNumber),
        ("a@b", "ada_l", PASSWORD, errors.InvalidEmail),
        ("a b@example.test", "ada_l", PASSWORD, errors.InvalidEmail),
        ("x1,vic@example.test", "ada_l", PASSWORD, errors.InvalidEmail),
        ("vic(x)@example.test", "ada_l", PASSWORD, errors.InvalidEmail),
        ("root@[127.0.0.1]", "ada_l", PASSWORD, errors.InvalidEmail),
        ("a@example.test\r\nbcc: x@example.test", "ada_l", PASSWORD, errors.InvalidEmail),
        (EMAIL, "ada", PASSWORD, errors.UsernameTooShort),
        (EMAIL, "1ada", PASSWORD, errors.UsernameMustStartWithLetter),
        (EMAIL, "Admin", PASSWORD, errors.UsernameReserved),
        (EMAIL, "ada@home", PASSWORD, errors.UsernameCannotContainAt),
        (EMAIL, "adä_x", PASSWORD, errors.UsernameInvalidCharacters),
        (EMAIL, "ada_l", "short", errors.PasswordTooShort),
        (EMAIL, "ada_l", "x" * 1025, errors.PasswordTooLong),
    ],
)
async def test_malformed_registrations_are_refused_by_name(
    service: Service, mailbox, identifier: str, username: str, password: str, error: type[errors.AuthError]
) -> None:
    with pytest.raises(error):
        await service.registration.register(identifier, username, password)
    assert mailbox.messages == []


async def test_without_required_verification_the_account_is_made_at_once_and_unverified(make_service) -> None:
    service = await make_service(verification_required=False, email_sender=None)
    started = await service.registration.register(EMAIL, "ada_l", PASSWORD)
    assert started.registration_id == ""
    user = await service.users.get_by_email(EMAIL)
    assert user is not None
    assert not user.email_verified
    with pytest.raises(errors.EmailInUse):
        await service.registration.register(EMAIL, "ada_2", PASSWORD)


async def test_without_privacy_a_taken_address_and_a_failed_mail_are_said(make_service, mailbox) -> None:
    service = await make_service(private_registration=False)
    await service.users.create(EMAIL, "ada_l")
    with pytest.raises(errors.EmailInUse):
        await service.registration.register(EMAIL, "ada_2", PASSWORD)
    mailbox.failure = RuntimeError("down")
    with pytest.raises(errors.EmailDeliveryFailed):
        await service.registration.register("free@example.test", "ada_3", PASSWORD)


async def test_a_code_does_not_show_in_a_repr(service: Service) -> None:
    hashed = await service.passwords.hash(PASSWORD)
    code = await service.registration.create_pending_email(EMAIL, "ada_l", hashed)
    assert len(code) == 6
    assert code.registration_id
    assert str(code) not in repr(code)


async def test_a_hash_that_is_not_argon2id_is_refused(service: Service) -> None:
    with pytest.raises(errors.InvalidPasswordHash):
        await service.registration.create_pending_email(EMAIL, "ada_l", "$2b$12$" + "a" * 53)


async def test_the_pending_password_check_works_the_same_when_nothing_is_pending(
    service: Service, mailbox
) -> None:
    await register(service)
    assert await service.registration.verify_pending_password(EMAIL, PASSWORD)
    assert not await service.registration.verify_pending_password(EMAIL, PASSWORD + "x")
    before = service.rt.hasher.computed
    assert not await service.registration.verify_pending_password("free@example.test", PASSWORD)
    assert service.rt.hasher.computed == before + 1


async def test_confirming_inside_a_host_transaction_is_refused(service: Service) -> None:
    async with service.transaction() as tx:
        with pytest.raises(errors.NotJoinable):
            await tx.registration.confirm_email(EMAIL, "123456", registration_id="x")


async def test_conflicts_are_answered_for_any_name(service: Service, mailbox) -> None:
    await member(service, mailbox)
    assert await service.registration.check_email_conflict(EMAIL, "ADA_L") == (True, True)
    assert await service.registration.check_email_conflict("free@example.test", "free_one") == (False, False)
    assert await service.registration.check_email_conflict("free@example.test", "n\x00ul") == (False, False)
