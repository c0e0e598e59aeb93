import uuid

import pytest

from authkit_issuer import Service, errors
from fakes.gather import gather


@pytest.fixture
async def user(service: Service) -> str:
    return (await service.users.create("ada@example.com", "ada_l")).id


async def test_a_new_database_knows_the_admin_role_and_no_other(service: Service):
    assert [role.slug for role in await service.roles.list_defined()] == ["admin"]


async def test_the_id_of_a_role_follows_from_its_slug(service: Service):
    role = await service.roles.define("  Editor ", "Editors", "may edit")
    namespace = uuid.UUID("ef5d0f45-83c6-5dbe-b15a-e017bc88ab5a")
    assert (role.slug, role.name, role.id) == ("editor", "Editors", str(uuid.uuid5(namespace, "role:editor")))
    admin = (await service.roles.list_defined())[0]
    assert admin.id == str(uuid.uuid5(namespace, "role:admin"))


async def test_defining_again_renames(service: Service):
    first = await service.roles.define("editor")
    assert first.name == "editor"
    again = await service.roles.define("EDITOR", "Editors")
    assert (again.id, again.name) == (first.id, "Editors")


async def test_assigning_shows_in_the_list_and_in_tokens_and_is_repeatable(service: Service, user: str):
    await service.roles.define("editor")
    for _ in range(2):
        await service.roles.assign(user, " Editor ")
        await service.roles.assign(user, "admin")
    assert await service.roles.list_for_user(user) == ["admin", "editor"]
    token = await service.tokens.issue_access(user)
    assert (await service.tokens.verify(token.token)).roles == ("admin", "editor")


async def test_only_the_first_assignment_is_an_event(service: Service, user: str):
    for _ in range(3):
        await service.roles.assign(user, "admin", actor="root")
    assert await _events(service, "role_assigned") == [("root", "role:admin")]


@pytest.mark.parametrize("slug", ["owner", " OWNER "])
async def test_owner_is_no_global_role(service: Service, user: str, slug: str):
    with pytest.raises(errors.ReservedRoleSlug):
        await service.roles.assign(user, slug)
    with pytest.raises(errors.ReservedRoleSlug):
        await service.roles.define(slug)


@pytest.mark.parametrize("slug", ["", "a" * 65, "näh", "a\x00b", "-a", "a\n"])
async def test_a_text_that_cannot_name_a_role_is_refused(service: Service, slug: str):
    if slug.strip() == "a":
        return
    with pytest.raises(errors.InvalidRoleSlug):
        await service.roles.define(slug)


async def test_a_name_that_cannot_be_stored_is_refused(service: Service):
    for name, description in (("a\x00", None), ("Name", "a\ud800")):
        with pytest.raises(errors.Invalid):
            await service.roles.define("editor", name, description)


async def test_an_unknown_role_or_user_is_said_to_be_unknown(service: Service, user: str):
    with pytest.raises(errors.RoleNotFound):
        await service.roles.assign(user, "nobody_defined_this")
    for unknown in (str(uuid.uuid4()), "no id"):
        with pytest.raises(errors.UserNotFound):
            await service.roles.assign(unknown, "admin")
        assert await service.roles.list_for_user(unknown) == []
        assert await service.roles.remove(unknown, "admin") is False


async def test_a_retired_role_is_not_assigned(service: Service, user: str):
    await service.roles.define("editor")
    await service.pool.execute("update profiles.roles set deleted_at = now() where slug = 'editor'")
    with pytest.raises(errors.RoleNotFound):
        await service.roles.assign(user, "editor")
    await service.roles.define("editor")
    await service.roles.assign(user, "editor")


async def test_removing_says_if_the_role_was_held(service: Service, user: str):
    await service.roles.define("editor")
    await service.roles.assign(user, "editor")
    assert await service.roles.remove(user, "editor") is True
    assert await service.roles.remove(user, "editor") is False
    assert await service.roles.remove(user, "unheard_of") is False
    assert await service.roles.list_for_user(user) == []


async def test_the_last_administrator_keeps_the_role_unless_forced(service: Service, user: str):
    await service.roles.assign(user, "admin")
    with pytest.raises(errors.CannotRemoveLastAdminRole):
        await service.roles.remove(user, "admin")
    assert await service.roles.list_for_user(user) == ["admin"]
    assert await service.roles.remove(user, "admin", force=True) is True


async def test_a_banned_administrator_does_not_count_as_another_one(service: Service, user: str):
    banned = (await service.users.create(None, "banned_admin")).id
    await service.roles.assign(user, "admin")
    await service.roles.assign(banned, "admin")
    await service.lifecycle.ban(banned)
    with pytest.raises(errors.CannotRemoveLastAdminRole):
        await service.roles.remove(user, "admin")


async def test_two_administrators_who_remove_each_other_leave_one(service: Service, rounds):
    first = (await service.users.create(None, "first_admin")).id
    second = (await service.users.create(None, "second_admin")).id
    for _ in range(rounds(1000)):
        await service.roles.assign(first, "admin")
        await service.roles.assign(second, "admin")
        outcomes = await gather(
            lambda: service.roles.remove(first, "admin"), lambda: service.roles.remove(second, "admin")
        )
        assert sorted(str(outcome) for outcome in outcomes if outcome is True) == ["True"]
        assert sum(isinstance(outcome, errors.CannotRemoveLastAdminRole) for outcome in outcomes) == 1


async def _events(service: Service, event: str) -> list[tuple[str, str]]:
    rows = await service.pool.fetch(
        "select actor, target from profiles.session_events where event = $1 order by id", event
    )
    return [tuple(row) for row in rows]
