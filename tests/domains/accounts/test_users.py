"""Users: creating and finding them."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service


async def test_a_created_user_comes_back_whole(service: Service) -> None:
    user = await service.users.create(" Ada@Example.Test ", "Ada_L")
    assert (user.email, user.username, user.email_verified) == ("ada@example.test", "Ada_L", False)
    assert user.created_at is not None
    for found in (
        await service.users.get(user.id),
        await service.users.get(user.id.upper()),
        await service.users.get_by_email("ADA@example.test"),
        await service.users.get_by_username("ADA_l"),
    ):
        assert found == user
    assert await service.users.get_email(user.id) == "ada@example.test"


async def test_what_is_not_there_is_none_and_not_an_error(service: Service) -> None:
    assert await service.users.get("00000000-0000-4000-8000-000000000000") is None
    assert await service.users.get("{00000000-0000-4000-8000-000000000000}") is None
    assert await service.users.get_by_email("unknown@example.test") is None
    assert await service.users.get_by_email("no address") is None
    assert await service.users.get_by_phone("+4915112345678") is None
    assert await service.users.get_by_phone("0151") is None
    assert await service.users.get_by_username("missing\x00") is None
    assert not await service.users.is_allowed("no id")
    with pytest.raises(errors.UserNotFound):
        await service.users.get_email("no id")


async def test_a_user_needs_neither_address_nor_name(service: Service) -> None:
    user = await service.users.create("", None)
    assert (user.email, user.username) == (None, None)
    assert await service.users.create(None, "")


async def test_an_address_and_a_name_belong_to_one_user_in_any_case(service: Service) -> None:
    await service.users.create("ada@example.test", "ada_l")
    with pytest.raises(errors.EmailInUse):
        await service.users.create("ADA@example.test", "other")
    with pytest.raises(errors.UsernameInUse):
        await service.users.create("other@example.test", "ADA_L")
    assert await service.pool.fetchval("select count(*) from profiles.users") == 1
    assert await service.pool.fetchval("select count(*) from profiles.session_events") == 1


async def test_parallel_claims_of_one_name_have_one_winner(service: Service) -> None:
    async def create(number: int) -> bool:
        try:
            await service.users.create(f"user{number}@example.test", "Wanted")
        except errors.UsernameInUse:
            return False
        return True

    results = await asyncio.gather(*(create(number) for number in range(20)))
    assert results.count(True) == 1
    assert await service.pool.fetchval("select count(*) from profiles.users") == 1


async def test_a_former_name_stays_with_its_first_holder(service: Service) -> None:
    user = await service.users.create("ada@example.test", "ada_l")
    await service.pool.execute("update profiles.users set username = 'newname'")
    await service.pool.execute("update profiles.names set is_current = false")
    with pytest.raises(errors.UsernameInUse):
        await service.users.create("eve@example.test", "ada_l")
    assert await service.users.get_by_username("ada_l") is None
    assert user.username == "ada_l"


async def test_a_deleted_user_is_found_and_keeps_address_and_name(service: Service) -> None:
    user = await service.users.create("ada@example.test", "ada_l")
    await service.pool.execute("update profiles.users set deleted_at = now()")
    found = await service.users.get_by_email("ada@example.test")
    assert found is not None
    assert found.id == user.id
    assert not await service.users.is_allowed(user.id)
    with pytest.raises(errors.EmailInUse):
        await service.users.create("ada@example.test", "other")


async def test_several_operations_of_a_host_are_one_transaction(service: Service) -> None:
    class Stop(Exception):
        pass

    with pytest.raises(Stop):
        async with service.transaction() as tx:
            await tx.users.create("ada@example.test", "ada_l")
            raise Stop
    assert await service.users.get_by_email("ada@example.test") is None
    async with service.transaction() as tx:
        user = await tx.users.create("ada@example.test", "ada_l")
        with pytest.raises(errors.UsernameInUse):
            await tx.users.create("eve@example.test", "ada_l")
        await tx.sessions.issue(user.id)
    assert len(await service.sessions.list_for_user(user.id)) == 1
