"""Password resets: only through a proved contact, once, and without telling who has an account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.users import finish_background

EMAIL, PHONE = "ada@example.test", "+4915112345678"
OLD, NEW = "correct horse battery", "another fine horse"
HOME = Client(ip="192.0.2.1", user_agent="browser")


class PlainMail:
    """A mail sender without any optional part, over a mailbox."""

    def __init__(self, box) -> None:
        self.send_password_reset_code = box.send_password_reset_code
        self.send_email_verification_code = box.send_email_verification_code
        self.send_login_code = box.send_login_code
        self.send_welcome = box.send_welcome


class PlainTexts:
    """A SMS sender without any optional part, over a mailbox."""

    def __init__(self, box) -> None:
        self.send_verification_code = box.texts.send_verification_code
        self.send_login_code = box.texts.send_login_code


async def make_ada(service: Service) -> str:
    user = await service.users.add(email=EMAIL, phone=PHONE, username="ada_l", verified=True)
    await service.passwords.store_hash(user.id, await service.rt.hasher.hash(OLD))
    return user.id


@pytest.fixture
async def ada(service: Service) -> str:
    return await make_ada(service)


@pytest.fixture
async def plain(make_service, mailbox) -> Service:
    return await make_service(email_sender=PlainMail(mailbox), sms_sender=PlainTexts(mailbox))


async def request_reset(service: Service, mailbox, to: str = EMAIL) -> tuple[str, str]:
    """Ask for a reset; returns the request id and the token or code that was sent."""
    request = service.passwords.request_reset if "@" in to else service.passwords.request_phone_reset
    request_id = await request(to, client=HOME)
    await finish_background(service)
    message = mailbox.last(to)
    return request_id, message.token or message.code


async def test_a_link_sets_the_password_once_and_ends_every_session(service: Service, ada, mailbox) -> None:
    await service.sessions.issue(ada)
    _, token = await request_reset(service, mailbox)
    assert len(token) == 43
    assert mailbox.last(EMAIL).kind == "password_reset_link"
    assert await service.passwords.confirm_reset(token, NEW, client=HOME) == ada
    assert await service.sessions.list_for_user(ada) == []
    assert (await service.passwords.prove(EMAIL, NEW)).user_id == ada
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwords.confirm_reset(token, NEW)
    rows = await service.pool.fetch(
        "select event, method, reason, host(ip_addr) as ip from profiles.session_events"
        " where event <> 'user_created' order by id"
    )
    assert [tuple(row) for row in rows] == [
        ("password_recovery", "email", None, "192.0.2.1"),
        ("session_revoked", None, "password_change", "192.0.2.1"),
        ("password_changed", None, "password_change", "192.0.2.1"),
    ]


async def test_a_reset_by_phone_needs_the_number_it_was_sent_to(service: Service, ada, mailbox) -> None:
    _, token = await request_reset(service, mailbox, PHONE)
    for phone, presented in (("+4915100000000", token), (PHONE, token + "x"), ("", token)):
        with pytest.raises(errors.InvalidOrExpiredToken):
            await service.passwords.confirm_phone_reset(phone, presented, NEW)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwords.confirm_reset(token, NEW)
    assert await service.passwords.confirm_phone_reset(f" {PHONE} ", token, NEW) == ada


async def test_without_links_a_code_is_sent_and_fits_its_own_request_only(plain: Service, mailbox) -> None:
    ada = await make_ada(plain)
    for to, kind in ((EMAIL, "password_reset_code"), (PHONE, "verification_code")):
        request_id, code = await request_reset(plain, mailbox, to)
        assert (mailbox.last(to).kind, len(code)) == (kind, 6)
        for target, wrong_id in ((to, None), (to, "x" * 22), (to, ""), ("other@example.test", request_id)):
            with pytest.raises(errors.InvalidOrExpiredCode):
                await plain.passwords.confirm_reset_code(target, code, NEW, request_id=wrong_id)
        assert await plain.passwords.confirm_reset_code(to, code, NEW, request_id=request_id) == ada
        with pytest.raises(errors.InvalidOrExpiredCode):
            await plain.passwords.confirm_reset_code(to, code, NEW, request_id=request_id)


@pytest.mark.parametrize("typed", [" <ADA@example.test>, ", "0049 (0)151 1234-5678"])
async def test_a_code_works_with_any_spelling_of_its_target(plain: Service, mailbox, typed: str) -> None:
    user = await plain.users.add(email=EMAIL, phone="+4915112345678", username="ada_l", verified=True)
    ask = plain.passwords.request_reset if "@" in typed else plain.passwords.request_phone_reset
    request_id = await ask(typed, client=HOME)
    await finish_background(plain)
    code = mailbox.messages[-1].code
    assert await plain.passwords.confirm_reset_code(typed, code, NEW, request_id=request_id) == user.id


async def test_a_code_bears_five_tries(plain: Service, mailbox) -> None:
    await make_ada(plain)
    request_id, code = await request_reset(plain, mailbox)
    for number in range(5):
        wrong = f"{(int(code) + number + 1) % 1_000_000:06d}"
        with pytest.raises(errors.InvalidOrExpiredCode):
            await plain.passwords.confirm_reset_code(EMAIL, wrong, NEW, request_id=request_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await plain.passwords.confirm_reset_code(EMAIL, code, NEW, request_id=request_id)


async def test_where_a_link_was_sent_no_code_can_be_guessed(
    service: Service, ada, mailbox, monkeypatch
) -> None:
    """The code that is made beside a link goes nowhere, so it must open nothing."""
    monkeypatch.setattr("authkit_issuer.security.codes.new_code", lambda _: "123456")
    request_id, token = await request_reset(service, mailbox)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.passwords.confirm_reset_code(EMAIL, "123456", NEW, request_id=request_id)
    assert await service.passwords.confirm_reset(token, NEW) == ada


@pytest.mark.parametrize("new", ["short", "x" * 1025, "Password123"])
async def test_a_refused_password_leaves_the_token_good(service: Service, ada, mailbox, new: str) -> None:
    _, token = await request_reset(service, mailbox)
    with pytest.raises(errors.Invalid):
        await service.passwords.confirm_reset(token, new)
    assert await service.passwords.confirm_reset(token, NEW) == ada


async def test_a_refused_password_leaves_the_code_good_and_counts_no_try(plain: Service, mailbox) -> None:
    ada = await make_ada(plain)
    request_id, code = await request_reset(plain, mailbox)
    for _ in range(6):
        with pytest.raises(errors.PasswordTooShort):
            await plain.passwords.confirm_reset_code(EMAIL, code, "short", request_id=request_id)
    assert await plain.passwords.confirm_reset_code(EMAIL, code, NEW, request_id=request_id) == ada


@pytest.mark.parametrize("life", [None, 120.0])
async def test_a_link_lives_thirty_minutes_or_as_long_as_asked(
    service: Service, ada, mailbox, clock, life
) -> None:
    await service.passwords.request_reset(EMAIL, life)
    await finish_background(service)
    token = mailbox.last(EMAIL).token
    clock.advance((life or 1800.0) - 1)
    with pytest.raises(errors.PasswordTooShort):
        await service.passwords.confirm_reset(token, "short")
    clock.advance(1)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwords.confirm_reset(token, NEW)


Change = Callable[[Service, str], Awaitable[object]]
CHANGES: dict[str, Change] = {
    "password changed": lambda service, user: service.passwords.change(user, OLD, "yet another horse"),
    "password set": lambda service, user: service.passwords.admin_set(user, "yet another horse"),
    "hash imported": lambda service, user: service.passwords.upsert_hash(
        user, "x", "legacy-reset-required"
    ),
    "signed out everywhere": lambda service, user: service.sessions.revoke_all(user),
    "address changed": lambda service, user: service.pool.execute(
        "update profiles.users set email = 'new@example.test'"
    ),
    "banned": lambda service, user: service.lifecycle.ban(user),
    "deleted": lambda service, user: service.lifecycle.soft_delete(user),
    "gone": lambda service, user: service.lifecycle.hard_delete(user),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_a_token_dies_when_the_account_or_the_address_moves(
    service: Service, ada, mailbox, change: str
) -> None:
    _, token = await request_reset(service, mailbox)
    await CHANGES[change](service, ada)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwords.confirm_reset(token, NEW)
    assert not await service.passwords.verify(ada, NEW)


async def test_the_first_reset_that_is_confirmed_ends_the_others(service: Service, ada, mailbox) -> None:
    _, first = await request_reset(service, mailbox)
    await service.passwords.request_reset(EMAIL, client=Client(ip="198.51.100.9"))
    await finish_background(service)
    second = mailbox.last(EMAIL).token
    assert second != first
    assert await service.passwords.confirm_reset(first, NEW) == ada
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwords.confirm_reset(second, "yet another horse")


@pytest.mark.parametrize(
    "change", ["banned_at = now()", "deleted_at = now()", "email_verified = false, phone_verified = false"]
)
async def test_nothing_is_sent_to_an_unverified_contact_or_a_banned_or_deleted_user(
    service: Service, ada, mailbox, change: str
) -> None:
    await service.pool.execute(f"update profiles.users set {change}")
    for request in (
        service.passwords.request_reset(EMAIL),
        service.passwords.request_phone_reset(PHONE),
        service.passwords.request_reset("unknown@example.test"),
    ):
        assert len(await request) == 22
    await finish_background(service)
    assert mailbox.messages == []
    assert service.rt.background.failures == 0


async def test_without_required_verification_a_reset_goes_to_any_address_and_verifies_it(
    make_service, mailbox
) -> None:
    service = await make_service(verification_required=False)
    user = await service.users.add(email=EMAIL, phone=PHONE, username="ada_l")
    await service.passwords.request_phone_reset(PHONE)
    _, token = await request_reset(service, mailbox)
    assert mailbox.to(PHONE) == []
    assert await service.passwords.confirm_reset(token, NEW) == user.id
    assert (await service.users.get(user.id)).email_verified


async def test_without_a_sender_every_address_gets_the_same_answer(make_service) -> None:
    service = await make_service(email_sender=None, sms_sender=None)
    await make_ada(service)
    for address in (EMAIL, "unknown@example.test"):
        with pytest.raises(errors.EmailUnavailable):
            await service.passwords.request_reset(address)
    with pytest.raises(errors.SmsUnavailable):
        await service.passwords.request_phone_reset(PHONE)


async def test_a_failing_sender_does_not_show_in_the_answer(service: Service, ada, mailbox) -> None:
    mailbox.failure = RuntimeError("the mail system is down")
    assert len(await service.passwords.request_reset(EMAIL)) == 22
    await finish_background(service)
    assert service.rt.background.failures == 1
    assert await service.pool.fetchval("select count(*) from profiles.session_events"
                                       " where event = 'password_recovery'") == 0  # fmt: skip


async def test_beyond_the_limits_nothing_is_sent_and_the_answer_is_the_same(
    service: Service, ada, mailbox, clock
) -> None:
    for _ in range(8):
        assert len(await service.passwords.request_reset(EMAIL, client=HOME)) == 22
        clock.advance(61)
    await finish_background(service)
    assert len(mailbox.to(EMAIL)) == 5
    await service.passwords.request_reset(EMAIL, client=Client(ip="198.51.100.9"))
    await finish_background(service)
    assert len(mailbox.to(EMAIL)) == 6


async def test_a_busy_server_leaves_the_token_good(service: Service, ada, mailbox, monkeypatch) -> None:
    _, token = await request_reset(service, mailbox)

    async def busy(*_: object, **__: object) -> None:
        raise errors.ServerBusy(retry_after=1.0)

    with monkeypatch.context() as patch:
        patch.setattr(service.rt.hasher._pool, "_admit", busy)
        with pytest.raises(errors.ServerBusy):
            await service.passwords.confirm_reset(token, NEW)
    assert await service.passwords.confirm_reset(token, NEW) == ada


@pytest.mark.parametrize("ttl", [0.0, -1.0, float("nan"), float("inf")])
async def test_an_impossible_lifetime_is_refused_for_every_address(service: Service, ttl: float) -> None:
    for address in ("known@example.test", "unknown@example.test"):
        with pytest.raises(ValueError, match="ttl"):
            await service.passwords.request_reset(address, ttl)


async def test_an_address_whose_proof_was_withdrawn_meanwhile_resets_nothing(
    service: Service, ada: str, mailbox
) -> None:
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    await service.users.set_email_verified(ada, False, actor="cli")
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwords.confirm_reset(mailbox.last(EMAIL).token, NEW)
    assert (await service.logins.with_password("ada_l", OLD)).user_id == ada
