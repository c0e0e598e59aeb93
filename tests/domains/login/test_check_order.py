"""What a sign-in and an exchange do before what: nothing that a failure half way could not take back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from authkit_issuer import Entitlement, Service, errors
from fakes.factors import EMAIL, PASSWORD, with_email_factor
from fakes.mail import Mailbox


class Slow:
    """An entitlements provider that answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.open = asyncio.Event(), asyncio.Event()

    async def list_entitlements(self, user_id: str) -> Sequence[Entitlement]:
        self.asked.set()
        await self.open.wait()
        return []


@pytest.fixture
def slow() -> Slow:
    return Slow()


async def given_up(slow: Slow, exchange: asyncio.Task) -> None:
    await slow.asked.wait()
    exchange.cancel()
    await asyncio.gather(exchange, return_exceptions=True)
    slow.open.set()


@pytest.mark.parametrize("org", [None, "acme"])
@pytest.mark.parametrize("grace", [0.0, 30.0])
async def test_who_gives_up_while_the_token_is_made_may_ask_again(
    make_service, slow: Slow, org: str | None, grace: float
) -> None:
    service = await make_service(org_mode="multi", refresh_rotation_grace=grace, entitlements_provider=slow)
    user = (await service.users.create(None, "ada_l")).id
    await service.orgs.create("acme", owner_user_id=user)
    token = (await service.sessions.issue(user)).refresh_token
    await given_up(slow, asyncio.create_task(service.sessions.exchange(token, org=org)))
    again = await service.sessions.exchange(token, org=org)
    assert (await service.tokens.verify(again.access_token)).org == org
    assert await service.sessions.exchange(again.refresh_token)


async def test_without_grace_every_refusal_is_the_same_as_with_it(make_service, age) -> None:
    service = await make_service(org_mode="multi", refresh_rotation_grace=0.0)
    user = (await service.users.create(None, "ada_l")).id
    await service.orgs.create("acme")
    issued = await service.sessions.issue(user)
    with pytest.raises(errors.NotOrgMember):
        await service.sessions.exchange(issued.refresh_token, org="acme")
    pair = await service.sessions.exchange(issued.refresh_token)
    await service.lifecycle.ban(user)
    with pytest.raises(errors.UserBanned):
        await service.sessions.exchange(pair.refresh_token)
    await service.lifecycle.unban(user)
    with pytest.raises(errors.InvalidRefreshToken):
        await service.sessions.exchange(pair.refresh_token)


async def test_without_grace_one_of_many_exchanges_wins_and_the_session_ends(make_service, rounds) -> None:
    service = await make_service(refresh_rotation_grace=0.0)
    for number in range(rounds(300)):
        user = (await service.users.create(None, f"ada_{number}")).id
        token = (await service.sessions.issue(user)).refresh_token
        outcomes = await asyncio.gather(
            *(service.sessions.exchange(token) for _ in range(10)), return_exceptions=True
        )
        assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
        assert await service.sessions.list_for_user(user) == []


async def test_without_grace_even_a_rotation_of_the_same_moment_is_refused(make_service, age) -> None:
    """A statement may see what another one wrote that began after it."""
    service = await make_service(refresh_rotation_grace=0.0)
    user = (await service.users.create(None, "ada_l")).id
    issued = await service.sessions.issue(user)
    await service.sessions.exchange(issued.refresh_token)
    await age("refresh_sessions", issued.session_id, rotated_at=-60)
    with pytest.raises(errors.RefreshTokenReuseDetected):
        await service.sessions.exchange(issued.refresh_token)


async def test_who_leaves_an_organization_during_the_sign_in_gets_no_token_of_it(
    make_service, slow: Slow
) -> None:
    service = await make_service(org_mode="multi", entitlements_provider=slow)
    user = (await service.users.create(None, "ada_l")).id
    await service.orgs.create("acme")
    await service.org_members.add("acme", user)
    signing_in = asyncio.create_task(
        service.sessions.sign_in(user, method="password_login", auth_epoch=0, amr=("pwd",), org="acme")
    )
    await slow.asked.wait()
    await service.org_members.remove("acme", user)
    slow.open.set()
    with pytest.raises(errors.NotOrgMember):
        await signing_in
    assert await service.sessions.list_for_user(user) == []


async def test_a_sign_in_that_an_organization_refuses_ends_no_other_session(make_service) -> None:
    service: Service = await make_service(org_mode="multi", session_max_per_user=1)
    user = (await service.users.create(None, "ada_l")).id
    await service.orgs.create("acme")
    kept = await service.sessions.issue(user)
    with pytest.raises(errors.NotOrgMember):
        await service.sessions.sign_in(user, method="x", auth_epoch=0, amr=(), org="acme")
    assert [session.id for session in await service.sessions.list_for_user(user)] == [kept.session_id]
    assert await service.events.list_session_events(user, "session_revoked", "session_created") == []


class Nosy:
    """An entitlements provider that looks whether anybody holds a connection while it is asked."""

    def __init__(self) -> None:
        self.pool: asyncpg.Pool | None = None
        self.held: list[int] = []

    async def list_entitlements(self, user_id: str) -> Sequence[Entitlement]:
        if self.pool is not None:
            self.held.append(self.pool.get_size() - self.pool.get_idle_size())
        return []


async def test_the_host_is_asked_while_no_connection_is_held(make_service, mailbox: Mailbox) -> None:
    nosy = Nosy()
    service: Service = await make_service(org_mode="multi", entitlements_provider=nosy)
    nosy.pool = service.pool
    user, codes = await with_email_factor(service, mailbox, password=PASSWORD)
    await service.orgs.create("acme", owner_user_id=user)
    issued = await service.sessions.issue(user)
    await service.tokens.issue_access(user)
    await service.tokens.issue_org_access(user, "", "acme")
    await service.sessions.exchange(issued.refresh_token)
    await service.admin.list_users()
    for number, is_backup in ((0, True), (1, False)):
        with pytest.raises(errors.TwoFactorRequired) as required:
            await service.logins.with_password(EMAIL, PASSWORD, org="acme")
        challenge = str(required.value.metadata["challenge"])
        code = codes[number] if is_backup else mailbox.last(EMAIL).code
        await service.logins.complete_two_factor(user, challenge, code, is_backup=is_backup)
    await service.logins.step_up_send_code(user, issued.session_id)
    code = mailbox.last(EMAIL).code
    await service.logins.step_up_two_factor(user, issued.session_id, code)
    await service.logins.step_up_two_factor(user, issued.session_id, codes[2], is_backup=True)
    assert len(nosy.held) >= 8
    assert set(nosy.held) == {0}
