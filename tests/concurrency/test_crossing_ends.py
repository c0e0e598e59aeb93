"""Two ends that cross each other, and a beginning that crosses itself."""

from __future__ import annotations

import asyncio
import uuid
from functools import partial

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.base.contacts import EMAIL
from authkit_issuer.domains.signup.registration import make_account
from authkit_issuer.service import Service
from fakes.gather import gather
from fakes.lock_waiters import WAITING
from fakes.until import until


async def test_two_who_banned_each_other_are_both_deleted(service: Service, rounds) -> None:
    """Each deletion makes the other account forget who banned it: a deadlock, heard of as an outage."""
    for number in range(rounds(300)):
        ada, bob = [(await service.users.create(None, f"{name}_{number}")).id for name in ("ada", "bob")]
        await service.lifecycle.ban(ada, banned_by=bob)
        await service.lifecycle.ban(bob, banned_by=ada)
        outcomes = await gather(
            partial(service.lifecycle.hard_delete, ada), partial(service.lifecycle.hard_delete, bob)
        )
        assert outcomes == [True, True]
    assert await service.pool.fetchval("select count(*) from profiles.users") == 0


async def test_an_account_whose_first_commit_is_still_under_way_is_made_once(service: Service) -> None:
    """A client that repeats a lost request may meet the commit itself."""
    stored, user_id = await service.rt.hasher.hash("correct horse battery"), str(uuid.uuid4())
    make = partial(
        make_account,
        kind=EMAIL,
        user_id=user_id,
        target="ada@example.test",
        username="ada_l",
        password_hash=stored,
        verified=True,
    )
    async with service.transaction() as tx:
        await make(tx.rt)
        again = asyncio.create_task(make(service.rt))
        await until(lambda: service.pool.fetchval(WAITING))
    await again
    assert (await service.users.get(user_id)).username == "ada_l"
    with pytest.raises(errors.EmailInUse):
        await make(service.rt, user_id=str(uuid.uuid4()), username="ada_m")
    with pytest.raises(errors.UsernameInUse):
        await make(service.rt, user_id=str(uuid.uuid4()), target="eve@example.test")
