"""Notices follow from events: the owner learns of every change to a way in, by whichever operation."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import authkit_issuer
from authkit_issuer import errors
from authkit_issuer.domains.audit.notices import NOTICES, SILENT, SILENT_ENDS, Occurrence
from authkit_issuer.domains.base.messages import NOTICES_PER_HOUR
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Circumstances, Client, language
from authkit_issuer.senders.mails import KINDS
from fakes.laws import for_each
from fakes.users import finish_background

EMAIL = "ada@example.test"
PASSWORD = "correct horse battery"
BETTER = "a better horse battery"
OPERATOR = "6b7f2f5e-61c5-4a17-9a5f-3f3f3f3f3f3f"


@for_each(SessionEventType, lambda event: event.value)
def test_every_event_type_sends_a_notice_or_says_why_it_is_silent(event: SessionEventType) -> None:
    assert (event in NOTICES) != (event in SILENT)
    assert NOTICES.get(event) or SILENT[event].strip()


@for_each(SessionRevokeReason, lambda reason: reason.name)
def test_every_end_of_a_session_sends_a_notice_or_says_why_it_is_silent(reason: SessionRevokeReason) -> None:
    occurrence = Occurrence(reason=reason.value)
    told = any(notice.when(occurrence) for notice in NOTICES[SessionEventType.SESSION_REVOKED])
    assert told != bool(SILENT_ENDS.get(reason))


@for_each([notice for row in NOTICES.values() for notice in row], lambda notice: notice.kind)
def test_every_notice_has_a_text_of_its_own(notice) -> None:
    assert notice.kind in KINDS, f"write senders/templates/<language>/{notice.kind}.j2"


def test_only_the_audit_trail_and_the_end_of_sessions_write_events() -> None:
    """Both send the notices; a third writer would be silent."""
    root = Path(authkit_issuer.__file__).parent
    writers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"insert\s+into\s+profiles\.session_events", path.read_text())
    }
    assert writers == {"domains/audit/queries.py", "domains/sessions/queries.py"}


async def account(service, mailbox) -> str:
    """An account with everything that can be changed or removed."""
    ada = (await service.users.create(EMAIL, "ada_l")).id
    await service.passwords.change(ada, "", PASSWORD)
    await service.users.set_email_verified(ada, True)
    await service.providers.link_by_issuer(ada, "https://idp.example.test", "github", "subject")
    await service.roles.define("editor")
    await service.roles.assign(ada, "editor")
    await service.two_factor.send_email_setup_code(ada)
    await finish_background(service)
    code = next(mail.code for mail in mailbox.to(EMAIL) if mail.code)
    await service.two_factor.enable(ada, "email", code=code)
    await finish_background(service)
    mailbox.messages.clear()
    return ada


async def evict(service, ada: str) -> None:
    for _ in range(4):
        await service.sessions.issue(ada, method="test")


async def replay(service, ada: str) -> None:
    first = await service.sessions.issue(ada, method="test")
    second = await service.sessions.exchange(first.refresh_token)
    await service.sessions.exchange(second.refresh_token)
    await service.pool.execute(
        "update profiles.refresh_sessions set rotated_at = rotated_at - interval '1 day'"
    )
    with pytest.raises(errors.RefreshTokenReuseDetected):
        await service.sessions.exchange(first.refresh_token)


async def share(service, ada: str) -> None:
    first = await service.sessions.issue(ada, client=Client(ip="192.0.2.1"))
    await service.sessions.exchange(first.refresh_token, client=Client(ip="192.0.2.1"))
    for _ in range(3):
        await service.sessions.exchange(first.refresh_token, client=Client(ip="198.51.100.7"))


async def restore(service, ada: str) -> None:
    await service.lifecycle.soft_delete(ada)
    await service.lifecycle.restore(ada)


async def unban(service, ada: str) -> None:
    await service.lifecycle.ban(ada)
    await service.lifecycle.unban(ada)


CHANGES = [
    (
        lambda at, ada: at.passwords.change(ada, PASSWORD, BETTER),
        "password_changed",
    ),
    (lambda at, ada: at.passwords.admin_set(ada, BETTER, actor=OPERATOR), "password_changed"),
    (
        lambda at, ada: at.providers.link_by_issuer(ada, "solana:x", "solana", "w"),
        "provider_linked",
    ),
    (lambda at, ada: at.providers.unlink(ada, "github"), "provider_unlinked"),
    (lambda at, ada: at.users.update_username(ada, "ada_byron"), "username_changed"),
    (lambda at, ada: at.users.update_email(ada, "other@example.test"), "email_changed"),
    (lambda at, ada: at.two_factor.regenerate_backup_codes(ada), "two_factor_backup_codes_made"),
    (lambda at, ada: at.two_factor.disable(ada), "two_factor_disabled"),
    (lambda at, ada: at.roles.assign(ada, "admin"), "role_assigned"),
    (lambda at, ada: at.roles.remove(ada, "editor"), "role_removed"),
    (evict, "session_evicted"),
    (replay, "session_replayed"),
    (share, "session_shared"),
    (lambda at, ada: at.lifecycle.ban(ada), "account_banned"),
    (unban, "account_unbanned"),
    (lambda at, ada: at.lifecycle.soft_delete(ada), "account_deleted"),
    (restore, "account_restored"),
    (lambda at, ada: at.lifecycle.hard_delete(ada), "account_erased"),
]


@pytest.mark.parametrize(("change", "kind"), CHANGES)
async def test_a_change_to_an_account_sends_its_owner_one_notice(service, mailbox, change, kind) -> None:
    ada = await account(service, mailbox)
    await change(service, ada)
    await finish_background(service)
    told = [mail.kind for mail in mailbox.to(EMAIL)]
    assert (told.count(kind), told[-1]) == (1, kind)


async def test_a_change_that_is_rolled_back_sends_no_notice(service, mailbox) -> None:
    ada = await account(service, mailbox)
    with pytest.raises(RuntimeError):
        async with service.transaction() as tx:
            await tx.users.update_username(ada, "ada_byron")
            raise RuntimeError
    await finish_background(service)
    assert mailbox.messages == []


@pytest.mark.parametrize("created_at", [None, datetime(2019, 5, 1, tzinfo=UTC)])
async def test_a_new_account_gets_no_notice_of_what_it_starts_with(service, mailbox, created_at) -> None:
    async with service.transaction() as tx:
        ada = await tx.users.add(email=EMAIL, username="ada_l", created_at=created_at)
        await tx.providers.link_by_issuer(ada.id, "solana:x", "solana", "w")
        await tx.roles.assign(ada.id, "admin", actor="cli")
    await finish_background(service)
    assert mailbox.messages == []


async def test_a_notice_of_an_operators_act_is_not_in_the_operators_language(service, mailbox) -> None:
    ada = await account(service, mailbox)
    heard: list[str] = []
    send = mailbox.send_event_notice

    async def listen(*args: object) -> None:
        heard.append(language.get())
        await send(*args)

    mailbox.send_event_notice = listen
    spoken = language.set("de")
    try:
        await service.users.update_username(ada, "ada_byron", actor=OPERATOR, ignore_cooldown=True)
        await finish_background(service)
        await service.users.update_username(ada, "ada_king", actor=ada, ignore_cooldown=True)
        await finish_background(service)
    finally:
        language.reset(spoken)  # the tests of a worker share one context
    assert heard == ["", "de"]


async def test_logins_however_many_do_not_flood_an_address_with_notices(make_service, mailbox) -> None:
    """An account may have another person's address where no verification is required."""
    service = await make_service(session_max_per_user=1)
    ada = (await service.users.create(EMAIL, "ada_l")).id
    for _ in range(40):
        await service.sessions.issue(ada)
    await finish_background(service)
    assert len(mailbox.to(EMAIL)) == NOTICES_PER_HOUR
    for password in (PASSWORD, BETTER):
        await service.passwords.admin_set(ada, password, actor=OPERATOR)
    await finish_background(service)
    assert [message.kind for message in mailbox.to(EMAIL)][NOTICES_PER_HOUR:] == ["password_changed"] * 2


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOME = Client(ip="2001:db8:1:2:3::4", user_agent=FIREFOX)


async def test_a_notice_names_time_network_and_browser_of_the_event(service, mailbox, clock) -> None:
    ada = await account(service, mailbox)
    await service.passwords.change(ada, PASSWORD, BETTER, client=HOME)
    await finish_background(service)
    told = mailbox.last(EMAIL).circumstances
    assert told == Circumstances(
        at=datetime.fromtimestamp(clock(), UTC), network="2001:db8:1:2::/64", browser="Firefox"
    )


@pytest.mark.parametrize("change", ["admin_set", "ban"])
async def test_a_notice_never_names_the_network_of_an_operator(service, mailbox, change) -> None:
    ada = await account(service, mailbox)
    operations = {
        "admin_set": lambda: service.passwords.admin_set(ada, BETTER, actor=OPERATOR, client=HOME),
        "ban": lambda: service.lifecycle.ban(ada, actor=OPERATOR, client=HOME),
    }
    await operations[change]()
    await finish_background(service)
    told = mailbox.last(EMAIL).circumstances
    assert told is not None
    assert (told.network, told.browser) == ("", "")


async def test_a_sender_without_event_notices_gets_the_plain_ones(make_service, mailbox) -> None:
    class Plain:
        """A sender that was written before event notices."""

        def __getattr__(self, name: str):
            if name == "send_event_notice":
                raise AttributeError(name)
            return getattr(mailbox, name)

    service = await make_service(email_sender=Plain())
    ada = await account(service, mailbox)
    await service.users.update_username(ada, "ada_byron")
    await finish_background(service)
    assert (mailbox.last(EMAIL).kind, mailbox.last(EMAIL).circumstances) == ("username_changed", None)
