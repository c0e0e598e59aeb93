"""User names that are made up: always valid, free when it is said that they are."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.namespace import TAKEN
from authkit_issuer.service import Service
from authkit_issuer.store.postgres import PoolStore

RESERVED = frozenset({"admin", "moderator", "superuser", "user", "user_1", "u123", "abc_user"})


@given(st.one_of(st.text(), st.from_regex(r"[a-zA-Z0-9_.]{0,40}"), st.sampled_from(sorted(RESERVED))))
@example("")
@example("İstanbul")
@example("abc")
@example("_")
@example("x" * 200)
def test_a_derived_name_is_valid_whatever_it_is_made_of(text: str) -> None:
    name = identifiers.derived_username(text, reserved=RESERVED)
    assert identifiers.username(name, reserved=RESERVED) == name == name.lower()


@given(st.text(), st.text(alphabet="0123456789", max_size=10))
def test_a_suffix_fits_and_stays_whole(text: str, suffix: str) -> None:
    name = identifiers.suffixed_username(identifiers.derived_username(text), suffix)
    assert identifiers.username(name, reserved=()) == name
    assert name.endswith(suffix)


async def test_names_are_derived_as_a_reader_expects(service: Service) -> None:
    derived = {
        "Ada.Lovelace@example.test": "adalovelace",
        "ada_l@example.test": "ada_l",
        "7up@example.test": "u7up",
        "_x@example.test": "u_x_user",
        "bob@example.test": "bob_user",
        "李@example.test": "user",
        "admin@example.test": "admin_1",
        "no address": "noaddress",
        "": "user",
        "a" * 64 + "@example.test": "a" * 30,
    }
    assert {email: service.usernames.derive(email) for email in derived} == derived


async def test_a_name_from_a_provider_is_the_first_that_says_something(service: Service) -> None:
    of = service.usernames.derive_for_oauth
    assert await of("google", "Ada_L", "x@example.test", "Somebody") == "ada_l"
    assert await of("google", " ", "lovelace@example.test", "Somebody") == "lovelace"
    assert await of("google", "李", "", "Ada Lovelace") == "adalovelace"
    assert await of("google", "", "", "") == "google_user"
    await service.users.create(None, "google_user")
    assert await of("google", "", "", "李") == "google_user1"


async def test_a_taken_name_gets_the_smallest_free_number(service: Service) -> None:
    user = (await service.users.create(None, "Ada_L")).id
    await service.users.update_username(user, "countess")
    await service.users.create(None, "ada_l2")
    assert await service.usernames.generate_available("ada_l") == "ada_l1"
    await service.users.create(None, "ada_l1")
    assert await service.usernames.generate_available("Ada L") == "adal"
    assert await service.usernames.generate_available("ada_l") == "ada_l3"


async def test_a_long_name_is_cut_so_that_the_number_fits(service: Service) -> None:
    await service.users.create(None, "a" * 30)
    assert await service.usernames.generate_available("a" * 40) == "a" * 29 + "1"


async def test_beyond_the_numbers_there_is_chance_and_beyond_that_a_refusal(
    service: Service, monkeypatch
) -> None:
    user = (await service.users.create(None, "ada_l")).id

    async def hold(*names: str) -> None:
        await service.pool.execute(
            "insert into profiles.names (slug, user_id) select unnest($1::text[]), $2::text::uuid",
            list(names),
            user,
        )

    await hold(*(f"ada_l{number}" for number in range(1, 1000)))
    name = await service.usernames.generate_available("ada_l")
    assert len(name) == len("ada_l0000")
    monkeypatch.setattr(type(service.usernames), "_digits", lambda self, count: "0" * count)
    await hold("ada_l0000")
    assert await service.usernames.generate_available("ada_l") == "ada_l_user"
    await hold("ada_l_user", "ada_l0000000000")
    with pytest.raises(errors.UsernameInUse):
        await service.usernames.generate_available("ada_l")


async def test_candidates_are_looked_up_in_one_query_and_an_outage_is_not_free(
    service: Service, monkeypatch
) -> None:
    asked: list[object] = []
    fetch = PoolStore.fetch

    async def counting(self, query, args):
        asked.append(query)
        if len(asked) > 1:
            raise errors.DatabaseUnavailable
        return await fetch(self, query, args)

    await service.users.create(None, "ada_l")
    monkeypatch.setattr(PoolStore, "fetch", counting)
    assert await service.usernames.generate_available("ada_l") == "ada_l1"
    assert asked == [TAKEN]
    with pytest.raises(errors.DatabaseUnavailable):
        await service.usernames.generate_available("ada_l")


async def test_parallel_creations_from_one_base_all_get_a_name(service: Service) -> None:
    users = await asyncio.gather(
        *(service.users.add_with_free_name("ada_l", method="test") for _ in range(5))
    )
    assert len({user.username for user in users}) == 5


async def test_a_lost_race_for_a_name_is_tried_again_inside_a_transaction(
    service: Service, monkeypatch
) -> None:
    await service.users.create(None, "ada_l")
    names = iter(["ada_l", "ada_l", "ada_l1"])

    async def stale(self, base: str) -> str:
        return next(names)

    monkeypatch.setattr(type(service.usernames), "generate_available", stale)
    async with service.transaction() as tx:
        user = await tx.users.add_with_free_name("ada_l", method="test")
    assert (await service.users.get(user.id)).username == "ada_l1"
    names = iter(["ada_l"] * 5)
    with pytest.raises(errors.UsernameInUse):
        await service.users.add_with_free_name("ada_l", method="test")


async def test_with_organizations_a_name_is_free_only_with_its_owner_slug(make_service) -> None:
    service = await make_service(org_mode="multi")
    user = (await service.users.create(None, "ada__l")).id
    assert await service.usernames.resolve("Ada-L") == (user, "ada__l")
    assert await service.usernames.generate_available("ada_l") == "ada_l1"
    other = (await service.users.create(None, "other")).id
    with pytest.raises(errors.OwnerSlugTaken):
        await service.users.update_username(other, "ada_l")
    with pytest.raises(errors.UsernameInUse):
        await service.users.update_username(other, "ada__l")
    await service.users.update_username(user, "countess")
    assert await service.usernames.list_aliases(user) == ["ada-l", "ada__l"]
    await service.users.update_username(user, "ada_l")
    assert await service.usernames.resolve("ada__l") == (user, "ada_l")
