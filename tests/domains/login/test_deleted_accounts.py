"""Deleted accounts: what a login says, the way back, and the way to the end."""

from __future__ import annotations

import asyncio
from datetime import datetime
from types import SimpleNamespace

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.login.deleted_accounts import refusal_of
from authkit_issuer.service import Service
from fakes.users import finish_background

EMAIL, PASSWORD, NEW = "ada@example.test", "correct horse battery", "another fine horse"


@pytest.fixture
async def ada(service: Service) -> str:
    user = await service.users.add(email=EMAIL, username="ada_l", verified=True)
    await service.passwords.store_hash(user.id, await service.rt.hasher.hash(PASSWORD))
    return user.id


async def events(service: Service, kind: str) -> int:
    return await service.pool.fetchval("select count(*) from profiles.session_events where event = $1", kind)


async def test_only_the_right_password_learns_that_the_account_is_deleted(service: Service, ada: str) -> None:
    await service.lifecycle.soft_delete(ada)
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.with_password(EMAIL, "a wrong password")
    with pytest.raises(errors.UserDeleted) as refused:
        await service.logins.with_password(EMAIL, PASSWORD)
    told = refused.value.metadata
    assert told["restorable"] is True
    since, until = (datetime.fromisoformat(str(told[name])) for name in ("deleted_at", "restorable_until"))
    assert (until - since).total_seconds() == service.config.deleted_user_retention


async def test_a_wrong_password_for_a_deleted_account_is_a_failed_login(service: Service, ada: str) -> None:
    for call in (service.deleted_accounts.restore, service.deleted_accounts.erase):
        with pytest.raises(errors.InvalidCredentials):
            await call(EMAIL, "a wrong password")
    assert await events(service, "session_failed") == 2


async def test_the_owner_restores_the_account_and_signs_in(service: Service, ada: str) -> None:
    await service.lifecycle.soft_delete(ada)
    for _ in range(2):
        await service.deleted_accounts.restore(EMAIL, PASSWORD)
    assert (await service.logins.with_password(EMAIL, PASSWORD)).user_id == ada
    assert await events(service, "user_restored") == 1


async def test_an_owner_who_forgot_the_password_resets_it_first(service: Service, ada: str, mailbox) -> None:
    await service.lifecycle.soft_delete(ada)
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    await service.passwords.confirm_reset(mailbox.last(EMAIL).token, NEW)
    with pytest.raises(errors.UserDeleted):
        await service.logins.with_password(EMAIL, NEW)
    await service.deleted_accounts.restore(EMAIL, NEW)
    assert await service.users.is_allowed(ada)


async def test_what_an_operator_deleted_only_an_operator_restores(
    service: Service, ada: str, mailbox
) -> None:
    await service.lifecycle.soft_delete(ada, actor="cli")
    await finish_background(service)
    before = len(mailbox.messages)
    for call in (service.deleted_accounts.restore, service.deleted_accounts.erase):
        with pytest.raises(errors.UserDeleted) as refused:
            await call(EMAIL, PASSWORD)
        assert refused.value.metadata["restorable"] is False
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    assert len(mailbox.messages) == before
    await service.lifecycle.restore(ada, actor="cli")
    await service.lifecycle.soft_delete(ada)
    await service.lifecycle.ban(ada, actor="cli")
    with pytest.raises(errors.UserDeleted):
        await service.deleted_accounts.restore(EMAIL, PASSWORD)


async def test_an_owner_who_deletes_first_does_not_undo_the_deletion_of_an_operator(
    service: Service, ada: str, mailbox
) -> None:
    admin = await service.users.create("grace@example.test", "grace_h")
    await service.lifecycle.soft_delete(ada)
    deleted = (await service.admin.get_user(ada)).deleted_at
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    for _ in range(2):
        await service.admin.delete(ada, soft=True, actor=admin.id)
    assert (await service.admin.get_user(ada)).deleted_at == deleted
    actors = (
        "select array_agg(actor order by id) from profiles.session_events where event = 'user_soft_deleted'"
    )
    assert await service.pool.fetchval(actors) == [None, admin.id]
    for call in (service.deleted_accounts.restore, service.deleted_accounts.erase):
        with pytest.raises(errors.UserDeleted):
            await call(EMAIL, PASSWORD)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwords.confirm_reset(mailbox.last(EMAIL).token, NEW)
    await service.lifecycle.soft_delete(ada)
    with pytest.raises(errors.UserDeleted):
        await service.deleted_accounts.restore(EMAIL, PASSWORD)


async def test_an_erasure_is_done_by_the_next_purge_with_the_hook_of_the_host(
    service: Service, ada: str, age
) -> None:
    with pytest.raises(errors.InvalidCredentials):
        await service.deleted_accounts.erase(EMAIL, PASSWORD)
    await service.lifecycle.soft_delete(ada)
    await service.deleted_accounts.erase(EMAIL, PASSWORD)
    for call in (service.deleted_accounts.restore, service.deleted_accounts.erase):
        with pytest.raises(errors.UserDeleted):
            await call(EMAIL, PASSWORD)
    cleaned: list[str] = []

    async def clean(user_id: str) -> None:
        cleaned.append(user_id)

    # A token from before names the account and its organization, whose names must not be another user's.
    await age("users", ada, deleted_at=service.config.access_token_duration - 60)
    assert (await service.lifecycle.purge_deleted(before=clean)).deleted == ()
    await age("users", ada, deleted_at=61)
    assert (await service.lifecycle.purge_deleted(before=clean)).deleted == (ada,)
    assert cleaned == [ada]
    assert await events(service, "user_erasure_requested") == 1


async def test_an_operator_who_restores_an_account_ends_its_erasure(service: Service, ada: str) -> None:
    await service.lifecycle.soft_delete(ada)
    await service.deleted_accounts.erase(EMAIL, PASSWORD)
    await service.lifecycle.restore(ada, actor="cli")
    await service.lifecycle.soft_delete(ada, actor="cli")
    assert (await service.lifecycle.purge_deleted()).deleted == ()


async def test_the_password_alone_erases_no_account_with_a_second_factor(service: Service, ada: str) -> None:
    await service.pool.execute(
        "insert into profiles.two_factor_settings (user_id, enabled, method)"
        " values ($1::text::uuid, true, 'email')",
        ada,
    )
    await service.lifecycle.soft_delete(ada)
    with pytest.raises(errors.UserDeleted):
        await service.deleted_accounts.erase(EMAIL, PASSWORD)
    assert (await service.lifecycle.purge_deleted()).deleted == ()
    await service.deleted_accounts.restore(EMAIL, PASSWORD)


async def test_of_a_restoration_and_an_erasure_at_once_one_happens(
    service: Service, ada: str, rounds
) -> None:
    for _ in range(rounds(20)):
        await service.lifecycle.soft_delete(ada)
        outcomes = await asyncio.gather(
            service.deleted_accounts.restore(EMAIL, PASSWORD),
            service.deleted_accounts.erase(EMAIL, PASSWORD),
            return_exceptions=True,
        )
        assert sum(outcome is None for outcome in outcomes) == 1, outcomes
        await service.lifecycle.restore(ada, actor="cli")


async def test_a_registration_with_the_address_of_a_deleted_account_sends_the_truth(
    service: Service, ada: str, mailbox
) -> None:
    await service.lifecycle.soft_delete(ada)
    await service.registration.register(EMAIL, "ada_two", PASSWORD)
    await finish_background(service)
    assert mailbox.last(EMAIL).kind == "registration_attempt_deleted"


# --- with the token of a refused login --------------------------------------------------------------------


@pytest.fixture
async def token(service: Service, ada: str) -> str:
    await service.lifecycle.soft_delete(ada)
    found = await service.pool.fetchrow(
        "select id::text as user_id, auth_epoch, deleted_at, true as restorable from profiles.users"
    )
    return str(refusal_of(service.rt, SimpleNamespace(**found)).metadata["restore_token"])


async def test_a_token_restores_the_account_once(service: Service, ada: str, token: str) -> None:
    await service.deleted_accounts.restore_by_token(token)
    assert await service.users.is_allowed(ada)
    await service.lifecycle.soft_delete(ada)
    for call in (service.deleted_accounts.restore_by_token, service.deleted_accounts.erase_by_token):
        with pytest.raises(errors.InvalidOrExpiredToken):
            await call(token)
    assert await events(service, "user_restored") == 1


async def test_a_token_erases_the_account(service: Service, ada: str, token: str, age) -> None:
    await service.deleted_accounts.erase_by_token(token)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.deleted_accounts.restore_by_token(token)
    await age("users", ada, deleted_at=service.config.access_token_duration)
    assert (await service.lifecycle.purge_deleted()).deleted == (ada,)


@pytest.mark.parametrize(
    "change",
    [
        "deleted_by_owner = false",
        "erase_requested = true",
        "banned_at = now()",
        "auth_epoch = auth_epoch + 1",
        "deleted_at = null, deleted_by_owner = false",
    ],
)
async def test_a_token_is_worth_nothing_once_the_account_has_changed(
    service: Service, token: str, change: str
) -> None:
    await service.pool.execute(f"update profiles.users set {change}")
    for call in (service.deleted_accounts.restore_by_token, service.deleted_accounts.erase_by_token):
        with pytest.raises(errors.InvalidOrExpiredToken):
            await call(token)


async def test_a_token_ends_after_ten_minutes(service: Service, token: str, clock) -> None:
    clock.advance(600)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.deleted_accounts.restore_by_token(token)


async def test_a_token_erases_no_account_with_a_second_factor(service: Service, ada: str, token: str) -> None:
    await service.pool.execute(
        "insert into profiles.two_factor_settings (user_id, enabled, method)"
        " values ($1::uuid, true, 'email')",
        ada,
    )
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.deleted_accounts.erase_by_token(token)
    assert (await service.lifecycle.purge_deleted()).deleted == ()


async def test_no_changed_token_is_taken(service: Service, ada: str, token: str, make_service) -> None:
    flips = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]
    for forged in ["", "akx_", token + "A", token[:-1], *flips]:
        with pytest.raises(errors.InvalidOrExpiredToken):
            await service.deleted_accounts.restore_by_token(forged)
    assert not await service.users.is_allowed(ada)
    other = await make_service(issuer="https://other.example.test")
    with pytest.raises(errors.InvalidOrExpiredToken):
        await other.deleted_accounts.restore_by_token(token)


async def test_of_a_restoration_and_an_erasure_with_one_token_one_wins(
    service: Service, token: str, rounds
) -> None:
    for _ in range(rounds(50)):
        accounts = service.deleted_accounts
        outcomes = await asyncio.gather(
            accounts.restore_by_token(token), accounts.erase_by_token(token), return_exceptions=True
        )
        assert [type(one) for one in outcomes].count(errors.InvalidOrExpiredToken) == 1
        await service.pool.execute(
            "update profiles.users set deleted_at = now(), deleted_by_owner = true, erase_requested = false,"
            " auth_epoch = auth_epoch - 1"
        )
