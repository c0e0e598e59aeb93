"""Removing and confirming passkeys, and what else of an account they take part in."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.signup.queries import USAGE
from authkit_issuer.service import Service
from fakes import passkeys
from fakes.factors import EMAIL, PASSWORD, events, new_user
from fakes.passkeys import Authenticator, add_passkey
from fakes.users import finish_background


async def sign_in(service: Service, authenticator: Authenticator):
    return await service.passkey_logins.finish_login(
        authenticator.get(await service.passkey_logins.begin_login())
    )


async def test_a_removed_passkey_is_unknown_and_leaves_an_event_and_a_notice(service, user_id, mailbox):
    kept, lost = Authenticator(), Authenticator()
    await add_passkey(service, user_id, kept)
    removed = await add_passkey(service, user_id, lost)
    await service.passkeys.remove(user_id, removed.id)
    with pytest.raises(errors.PasskeyUnknown):
        await sign_in(service, lost)
    assert await sign_in(service, kept)
    (event,) = await events(service, "passkey_removed")
    assert (event["user_id"], event["target"], event["actor"]) == (user_id, removed.id, None)
    await finish_background(service)
    assert "passkey_removed" in [mail.kind for mail in mailbox.messages]


async def test_a_removal_ends_sign_ins_in_progress(service, user_id, authenticator):
    added = await add_passkey(service, user_id, authenticator)
    proof = await service.passwords.prove(EMAIL, PASSWORD)
    await service.passkeys.remove(user_id, added.id)
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.finish(proof, method="password_login", amr=("pwd",))


async def test_a_removal_ends_the_other_sessions_if_that_is_set(make_service, authenticator):
    service = await make_service(**passkeys.SETTINGS, factor_change_ends_sessions=True)
    user_id = await new_user(service, password=PASSWORD)
    added = await add_passkey(service, user_id, authenticator)
    kept, _ = [(await service.sessions.issue(user_id)).session_id for _ in range(2)]
    await service.passkeys.remove(user_id, added.id, keep_session_id=kept)
    assert [session.id for session in await service.sessions.list_for_user(user_id)] == [kept]


@pytest.mark.parametrize("passkey", ["", "x", "00000000-0000-4000-8000-000000000000", "other"])
async def test_only_the_owner_removes_renames_and_confirms(service, user_id, authenticator, passkey):
    bob = await new_user(service, "bob@example.test", password=PASSWORD)
    added = await add_passkey(service, bob, authenticator)
    named = added.id if passkey == "other" else passkey
    with pytest.raises(errors.PasskeyNotFound):
        await service.passkeys.remove(user_id, named)
    with pytest.raises(errors.PasskeyNotFound):
        await service.passkeys.rename(user_id, named, "Mine")
    with pytest.raises(errors.PasskeyNotFound):
        await service.passkeys.confirm(user_id, named)
    with pytest.raises(errors.PasskeyNotFound):
        await service.passkeys.admin_remove(user_id, named, actor=bob)
    assert await service.passkeys.list_for_user(bob) == [added]


async def test_the_last_way_to_sign_in_is_not_removed(service, authenticator):
    user_id = await new_user(service)
    first = await add_passkey(service, user_id, authenticator)
    with pytest.raises(errors.CannotUnlinkLastLoginMethod):
        await service.passkeys.remove(user_id, first.id)
    second = await add_passkey(service, user_id, Authenticator())
    await service.passkeys.remove(user_id, first.id)
    with pytest.raises(errors.CannotUnlinkLastLoginMethod):
        await service.passkeys.remove(user_id, second.id)
    await service.passwords.store_hash(user_id, await service.passwords.hash(PASSWORD))
    await service.passkeys.remove(user_id, second.id)


async def test_of_two_passkeys_removed_at_once_one_stays(service, rounds):
    user_id = await new_user(service)
    for _ in range(rounds(200)):
        mine = [await add_passkey(service, user_id, Authenticator()) for _ in range(2)]
        present = await service.passkeys.list_for_user(user_id)
        await asyncio.gather(
            *(service.passkeys.remove(user_id, passkey.id) for passkey in present), return_exceptions=True
        )
        left = await service.passkeys.list_for_user(user_id)
        assert len(left) == 1, mine


async def test_a_suspended_or_frozen_passkey_is_not_a_way_to_sign_in(service, authenticator, shared_pool):
    user_id = await new_user(service)
    first = await add_passkey(service, user_id, authenticator)
    second = await add_passkey(service, user_id, Authenticator())
    for column in ("suspended_at", "frozen_at"):
        await shared_pool.execute(
            f"update profiles.passkeys set {column} = now() where id = $1::uuid", second.id
        )
        with pytest.raises(errors.CannotUnlinkLastLoginMethod):
            await service.passkeys.remove(user_id, first.id)
        await shared_pool.execute(
            f"update profiles.passkeys set {column} = null where id = $1::uuid", second.id
        )


async def test_a_passkey_lets_the_last_login_of_a_provider_go(make_service, authenticator):
    service = await make_service(**passkeys.SETTINGS, solana_domains=("app.example.test",))
    user_id = await new_user(service)
    await service.providers.link_by_issuer(user_id, "solana:mainnet", "solana", "subject")
    with pytest.raises(errors.CannotUnlinkLastLoginMethod):
        await service.providers.unlink(user_id, "solana")
    await add_passkey(service, user_id, authenticator)
    assert await service.providers.unlink(user_id, "solana")
    without = await make_service(solana_domains=("app.example.test",))
    await without.providers.link_by_issuer(user_id, "solana:mainnet", "solana", "subject")
    with pytest.raises(errors.CannotUnlinkLastLoginMethod):
        await without.providers.unlink(user_id, "solana")


async def test_an_operator_removes_even_the_last_passkey(service, authenticator):
    user_id, operator = await new_user(service), await new_user(service, "root@example.test")
    added = await add_passkey(service, user_id, authenticator)
    await service.passkeys.admin_remove(user_id, added.id, actor=operator, reason="lost phone")
    (event,) = await events(service, "passkey_removed")
    assert (event["actor"], event["reason"]) == (operator, "lost phone")
    found = await service.admin.explain_user(user_id)
    assert [finding.code for finding in found.obstacles] == ["no_way_to_sign_in"]


async def test_an_account_with_a_passkey_alone_can_sign_in(service, authenticator):
    user_id = await new_user(service)
    await add_passkey(service, user_id, authenticator)
    found = await service.admin.explain_user(user_id)
    assert (found.can_sign_in, found.obstacles) == (True, ())


async def test_an_export_lists_passkeys_without_their_keys(service, user_id, authenticator):
    added = await add_passkey(service, user_id, authenticator, name="Phone")
    await sign_in(service, authenticator)
    (entry,) = (await service.users.export(user_id))["passkeys"]
    assert (entry["id"], entry["name"], entry["transports"]) == (added.id, "Phone", ["hybrid", "internal"])
    assert not {"public_key", "credential_id", "user_id", "handle"} & set(entry)


async def test_a_deletion_for_good_takes_the_passkeys(service, user_id, authenticator, shared_pool):
    await add_passkey(service, user_id, authenticator)
    await service.lifecycle.hard_delete(user_id)
    for table in ("passkeys", "passkey_user_handles"):
        assert await shared_pool.fetchval(f"select count(*) from profiles.{table}") == 0
    with pytest.raises(errors.PasskeyUnknown):
        await sign_in(service, authenticator)


async def test_a_deleted_account_is_restored_after_a_sign_in_with_its_passkey(
    service, user_id, authenticator
):
    await add_passkey(service, user_id, authenticator)
    await service.lifecycle.soft_delete(user_id, actor=user_id)
    with pytest.raises(errors.UserDeleted) as deleted:
        await sign_in(service, authenticator)
    assert deleted.value.metadata["restore_token"]


async def test_the_first_proof_of_a_contact_freezes_passkeys_until_the_owner_confirms(
    make_service, mailbox, authenticator
):
    service = await make_service(**passkeys.SETTINGS, verification_required=False, code_cooldown=0.0)
    old = await service.passwords.hash("correct horse battery")
    await service.registration.create_pending_email("vic@example.test", "vic_t", old)
    vic = await service.users.get_by_email("vic@example.test")
    added = await add_passkey(service, vic.id, authenticator)
    assert await sign_in(service, authenticator)
    await service.passwords.request_reset("vic@example.test")
    await finish_background(service)
    await service.passwords.confirm_reset(mailbox.last("vic@example.test").token, "another fine horse")
    with pytest.raises(errors.LoginFrozen):
        await sign_in(service, authenticator)
    with pytest.raises(errors.PasskeyNotFound):
        await service.passkey_logins.begin_step_up(vic.id)
    found = await service.passkeys.accepted_for_user(vic.id)
    assert (found.passkeys[0].frozen, found.accepted) == (True, [added.credential_id])
    await service.passkeys.confirm(vic.id, added.id)
    await service.passkeys.confirm(vic.id, added.id)
    assert await sign_in(service, authenticator)
    frozen = await events(service, "logins_frozen")
    assert '"passkeys": 1' in frozen[0]["data"]
    (event,) = await events(service, "passkey_confirmed")
    assert (event["user_id"], event["target"]) == (vic.id, added.id)


async def test_the_owner_of_an_address_cannot_deny_an_account_that_a_passkey_opens(service, authenticator):
    vic = await service.users.add(email="vic@example.test", username="vic_t")
    assert (await service.rt.one(USAGE, vic.id, "email")).attached is False
    await add_passkey(service, vic.id, authenticator)
    assert (await service.rt.one(USAGE, vic.id, "email")).attached is True
