"""The email of an invite: to whom, with what, and how often."""

from __future__ import annotations

import pytest

from authkit_issuer import Client, Service, errors
from authkit_issuer.ports import language
from authkit_issuer.senders.inbox import Inbox
from fakes.users import finish_background

CLIENT = Client(ip="192.0.2.1", user_agent="test")


@pytest.fixture
async def owner(service: Service) -> str:
    user = (await service.users.create(None, "owner_o")).id
    await service.orgs.create("acme", owner_user_id=user)
    await service.orgs.define_role("acme", "editor")
    return user


async def sent(service: Service, mailbox) -> list[tuple[str, str, str]]:
    await finish_background(service)
    return [(mail.to, mail.username, mail.token) for mail in mailbox.messages if "org_invite" in mail.kind]


async def test_an_address_gets_the_invitation_with_the_id_of_the_invite(
    service: Service, mailbox, owner: str
) -> None:
    invite = await service.org_invites.create_for_email("acme", "New@Example.test", owner, client=CLIENT)
    assert await sent(service, mailbox) == [("new@example.test", "", invite.id)]
    assert mailbox.last("new@example.test").kind == "org_invite of owner_o to acme"


async def test_an_account_gets_it_at_its_verified_address_alone(
    service: Service, mailbox, owner: str
) -> None:
    known = await service.users.add(email="known@example.test", username="known_k", verified=True)
    foreign = await service.users.add(email="foreign@example.test", username="foreign_f", verified=False)
    without = await service.users.create(None, "without_w")
    invite = await service.org_invites.create("acme", known.id, None)
    for other in (foreign.id, without.id):
        await service.org_invites.create("acme", other, owner)
    assert await sent(service, mailbox) == [("known@example.test", "known_k", invite.id)]


async def test_an_invite_that_is_rolled_back_is_not_mailed(service: Service, mailbox, owner: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with service.transaction() as tx:
            await tx.org_invites.create_for_email("acme", "new@example.test", owner)
            raise ZeroDivisionError
    assert await sent(service, mailbox) == []


async def test_one_address_gets_a_limited_number_of_invitations(make_service, mailbox) -> None:
    service = await make_service(max_codes_per_target_hour=3)
    owner = (await service.users.create(None, "owner_o")).id
    for number in range(5):
        await service.orgs.create(f"org-{number}", owner_user_id=owner)
        client = Client(ip=f"198.51.100.{number}", user_agent="test")
        await service.org_invites.create_for_email(
            f"org-{number}", "victim@example.test", owner, client=client
        )
    assert len(await sent(service, mailbox)) == 3


async def test_an_invitation_is_not_in_the_inviters_language(service: Service, mailbox, owner: str) -> None:
    heard: list[str] = []
    send = mailbox.send_org_invite

    async def listen(*args: str) -> None:
        heard.append(language.get())
        await send(*args)

    mailbox.send_org_invite = listen
    spoken = language.set("de")
    try:
        await service.org_invites.create_for_email("acme", "new@example.test", owner)
        await finish_background(service)
    finally:
        language.reset(spoken)  # the tests of a worker share one context
    assert heard == [""]


async def test_a_sender_without_invitations_is_none_the_worse(make_service) -> None:
    class Plain:
        async def send_password_reset_code(self, *args: str) -> None: ...
        async def send_email_verification_code(self, *args: str) -> None: ...
        async def send_login_code(self, *args: str) -> None: ...
        async def send_welcome(self, *args: str) -> None: ...

    service = await make_service(email_sender=Plain())
    await service.orgs.create("acme")
    invite = await service.org_invites.create_for_email("acme", "new@example.test", None)
    assert invite.status == "pending"
    assert service.rt.background.failures == 0


async def test_without_the_store_that_counts_the_invite_stands_and_no_email_leaves(
    make_service, mailbox, own_redis
) -> None:
    service = await make_service(redis_url=own_redis.url)
    await service.orgs.create("acme")
    own_redis.stop()
    invite = await service.org_invites.create_for_email("acme", "new@example.test", None)
    assert invite.status == "pending"
    assert await sent(service, mailbox) == []
    assert service.rt.background.failures == 1


async def test_the_development_inbox_shows_the_invitation(make_service, clock) -> None:
    inbox = Inbox(clock)
    service = await make_service(email_sender=inbox)
    await service.orgs.create("acme")
    invite = await service.org_invites.create_for_email("acme", "new@example.test", None)
    await finish_background(service)
    (message,) = inbox.messages("new@example.test")
    assert (message.kind, message.token) == ("org_invite", invite.id)
    assert "acme" in message.text


# --- the role of an invite ---------------------------------------------------------------------------------


async def test_acceptance_gives_the_role_of_the_invite_beside_member(service: Service, owner: str) -> None:
    guest = (await service.users.create(None, "guest_g")).id
    invite = await service.org_invites.create("acme", guest, owner, role=" editor ")
    assert invite.role == "editor"
    await service.org_invites.accept(invite.id, guest)
    assert await service.org_members.list_roles("acme", guest) == ["editor", "member"]


async def test_a_role_must_be_defined_when_the_invite_is_made(service: Service, owner: str) -> None:
    guest = (await service.users.create(None, "guest_g")).id
    with pytest.raises(errors.OrgRoleNotFound):
        await service.org_invites.create("acme", guest, owner, role="writer")
    with pytest.raises(errors.InvalidOrgRole):
        await service.org_invites.create_for_email("acme", "x@example.test", owner, role="a b")
    assert await service.org_invites.list_for_org("acme") == []


async def test_a_role_that_is_gone_at_the_acceptance_is_not_given(service: Service, owner: str) -> None:
    guest = (await service.users.create(None, "guest_g")).id
    invite = await service.org_invites.create("acme", guest, owner, role="editor")
    await service.orgs.delete_role("acme", "editor")
    await service.org_invites.accept(invite.id, guest)
    assert await service.org_members.list_roles("acme", guest) == ["member"]


async def test_a_member_gets_the_role_of_the_invite_alone(service: Service, owner: str) -> None:
    guest = (await service.users.add(email="g@example.test", username="guest_g", verified=True)).id
    await service.org_members.add("acme", guest)
    invite = await service.org_invites.create_for_email("acme", "g@example.test", owner, role="editor")
    await service.org_invites.accept(invite.id, guest)
    assert await service.org_members.list_roles("acme", guest) == ["editor"]


async def test_an_organization_defines_at_most_two_hundred_roles(service: Service, owner: str) -> None:
    await service.pool.execute(
        "insert into profiles.org_roles (org_id, role)"
        " select id, 'role' || n from profiles.orgs cross join generate_series(1, 197) n where slug = 'acme'"
    )
    with pytest.raises(errors.OrgRoleLimitExceeded):
        await service.orgs.define_role("acme", "one-more")
    await service.orgs.define_role("acme", "role1")
    assert len(await service.orgs.list_roles("acme")) == 200
