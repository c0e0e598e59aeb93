"""Reserved names, and how many former names a user or an organization keeps."""

from __future__ import annotations

from functools import partial

import pytest

from authkit_issuer import Service, errors
from fakes.gather import gather

REST = 30 * 86_400


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(org_mode="multi")


async def rest(service: Service, *, days: float = 31) -> None:
    """Let every former name be older by these days."""
    await service.pool.execute(
        "update profiles.names set created_at = created_at - $1 * interval '1 day',"
        " retired_at = retired_at - $1 * interval '1 day'",
        days,
    )


async def renamed_org(service: Service, times: int) -> str:
    """Found an organization ``name-0`` and rename it; return its id."""
    org = (await service.orgs.create("name-0")).id
    for number in range(1, times + 1):
        await service.orgs.rename(org, f"name-{number}")
    return org


async def renamed_user(service: Service, times: int) -> str:
    user = (await service.users.create(None, "name_0")).id
    for number in range(1, times + 1):
        await service.users.update_username(user, f"name_{number}")
    return user


async def test_an_organization_keeps_five_former_names_and_waits_for_a_sixth(service: Service) -> None:
    org = await renamed_org(service, 5)
    with pytest.raises(errors.TooManyRequests) as refused:
        await service.orgs.rename(org, "name-6")
    assert REST - 60 < refused.value.retry_after <= REST
    assert (await service.orgs.resolve("name-5")).id == org
    assert await service.orgs.list_aliases(org) == [f"name-{number}" for number in range(5)]


async def test_the_oldest_name_is_freed_after_its_rest_and_another_may_have_it(service: Service) -> None:
    org = await renamed_org(service, 5)
    await rest(service)
    await service.orgs.rename(org, "name-6")
    assert await service.orgs.list_aliases(org) == [f"name-{number}" for number in range(1, 6)]
    other = await service.orgs.create("name-0")
    assert (await service.orgs.resolve("name-0")).id == other.id != org
    event, *_ = await service.events.list_session_events("", "org_renamed")
    assert event.data == {"before": "name-5", "after": "name-6", "freed": ["name-0"]}


async def test_a_user_keeps_five_former_names_each_with_its_owner_slug(service: Service) -> None:
    user = await renamed_user(service, 5)
    with pytest.raises(errors.TooManyRequests):
        await service.users.update_username(user, "name_6")
    await rest(service)
    await service.users.update_username(user, "name_6")
    assert (await service.users.create(None, "name_0")).username == "name_0"
    with pytest.raises(errors.UsernameInUse):
        await service.users.create(None, "name_1")


async def test_a_holder_may_always_return_to_a_former_name(service: Service) -> None:
    org = await renamed_org(service, 5)
    for number in (2, 5, 0, 5):
        await service.orgs.rename(org, f"name-{number}")
    assert len(await service.orgs.list_aliases(org)) == 5


async def test_an_operator_renames_past_the_limit_and_frees_no_name_that_rests(service: Service) -> None:
    user = await renamed_user(service, 5)
    await service.users.update_username(user, "name_6", ignore_cooldown=True)
    for number in range(6):
        with pytest.raises(errors.UsernameInUse):
            await service.users.create(None, f"name_{number}")


async def test_names_kept_by_earlier_versions_are_freed_by_the_next_change(service: Service) -> None:
    org = (await service.orgs.create("current")).id
    await service.pool.execute(
        "insert into profiles.names (slug, org_id, is_current, created_at)"
        " select 'old-' || n, $1::text::uuid, false, now() - n * interval '40 days'"
        " from generate_series(1, 40) n",
        org,
    )
    await service.orgs.rename(org, "newer")
    assert await service.orgs.list_aliases(org) == ["current", "old-1", "old-2", "old-3", "old-4"]


async def test_a_name_that_is_freed_while_another_wants_it_has_one_holder(service: Service, rounds) -> None:
    for number in range(rounds(50)):
        org = (await service.orgs.create(f"r{number}-0")).id
        for step in range(1, 6):
            await service.orgs.rename(org, f"r{number}-{step}")
        await rest(service)
        renamed, founded = await gather(
            partial(service.orgs.rename, org, f"r{number}-6"),
            partial(service.orgs.create, f"r{number}-0"),
        )
        assert renamed is None
        holder = (await service.orgs.create(f"r{number}-0")).id if isinstance(founded, Exception) else None
        found = await service.orgs.resolve(f"r{number}-0")
        assert found.id == (holder or founded.id) != org


class TestReserved:
    @pytest.mark.parametrize("slug", ["admin", "MODERATOR"])
    async def test_an_organization_gets_no_reserved_name(self, service: Service, slug: str) -> None:
        org = await service.orgs.create("acme")
        with pytest.raises(errors.OwnerSlugReserved):
            await service.orgs.create(slug)
        with pytest.raises(errors.OwnerSlugReserved):
            await service.orgs.rename(org.id, slug)
        assert (await service.orgs.resolve("acme")).id == org.id

    @pytest.mark.parametrize("username", ["moderator_", "Admin__", "admin_"])
    async def test_a_user_gets_no_name_whose_owner_slug_is_reserved(
        self, service: Service, username: str
    ) -> None:
        with pytest.raises(errors.UsernameReserved):
            await service.users.create(None, username)
        user = (await service.users.create(None, "ada_l")).id
        with pytest.raises(errors.UsernameReserved):
            await service.users.update_username(user, username)

    async def test_a_derived_name_is_free_and_not_reserved(self, service: Service) -> None:
        assert service.usernames.derive("moderator_@example.test") not in {"moderator_", "moderator"}
        made = await service.usernames.generate_available("admin_")
        assert (await service.users.create(None, made)).username == made

    async def test_a_personal_organization_from_before_gets_another_slug(self, make_service) -> None:
        single = await make_service(reserved_usernames=frozenset())
        user = (await single.users.create(None, "moderator_")).id
        multi = await make_service(org_mode="multi")
        assert await multi.orgs.backfill_personal() == 1
        assert (await multi.orgs.get_personal(user)).slug == "moderator-2"
