import asyncio
import uuid

import pytest

from authkit_issuer import Entitlement, Service, errors


class Grants:
    """A provider that counts its questions."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.failure: Exception | None = None

    async def list_entitlements(self, user_id: str) -> list[Entitlement]:
        self.asked.append([user_id])
        return [Entitlement(name="pro")]

    async def list_entitlements_many(self, user_ids):
        self.asked.append([*user_ids])
        if self.failure:
            raise self.failure
        return {user_id: [Entitlement(name="pro"), Entitlement(name="beta")] for user_id in user_ids}


@pytest.fixture
async def people(service: Service) -> dict[str, str]:
    names = ("Alice", "albert", "bob_x", "carol_y")
    return {name: (await service.users.create(f"{name}@Mail.example", name)).id for name in names}


async def _names(service: Service, **question) -> list[str]:
    return [user.username for user in (await service.admin.list_users(**question)).users]


async def test_a_page_has_the_newest_first_and_says_how_many_there_are(service: Service, people, age):
    for days, user in enumerate(people.values()):
        await age("users", user, created_at=86400 * (9 - days))
    result = await service.admin.list_users(1, 3)
    assert [user.username for user in result.users] == ["carol_y", "bob_x", "albert"]
    assert (result.total, result.limit, result.offset, result.total_is_estimate) == (4, 3, 0, False)
    second = await service.admin.list_users(2, 3)
    assert [user.username for user in second.users] == ["Alice"]
    assert second.offset == 3
    assert await _names(service, sort="username", desc=False) == ["albert", "Alice", "bob_x", "carol_y"]


@pytest.mark.parametrize(
    ("page", "size", "offset", "limit"), [(0, 0, 0, 50), (-1, 201, 0, 50), (3, 200, 400, 200)]
)
async def test_pages_outside_of_reason_are_brought_back(service: Service, page, size, offset, limit):
    result = await service.admin.list_users(page, size)
    assert (result.offset, result.limit, result.users, result.total) == (offset, limit, [], 0)


async def test_an_absurd_page_is_empty(service: Service, people):
    assert (await service.admin.list_users(10**30)).users == []


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("AL", {"Alice", "albert"}),
        (" alice@mail.EXAMPLE ", {"Alice"}),
        ("bob_", {"bob_x"}),
        ("ob_x", set()),
        ("%", set()),
        ("_ob", set()),
        ("a\x00b", set()),
        ("+1555", {"carol_y"}),
    ],
)
async def test_a_search_goes_by_the_beginning(service: Service, people, search: str, found: set[str]):
    await service.pool.execute(
        "update profiles.users set phone_number = '+15550100' where username = 'carol_y'"
    )
    assert set(await _names(service, search=search)) == found


async def test_a_search_for_an_id_finds_that_user_alone(service: Service, people):
    assert await _names(service, search=people["bob_x"].upper()) == ["bob_x"]


@pytest.mark.parametrize(
    ("search", "found"),
    [("OB_", {"bob_x"}), ("mail.ex", {"Alice", "albert", "bob_x", "carol_y"}), ("a%e", set()), ("\\", set())],
)
async def test_a_search_inside_takes_wildcards_literally(service: Service, people, search, found):
    assert set(await _names(service, search=search, match="substring")) == found


async def test_a_whole_address_is_found_however_long_it_is(service: Service):
    address = "a" * 60 + "@" + ".".join(["b" * 10] * 10) + ".example"
    await service.users.create(address, "long_mail")
    assert await _names(service, search=address.upper()) == ["long_mail"]


async def test_deleted_users_are_listed_only_when_asked_for(service: Service, people):
    await service.lifecycle.soft_delete(people["bob_x"])
    await service.lifecycle.ban(people["albert"])
    assert set(await _names(service)) == {"Alice", "albert", "carol_y"}
    assert await _names(service, only_deleted=True) == ["bob_x"]
    assert await _names(service, status="deleted") == ["bob_x"]
    assert await _names(service, status="banned") == ["albert"]
    assert set(await _names(service, status="active")) == {"Alice", "carol_y"}
    assert len(await _names(service, status="any")) == 4


async def test_a_lapsed_ban_does_not_count(service: Service, people, age, clock):
    await service.pool.execute(
        "update profiles.users set banned_at = now(), banned_until = now() - interval '1 second'"
        " where username = 'albert'"
    )
    assert await _names(service, status="banned") == []


@pytest.mark.parametrize("name", ["Super Administrators", " super administrators "])
async def test_the_historic_filters_stand_for_roles(service: Service, people, name: str):
    await service.roles.assign(people["bob_x"], "admin")
    assert await _names(service, filter=name) == ["bob_x"]
    assert await _names(service, role="ADMIN") == ["bob_x"]
    assert await _names(service, filter="Taggers") == []
    assert len(await _names(service, filter="All users")) == 4


async def test_the_sample_is_one_page_of_holders(service: Service, people):
    await service.roles.define("premium")
    for user in people.values():
        await service.roles.assign(user, "premium")
    result = await service.admin.list_users(filter="10 random premium members")
    assert (len(result.users), result.total, result.limit) == (4, 4, 10)
    assert (await service.admin.list_users(2, filter="10 random premium members")).users == []


@pytest.mark.parametrize(
    "question",
    [
        {"filter": "nonsense"},
        {"status": "gone"},
        {"sort": "id; drop table"},
        {"match": "regex"},
        {"role": "a\x00"},
    ],
)
async def test_an_unknown_word_is_refused(service: Service, question):
    with pytest.raises(errors.Invalid) as refused:
        await service.admin.list_users(**question)
    assert refused.value.param in question


async def test_many_matches_are_estimated(service: Service):
    await service.pool.execute(
        "insert into profiles.users (username) select 'user' || n from generate_series(1, 10001) n"
    )
    await service.pool.execute("analyze profiles.users")
    result = await service.admin.list_users()
    assert (result.total, result.total_is_estimate) == (10001, True)
    found = await service.admin.list_users(search="user")
    assert (found.total, found.total_is_estimate, len(found.users)) == (10000, True, 50)


async def test_a_search_that_takes_too_long_says_so(service: Service, monkeypatch):
    async def forever(*_args):
        await asyncio.sleep(60)

    monkeypatch.setattr("authkit_issuer.domains.admin.service.SEARCH_TIMEOUT", 0.01)
    monkeypatch.setattr("authkit_issuer.runtime.Runtime.one", forever)
    with pytest.raises(errors.SearchTooSlow):
        await service.admin.list_users(search="x", match="substring")


async def test_roles_and_entitlements_come_in_one_question_each(make_service):
    grants = Grants()
    service = await make_service(entitlements_provider=grants)
    users = [(await service.users.create(None, f"person{number}")).id for number in range(3)]
    await service.roles.assign(users[0], "admin")
    grants.asked.clear()
    result = await service.admin.list_users(sort="username", desc=False)
    assert [user.roles for user in result.users] == [["admin"], [], []]
    assert {user.entitlements for user in result.users} == {("beta", "pro")}
    assert grants.asked == [users]


async def test_a_provider_that_fails_leaves_the_page_standing(make_service):
    grants = Grants()
    service = await make_service(entitlements_provider=grants)
    user = (await service.users.create(None, "person")).id
    grants.failure = RuntimeError("down")
    assert (await service.admin.get_user(user)).entitlements is None


async def test_one_user_with_everything(service: Service, people):
    await service.lifecycle.soft_delete(people["Alice"])
    found = await service.admin.get_user(people["Alice"])
    assert (found.username, found.email) == ("Alice", "alice@mail.example")
    assert (found.roles, found.entitlements) == ([], ())
    assert found.deleted_at is not None
    for unknown in (str(uuid.uuid4()), "no id"):
        with pytest.raises(errors.UserNotFound):
            await service.admin.get_user(unknown)


async def test_sessions_are_listed_and_ended_for_the_operators_reason(service: Service, people):
    user = people["Alice"]
    await service.sessions.issue(user)
    await service.sessions.issue(user)
    assert len(await service.admin.list_sessions(user)) == 2
    assert await service.admin.revoke_sessions(user) == 2
    reasons = await service.pool.fetch(
        "select distinct reason from profiles.session_events where reason <> ''"
    )
    assert [row["reason"] for row in reasons] == ["admin_revoke_all"]


async def test_deleting_is_for_good(service: Service, people):
    assert await service.admin.delete_user(people["Alice"]) is True
    assert await service.admin.delete_user(people["Alice"]) is False


class TestExplaining:
    async def test_an_unknown_user_is_not_found(self, service: Service):
        for unknown in (str(uuid.uuid4()), "no id"):
            with pytest.raises(errors.UserNotFound):
                await service.admin.explain_user(unknown)

    async def test_each_obstacle_is_named_with_its_rule(self, service: Service, people):
        user = people["Alice"]
        answer = await service.admin.explain_user(user)
        assert not answer.can_sign_in
        assert [finding.code for finding in answer.obstacles] == ["no_way_to_sign_in", "not_verified"]
        await service.users.set_email_verified(user, True)
        await service.passwords.store_hash(user, await service.passwords.hash("correct horse battery"))
        assert (await service.admin.explain_user(user)).obstacles == ()
        await service.lifecycle.ban(user, "spam")
        answer = await service.admin.explain_user(user)
        assert [finding.code for finding in answer.obstacles] == ["banned"]
        assert answer.obstacles[0].sentence == "The account is banned: spam."
        assert [event.event for event in answer.obstacles[0].events] == ["user_banned"]

    async def test_why_a_session_ended_comes_with_the_events_of_that_session(self, service: Service, people):
        user = people["Alice"]
        first = await service.sessions.issue(user, method="password_login")
        for _ in range(3):
            await service.sessions.issue(user)
        (ending,) = (await service.admin.explain_user(user)).endings
        assert (ending.code, ending.rule) == ("evicted", "session_max_per_user")
        assert [event.event for event in ending.events] == ["session_revoked", "session_created"]
        assert {event.session_id for event in ending.events} == {first.session_id}

    async def test_refused_logins_are_in_the_trail_of_the_account_that_was_meant(
        self, service: Service, people
    ):
        user = people["Alice"]
        for identifier in ("alice@mail.example", "Alice", "unknown@mail.example"):
            with pytest.raises(errors.InvalidCredentials) as refused:
                await service.logins.with_password(identifier, "a wrong password")
            assert user not in str(refused.value) + str(refused.value.metadata)
        refusals = (await service.admin.explain_user(user)).refusals
        assert [finding.code for finding in refusals] == ["invalid_credentials"] * 2

    async def test_every_reason_has_a_sentence(self):
        from authkit_issuer import SessionRevokeReason
        from authkit_issuer.domains.admin.explanation import _ENDINGS

        assert set(_ENDINGS) == set(SessionRevokeReason) - {SessionRevokeReason.UNKNOWN}

    async def test_an_account_that_is_gone_is_explained_by_its_events(self, service: Service, people):
        await service.lifecycle.hard_delete(people["Alice"])
        answer = await service.admin.explain_user(people["Alice"])
        assert [finding.code for finding in answer.obstacles] == ["deleted_for_good"]
        assert not answer.can_sign_in


class TestReadingEvents:
    async def test_newest_first_by_kind_and_page(self, service: Service, people):
        user = people["Alice"]
        for _ in range(5):
            await service.events.log_password_changed(user)
        await service.events.log_session_failed(user, reason="invalid_credentials")
        every = await service.events.list_session_events(user)
        assert [event.event for event in every] == [
            "session_failed",
            *["password_changed"] * 5,
            "user_created",
        ]
        changes = await service.events.list_session_events(user, "password_changed", limit=2)
        rest = await service.events.list_session_events(user, "password_changed", before=changes[-1])
        assert [event.id for event in (*changes, *rest)] == [event.id for event in every[1:6]]

    async def test_an_empty_user_means_all(self, service: Service, people):
        found = await service.events.list_session_events("", "user_created")
        assert {event.user_id for event in found} == set(people.values())
