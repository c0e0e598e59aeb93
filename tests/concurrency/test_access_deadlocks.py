"""Two who cross each other's way: both get a clear answer. A deadlock would be heard of as an outage."""

from __future__ import annotations

import asyncio
from functools import partial

from authkit_issuer import Service, errors
from authkit_issuer.domains.accounts.queries import LOCK_ROLE
from fakes.gather import gather
from fakes.lock_waiters import WAITING
from fakes.patience import PATIENCE
from fakes.until import until


async def new_users(service: Service, *names: str | None) -> list[str]:
    return [(await service.users.create(None, name)).id for name in names]


async def test_two_organizations_that_want_each_others_name_are_both_refused(make_service, rounds) -> None:
    service = await make_service(org_mode="multi")
    for number in range(rounds(200)):
        one, other = [(await service.orgs.create(f"{name}-{number}")).id for name in "ab"]
        outcomes = await gather(
            partial(service.orgs.rename, one, f"b-{number}"),
            partial(service.orgs.rename, other, f"a-{number}"),
        )
        assert [type(outcome) for outcome in outcomes] == [errors.OwnerSlugTaken] * 2


async def test_a_name_that_an_organization_is_giving_up_is_refused_without_waiting(service: Service) -> None:
    one, other = await service.orgs.create("one"), await service.orgs.create("other")
    async with service.transaction() as tx:
        await tx.orgs.rename(one.id, "another")
        refused = await asyncio.gather(
            asyncio.wait_for(service.orgs.rename(other.id, "one"), PATIENCE), return_exceptions=True
        )
        assert isinstance(refused[0], errors.OwnerSlugTaken)


async def test_two_users_after_each_others_login_are_both_refused(service: Service, rounds) -> None:
    link = partial(service.providers.link_by_issuer, issuer="https://p.example", provider_slug="p")
    for number in range(rounds(100)):
        ada, bob = await new_users(service, None, None)
        await link(ada, subject=f"ada-{number}")
        await link(bob, subject=f"bob-{number}")
        outcomes = await gather(
            partial(link, ada, subject=f"bob-{number}"), partial(link, bob, subject=f"ada-{number}")
        )
        assert [type(outcome) for outcome in outcomes] == [errors.ProviderAlreadyLinked] * 2


async def test_a_role_for_somebody_an_operator_deletes_is_given_or_refused(service: Service, rounds) -> None:
    (boss,) = await new_users(service, None)
    await service.roles.assign(boss, "admin")
    for _ in range(rounds(500)):
        (user,) = await new_users(service, None)
        given, gone = await gather(
            partial(service.roles.assign, user, "admin"),
            partial(service.admin.delete, user, soft=False, actor=boss),
        )
        assert gone is None
        assert given is None or isinstance(given, errors.UserNotFound)


async def test_who_is_given_a_role_is_not_held_while_the_role_is(service: Service) -> None:
    """Who guards the last administrator holds the role first and then wants the user."""
    (user,) = await new_users(service, None)
    async with service.transaction() as tx:
        await tx.rt.maybe(LOCK_ROLE, "admin")
        waiting = asyncio.create_task(service.roles.assign(user, "admin"))
        await until(lambda: service.pool.fetchval(WAITING))
        assert await asyncio.wait_for(tx.lifecycle.hard_delete(user), PATIENCE)
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], errors.UserNotFound)


async def test_members_of_each_others_personal_organization_are_deleted_together(
    make_service, rounds
) -> None:
    service = await make_service(org_mode="multi")
    for number in range(rounds(300)):
        ada, bob = await new_users(service, f"ada_{number}", f"bob_{number}")
        await service.org_members.add(f"ada-{number}", bob)
        await service.org_members.add(f"bob-{number}", ada)
        outcomes = await gather(
            partial(service.lifecycle.hard_delete, ada), partial(service.lifecycle.hard_delete, bob)
        )
        assert outcomes == [True, True]


async def test_personal_organizations_are_filled_in_while_users_register(make_service, rounds) -> None:
    count = rounds(500)
    single = await make_service()
    for number in range(count):
        await single.users.create(None, f"a_b{number}")
    service = await make_service(org_mode="multi")

    async def register() -> list[object]:
        return [
            outcome
            for number in range(count)
            for outcome in await gather(partial(service.users.create, None, f"a__b{number}"))
        ]

    made, more, registered = await asyncio.gather(
        service.orgs.backfill_personal(), service.orgs.backfill_personal(), register()
    )
    assert made + more == count
    refused = [outcome for outcome in registered if isinstance(outcome, BaseException)]
    assert all(isinstance(refusal, errors.OwnerSlugTaken) for refusal in refused)
    assert await service.orgs.backfill_personal() == 0
