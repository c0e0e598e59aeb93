"""The connection is killed at every statement of a passwordless sign-in."""

from __future__ import annotations

import dataclasses

import pytest

from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller, Moment
from fakes.mail import Mailbox
from fakes.users import finish_background


@pytest.fixture
def config(config):
    return dataclasses.replace(
        config, passwordless="both", passwordless_registration=True, verification_required=False
    )


async def begin(service: Service, mailbox: Mailbox, email: str) -> tuple[str, str]:
    flow = await service.passwordless.start(email)
    await finish_background(service)
    return flow.flow_id, mailbox.last(email).code


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_new_account_is_there_wholly_or_not_at_all(
    service: Service, mailbox: Mailbox, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    step = 0
    while True:
        step += 1
        email = f"ada{step}@example.test"
        flow, code = await begin(service, mailbox, email)
        pair = None
        with connection_killer.striking(moment, step):
            pair = await service.passwordless.confirm_code(flow, code)
        user = await service.users.get_by_email(email)
        if not connection_killer.struck:
            assert pair is not None
            break
        if user is None or not await service.sessions.list_for_user(user.id):
            # The code is still good, and is the answer to the same account.
            pair = await service.passwordless.confirm_code(flow, code)
            assert user is None or pair.user_id == user.id
        found = await service.users.get_by_email(email)
        assert found is not None
        assert found.email_verified
    assert step > 5


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_first_proof_is_made_wholly_or_not_at_all(
    service: Service, mailbox: Mailbox, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    assert service.pool is not None
    hashed, step = await service.passwords.hash("correct horse battery"), 0
    while True:
        step += 1
        email = f"ada{step}@example.test"
        user_id = (await service.users.add(email=email, username=f"ada_{step}")).id
        await service.passwords.store_hash(user_id, hashed)
        attacker = await service.sessions.issue(user_id)
        flow, code = await begin(service, mailbox, email)
        pair = None
        with connection_killer.striking(moment, step):
            pair = await service.passwordless.confirm_code(flow, code)
        struck = connection_killer.struck
        user = await service.users.get(user_id)
        live = {session.id for session in await service.sessions.list_for_user(user_id)}
        password = await service.pool.fetchval(
            "select count(*) from profiles.user_passwords where user_id = $1::text::uuid", user_id
        )
        assert user is not None
        # The proof, the password and the other person's session stand or fall together.
        assert user.email_verified == (password == 0) == (attacker.session_id not in live)
        if not struck:
            assert pair is not None
            break
        if not user.email_verified:
            assert (await service.passwordless.confirm_code(flow, code)).user_id == user_id
    assert step > 5
