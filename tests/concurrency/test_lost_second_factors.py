"""Storage fails at every step of signing in with, adding, choosing and removing each second factor.

What is left is the state before or the state after, and the user gets on from either.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.ephemeral.memory import MemoryStore
from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller
from fakes.factors import PASSWORD, PHONE, add_app, app_code, let_codes_be_new, new_user
from fakes.failing_store import FailingStore
from fakes.mail import Mailbox
from fakes.passkeys import SETTINGS, Authenticator, add_passkey
from fakes.users import finish_background

EMAIL = "ada@example.test"
SENT = {"email": EMAIL, "sms": PHONE}
LIMITS: dict[str, Any] = {
    "code_cooldown": 0.0, "max_codes_per_hour": 1000, "max_codes_per_target_hour": 1000,
    "sms_max_per_number_hour": 1000, "sms_max_per_prefix_hour": 1000, "new_device_notices": False,
}  # fmt: skip
every_store = pytest.mark.parametrize("part", ["database", "ephemeral store"])


class User:
    """A user with a password, and what adds and proves each kind of second factor."""

    def __init__(self, service: Service, mailbox: Mailbox) -> None:
        self.service, self.mailbox = service, mailbox
        self.authenticator = Authenticator(counts=True)
        self.id, self.secret, self.backup = "", "", list[str]()

    async def begin_to_add(self, kind: str) -> Any:
        """Return what proves a new factor."""
        service = self.service
        if kind == "totp":
            self.secret = (await service.totp.begin(self.id)).secret
            return app_code(self.secret, 0)
        if kind == "passkey":
            return self.authenticator.create(await service.passkeys.begin_registration(self.id))
        if kind == "email":
            await service.two_factor.send_email_setup_code(self.id)
        else:
            await service.two_factor.send_phone_setup_code(self.id, PHONE)
        return self.code(kind)

    async def add(self, kind: str, proof: Any) -> None:
        service = self.service
        if kind == "totp":
            await service.totp.complete(self.id, proof)
        elif kind == "passkey":
            await service.passkeys.finish_registration(self.id, proof)
        else:
            phone = PHONE if kind == "sms" else None
            await service.second_factors.add(self.id, kind, code=proof, phone_number=phone)

    async def remove(self, kind: str, factor_id: str) -> None:
        if kind == "passkey":
            await self.service.passkeys.remove(self.id, factor_id)
        else:
            await self.service.second_factors.remove(self.id, factor_id)

    async def factors(self, kind: str) -> list[str]:
        found = (await self.service.second_factors.list_for_user(self.id)).factors
        return [factor.id for factor in found if factor.kind == kind]

    async def begin(self, kind: str) -> str:
        """Prove the password, choose the factor, and return the challenge."""
        await let_codes_be_new(self.service)
        with pytest.raises(errors.TwoFactorRequired) as required:
            await self.service.logins.with_password(EMAIL, PASSWORD)
        challenge = str(required.value.metadata["challenge"])
        if kind in SENT:
            (factor,) = await self.factors(kind)
            await self.service.second_factors.select(self.id, challenge, factor)
        if kind == "totp":
            await self.service.second_factors.select(self.id, challenge, (await self.factors(kind))[0])
        return challenge

    async def proof(self, kind: str, challenge: str) -> Any:
        if kind == "passkey":
            return self.authenticator.get(
                await self.service.passkey_logins.begin_second_factor(self.id, challenge)
            )
        return {"totp": lambda: app_code(self.secret), "backup": lambda: self.backup[-1]}.get(
            kind, lambda: self.code(kind)
        )()

    async def finish(self, kind: str, challenge: str, proof: Any) -> None:
        if kind == "passkey":
            await self.service.passkey_logins.finish_second_factor(self.id, challenge, proof)
        else:
            is_backup = kind == "backup"
            await self.service.logins.complete_two_factor(self.id, challenge, proof, is_backup=is_backup)

    def code(self, kind: str) -> str:
        sent = self.mailbox.to(SENT[kind])
        return next(message.code for message in reversed(sent) if message.code)

    async def count(self, query: str) -> int:
        assert self.service.pool is not None
        return int(await self.service.pool.fetchval(query, self.id))

    async def events(self, *kinds: str) -> int:
        wanted = ", ".join(f"'{kind}'" for kind in kinds)
        return await self.count(
            f"select count(*) from profiles.session_events where user_id = $1 and event in ({wanted})"
        )

    async def sessions(self) -> int:
        return len(await self.service.sessions.list_for_user(self.id))

    async def backup_left(self) -> int:
        return (await self.service.second_factors.list_for_user(self.id)).backup_codes_left


@pytest.fixture
def store() -> FailingStore:
    return FailingStore(MemoryStore())


@pytest.fixture
async def user(make_service, mailbox, store) -> User:
    service = await make_service(**SETTINGS, **LIMITS, ephemeral_store=store)
    user = User(service, mailbox)
    user.id = await new_user(service, EMAIL, password=PASSWORD)
    return user


@pytest.fixture
async def complete_user(user: User) -> User:
    """A user with a second factor of every kind."""
    user.secret, backup = await add_app(user.service, user.id)
    user.backup = backup or []
    for kind in SENT:
        await user.add(kind, await user.begin_to_add(kind))
    await add_passkey(user.service, user.id, user.authenticator)
    await finish_background(user.service)
    return user


async def struck(user: User, breaker: Any, moment: str, step: int, call: Any) -> bool:
    """Await the call while storage fails at a step; True if there was such a step."""
    await finish_background(user.service)
    breaker.arm(moment, step)
    with suppress(errors.Unavailable):
        await call
    breaker.disarm()
    await finish_background(user.service)
    return bool(breaker.struck)


@every_store
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", ["totp", "email", "sms", "backup", "passkey"])
async def test_a_proof_is_used_exactly_if_it_opened_a_session(
    complete_user: User, store, connection_killer: ConnectionKiller, part, moment, kind
) -> None:
    user, step, more = complete_user, 0, True
    breaker = connection_killer if part == "database" else store
    while more:
        step += 1
        if kind == "backup":
            user.backup = await user.service.two_factor.regenerate_backup_codes(user.id)
        challenge = await user.begin(kind)
        proof = await user.proof(kind, challenge)
        more = await struck(user, breaker, moment, step, user.finish(kind, challenge, proof))
        live = await user.sessions()
        assert live == 1 or (more and live == 0)
        if kind == "backup":
            assert await user.backup_left() == 10 - live
        if not live and part != "database" and moment == "after":
            # The store may have taken the challenge without anybody knowing: sign in again.
            challenge = await user.begin(kind)
            await user.finish(kind, challenge, await user.proof(kind, challenge))
        elif not live:
            again = await user.proof(kind, challenge) if kind == "passkey" else proof
            await user.finish(kind, challenge, again)
        assert await user.sessions() == 1
        await user.service.sessions.revoke_all(user.id)
    assert step > 1


@every_store
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", ["totp", "email", "sms", "passkey"])
async def test_a_factor_is_added_with_its_event_or_not_at_all(
    user: User, store, connection_killer: ConnectionKiller, part, moment, kind
) -> None:
    step, added, more = 0, 0, True
    breaker = connection_killer if part == "database" else store
    told = ("passkey_added",) if kind == "passkey" else ("two_factor_enabled", "second_factor_added")
    while more:
        step += 1
        proof = await user.begin_to_add(kind)
        more = await struck(user, breaker, moment, step, user.add(kind, proof))
        present = await user.factors(kind)
        assert len(present) == 1 or (more and not present)
        if not present:
            again = proof if part == "database" and moment == "before" else await user.begin_to_add(kind)
            await user.add(kind, again)
            present = await user.factors(kind)
        added += 1
        assert await user.events(*told) == added
        assert await user.backup_left() == (0 if kind == "passkey" else 10)
        await user.remove(kind, present[0])
    assert step > 1


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", ["totp", "email", "sms", "passkey"])
async def test_a_factor_is_removed_with_its_event_or_not_at_all(
    user: User, connection_killer: ConnectionKiller, moment, kind
) -> None:
    step, removed, more = 0, 0, True
    told = ("passkey_removed",) if kind == "passkey" else ("two_factor_disabled",)
    while more:
        step += 1
        await user.add(kind, await user.begin_to_add(kind))
        (factor,) = await user.factors(kind)
        epoch = await user.count("select auth_epoch from profiles.users where id = $1::text::uuid")
        more = await struck(user, connection_killer, moment, step, user.remove(kind, factor))
        gone = not await user.factors(kind)
        assert gone or more
        removed += gone
        assert await user.events(*told) == removed
        raised = await user.count("select auth_epoch from profiles.users where id = $1::text::uuid") - epoch
        assert raised == int(gone)
        enabled = (await user.service.second_factors.list_for_user(user.id)).enabled
        assert enabled is (not gone and kind != "passkey")
        if not gone:
            await user.remove(kind, factor)
            removed += 1
    assert step > 1


@every_store
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_sign_in_goes_on_after_a_switch_that_storage_lost(
    complete_user: User, store, connection_killer: ConnectionKiller, part, moment
) -> None:
    user, step, more = complete_user, 0, True
    breaker = connection_killer if part == "database" else store
    (app,), select = await user.factors("totp"), user.service.second_factors.select
    while more:
        step += 1
        challenge = await user.begin("email")
        code = user.code("email")
        more = await struck(user, breaker, moment, step, select(user.id, challenge, app))
        assert await user.sessions() == 0
        if more and part == "database":
            await user.finish("email", challenge, code)  # asked for as before
        else:
            with suppress(errors.InvalidChallenge):
                await select(user.id, challenge, app)
                await user.finish("totp", challenge, app_code(user.secret))
        if not await user.sessions():
            assert part != "database"
            challenge = await user.begin("totp")
            await user.finish("totp", challenge, app_code(user.secret))
        assert await user.sessions() == 1
        await user.service.sessions.revoke_all(user.id)
    assert step > 1
