"""Users: changing names, addresses and biographies, welcoming, exporting."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from authkit_issuer import Client, errors
from authkit_issuer.service import Service
from fakes.users import finish_background

UNKNOWN_USER = "00000000-0000-4000-8000-000000000000"
CLIENT = Client(ip="192.0.2.1", user_agent="test")


async def ada(service: Service) -> str:
    return (await service.users.create("ada@example.test", "Ada_L")).id


async def events(service: Service, kind: str) -> list[dict[str, Any]]:
    rows = await service.pool.fetch(
        "select user_id, actor, target, data::text, host(ip_addr) as ip from profiles.session_events"
        " where event = $1 order by id",
        kind,
    )
    return [dict(row) | {"data": json.loads(row["data"])} for row in rows]


async def test_a_name_with_an_underscore_and_capitals_can_be_given_up_and_still_leads_to_its_user(
    service: Service,
) -> None:
    user = (await service.users.create("bob@example.test", "Bob_Smith")).id
    await service.users.update_username(user, " Robert ", client=CLIENT)
    assert (await service.users.get(user)).username == "Robert"
    assert await service.usernames.resolve("BOB_smith ") == (user, "Robert")
    assert await service.usernames.resolve("robert") == (user, "Robert")
    assert await service.usernames.list_aliases(user) == ["bob_smith"]
    (event,) = await events(service, "user_renamed")
    assert event["data"] == {"before": "Bob_Smith", "after": "Robert"}
    assert event["ip"] == "192.0.2.1"


async def test_a_former_name_is_refused_to_others_and_given_back_to_its_holder(service: Service) -> None:
    user = await ada(service)
    other = (await service.users.create(None, "other")).id
    await service.users.update_username(user, "countess")
    with pytest.raises(errors.UsernameInUse):
        await service.users.update_username(other, "ADA_l")
    with pytest.raises(errors.UsernameInUse):
        await service.users.create(None, "ada_l")
    await service.users.update_username(user, "ada_l")
    assert await service.usernames.list_aliases(user) == ["countess"]
    assert await service.usernames.resolve("countess") == (user, "ada_l")


async def test_the_letter_case_alone_can_be_changed(service: Service) -> None:
    user = await ada(service)
    await service.users.update_username(user, "ADA_L")
    assert (await service.users.get(user)).username == "ADA_L"
    assert await service.usernames.list_aliases(user) == []
    await service.users.update_username(user, "ADA_L")
    assert len(await events(service, "user_renamed")) == 1


async def test_a_user_without_a_name_can_set_one(service: Service) -> None:
    user = (await service.users.create("ada@example.test", None)).id
    await service.users.update_username(user, "ada_l")
    assert await service.usernames.resolve("ada_l") == (user, "ada_l")
    assert await service.usernames.list_aliases(user) == []


async def test_a_renaming_that_is_refused_changes_nothing(service: Service) -> None:
    user = await ada(service)
    await service.users.create(None, "taken")
    for wrong, refusal in (
        ("taken", errors.UsernameInUse),
        ("abc", errors.UsernameTooShort),
        ("admin", errors.UsernameReserved),
        ("ada@example.test", errors.UsernameCannotContainAt),
    ):
        with pytest.raises(refusal):
            await service.users.update_username(user, wrong)
    assert (await service.users.get(user)).username == "Ada_L"
    assert await service.pool.fetchval("select count(*) from profiles.names") == 2
    for unknown in (UNKNOWN_USER, "no id"):
        with pytest.raises(errors.UserNotFound):
            await service.users.update_username(unknown, "free_name")
    assert await service.pool.fetchval("select count(*) from profiles.names") == 2


async def test_a_cooldown_starts_with_the_first_change_of_name(make_service, age) -> None:
    service = await make_service(rename_cooldown=3600)
    user = await ada(service)
    await service.users.update_username(user, "second")
    with pytest.raises(errors.TooManyRequests) as refused:
        await service.users.update_username(user, "third")
    assert 3590 < refused.value.retry_after <= 3600
    await service.users.update_username(user, "Second")
    await service.users.update_username(user, "third", ignore_cooldown=True)
    await age("names", "third", created_at=3601)
    await service.users.update_username(user, "ada_l")
    with pytest.raises(errors.TooManyRequests):
        await service.users.update_username(user, "third")


async def test_only_users_who_are_not_deleted_are_resolved(service: Service) -> None:
    user = await ada(service)
    await service.lifecycle.soft_delete(user)
    with pytest.raises(errors.UserNotFound):
        await service.usernames.resolve("ada_l")
    for wrong in ("", "a b", "-x", "a" * 65, "ä", "a\x00b"):
        with pytest.raises(errors.InvalidSlug):
            await service.usernames.resolve(wrong)
    assert await service.usernames.list_aliases("no id") == []


async def test_another_address_is_stored_unverified_and_both_addresses_hear_of_it(
    service: Service, mailbox
) -> None:
    user = await ada(service)
    await service.users.set_email_verified(user, True)
    await service.users.update_email(user, " New@Example.Test", actor="operator", client=CLIENT)
    await finish_background(service)
    found = await service.users.get(user)
    assert (found.email, found.email_verified) == ("new@example.test", False)
    assert mailbox.last("ada@example.test").kind == "email_changed"
    (link,) = mailbox.to("new@example.test")
    assert await service.verification.confirm_email_link(link.token) == user
    assert (await service.users.get(user)).email_verified
    (event,) = await events(service, "user_email_changed")
    assert event["data"] == {"before": "ada@example.test", "after": "new@example.test"}
    assert event["actor"] == "operator"


async def test_the_link_to_an_address_that_the_second_factor_moves_to_is_accepted(
    service: Service, mailbox
) -> None:
    user = (await service.users.add(email="ada@example.test", username="ada_l", verified=True)).id
    await service.two_factor.send_email_setup_code(user)
    await service.two_factor.enable(user, "email", code=mailbox.last("ada@example.test").code)
    await service.users.update_email(user, "new@example.test", actor="operator")
    await finish_background(service)
    (link,) = (sent for sent in mailbox.to("new@example.test") if sent.token)
    assert await service.verification.confirm_email_link(link.token, user_id=user) == user


async def test_what_was_under_way_for_the_old_address_proves_nothing_after_a_change(
    service: Service, mailbox
) -> None:
    user = await ada(service)
    request_id = await service.verification.request_email("ada@example.test")
    await finish_background(service)
    mail = mailbox.to("ada@example.test")
    await service.users.update_email(user, "new@example.test")
    for message in mail:
        if message.code:
            with pytest.raises(errors.InvalidOrExpiredCode):
                await service.verification.confirm_email(
                    "ada@example.test", message.code, request_id=request_id
                )
        else:
            with pytest.raises(errors.InvalidOrExpiredToken):
                await service.verification.confirm_email_link(message.token)
    assert mail
    assert not (await service.users.get(user)).email_verified


async def test_the_same_address_in_another_case_changes_nothing(service: Service, mailbox) -> None:
    user = await ada(service)
    await service.users.set_email_verified(user, True)
    await service.users.update_email(user, "ADA@example.test")
    await finish_background(service)
    assert (await service.users.get(user)).email_verified
    assert mailbox.messages == []
    assert await events(service, "user_email_changed") == []


async def test_an_address_that_is_taken_is_refused_and_no_message_is_sent(service: Service, mailbox) -> None:
    user = await ada(service)
    await service.users.create("eve@example.test", None)
    with pytest.raises(errors.EmailInUse):
        await service.users.update_email(user, "eve@example.test")
    with pytest.raises(errors.InvalidEmail):
        await service.users.update_email(user, "no address")
    with pytest.raises(errors.UserNotFound):
        await service.users.update_email(UNKNOWN_USER, "free@example.test")
    await finish_background(service)
    assert mailbox.messages == []


async def test_no_mail_of_a_change_that_is_rolled_back(service: Service, mailbox) -> None:
    user = await ada(service)
    with pytest.raises(ZeroDivisionError):
        async with service.transaction() as tx:
            await tx.users.update_email(user, "new@example.test")
            await tx.users.send_welcome(user)
            raise ZeroDivisionError
    await finish_background(service)
    assert mailbox.messages == []


async def test_an_address_is_vouched_for_only_while_it_is_the_stored_one(service: Service) -> None:
    user = await ada(service)
    with pytest.raises(errors.UserNotFound):
        await service.users.set_email_verified(user, True, email="old@example.test")
    assert not (await service.users.get(user)).email_verified
    await service.users.set_email_verified(user, True, email="ADA@example.test")
    assert (await service.users.get(user)).email_verified
    await service.users.set_email_verified(user, True)
    await service.users.set_email_verified(user, False)
    assert [event["data"] for event in await events(service, "user_email_verified")] == [
        {"verified": True},
        {"verified": False},
    ]
    nameless = (await service.users.create(None, "nameless")).id
    for unknown in (nameless, UNKNOWN_USER, "no id"):
        with pytest.raises(errors.UserNotFound):
            await service.users.set_email_verified(unknown, True)


async def test_a_biography_counts_characters_and_is_cleared_by_nothing(service: Service) -> None:
    user = await ada(service)
    await service.users.update_biography(user, "  " + "ü" * 2000 + " ")
    assert (await service.users.get(user)).biography == "ü" * 2000
    with pytest.raises(errors.BiographyTooLong):
        await service.users.update_biography(user, "x" * 2001)
    with pytest.raises(errors.Invalid):
        await service.users.update_biography(user, "a\x00b")
    for nothing in (None, " \n"):
        await service.users.update_biography(user, "something")
        await service.users.update_biography(user, nothing)
        assert (await service.users.get(user)).biography is None
    with pytest.raises(errors.UserNotFound):
        await service.users.update_biography(UNKNOWN_USER, "x")
    assert all(event["data"] == {"fields": ["biography"]} for event in await events(service, "user_updated"))


async def test_a_welcome_goes_to_a_stored_address_and_fails_unseen(
    service: Service, make_service, mailbox, caplog
) -> None:
    user = await ada(service)
    await service.users.send_welcome(user)
    await finish_background(service)
    assert (mailbox.last("ada@example.test").kind, mailbox.last("ada@example.test").username) == (
        "welcome",
        "Ada_L",
    )
    await service.users.send_welcome((await service.users.create(None, "nameless")).id)
    await service.users.send_welcome(UNKNOWN_USER)
    await (await make_service(email_sender=None, sms_sender=None)).users.send_welcome(user)
    mailbox.failure = RuntimeError("could not reach ada@example.test")
    with caplog.at_level(logging.DEBUG):
        await service.users.send_welcome(user)
        await finish_background(service)
    assert service.rt.background.failures == 1
    assert "ada@example.test" not in caplog.text
    assert len(mailbox.messages) == 1


async def test_an_export_is_bounded_and_the_next_ones_have_the_older_events(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_issuer.domains.accounts.service.EXPORTED", 3)
    user = (await service.users.create("ada@example.test", "ada_l")).id
    for number in range(7):
        await service.users.update_biography(user, f"the {number}th")
    await service.sessions.issue(user)
    stored = await service.pool.fetch(
        "select id from profiles.session_events where user_id = $1 order by id", user
    )
    found, before = [], ""
    while before is not None:
        export = await service.users.export(user, before=before)
        assert len(export["events"]) <= 3
        assert export["user"]["username"] == "ada_l"
        found = [event["id"] for event in export["events"]] + found
        before = export["events_next"]
    assert found == [row["id"] for row in stored]
    assert len(found) == 8


@pytest.mark.parametrize("before", ["x", "1", "1.", ".1", "9" * 40 + ".1", "1.x"])
async def test_an_export_begins_at_the_place_of_an_event_and_nowhere_else(
    service: Service, before: str
) -> None:
    user = (await service.users.create("ada@example.test", "ada_l")).id
    with pytest.raises(errors.Invalid):
        await service.users.export(user, before=before)


async def test_an_export_holds_what_is_stored_and_nothing_that_proves_the_user(service: Service) -> None:
    user = await ada(service)
    other = (await service.users.create("eve@example.test", "eve_x")).id
    await service.users.update_username(user, "countess", client=CLIENT)
    await service.passwords.store_hash(user, "$argon2id$secret")
    issued = await service.sessions.issue(user, client=CLIENT)
    await service.pool.execute(
        "insert into profiles.two_factor_settings (user_id, backup_codes)"
        " values ($1::text::uuid, '{secret}')",
        user,
    )
    await service.pool.execute(
        "insert into profiles.user_providers (user_id, issuer, subject)"
        " values ($1::text::uuid, 'https://p.example', 'sub-1')",
        user,
    )
    exported = await service.users.export(user)
    assert exported["user"]["email"] == "ada@example.test"
    assert [name["slug"] for name in exported["names"]] == ["ada_l", "countess"]
    assert exported["sessions"][0]["id"] == issued.session_id
    assert exported["sessions"][0]["ip"] == "192.0.2.1"
    assert exported["providers"][0]["subject"] == "sub-1"
    assert exported["events"][-1]["ip_addr"] == "192.0.2.1"
    assert {"password", "two_factor", "roles", "organizations", "invitations"} < exported.keys()
    text = json.dumps(exported)
    assert "secret" not in text
    assert "token_key" not in text
    assert other not in text
    for unknown in (UNKNOWN_USER, "no id"):
        with pytest.raises(errors.UserNotFound):
            await service.users.export(unknown)


async def test_users_are_listed_the_newest_first_and_deleted_ones_apart(service: Service, age) -> None:
    first, second, third = [(await service.users.create(None, f"user_{n}")).id for n in range(3)]
    for number, user in enumerate((third, second, first)):
        await age("users", user, created_at=number)
    await service.lifecycle.soft_delete(second)
    assert [user.id for user in await service.users.newest()] == [third, first]
    assert [user.id for user in await service.users.newest(1)] == [third]
    assert [user.id for user in await service.users.newest(deleted=True)] == [second]
