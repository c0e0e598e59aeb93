import uuid

import pytest

from authkit_issuer import Service, errors
from fakes.gather import gather


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(org_mode="multi")


@pytest.fixture
async def ada(service: Service) -> str:
    return (await service.users.create("ada@example.com", "ada_l")).id


@pytest.fixture
async def bob(service: Service) -> str:
    return (await service.users.create("bob@example.com", "Bob_M")).id


class TestNames:
    async def test_an_organization_is_found_by_its_name_in_any_spelling(self, service: Service, ada: str):
        made = await service.orgs.create(" Acme-1 ", owner_user_id=ada)
        assert (made.slug, made.is_personal, made.owner_user_id) == ("acme-1", False, None)
        assert await service.orgs.resolve("ACME-1") == made

    @pytest.mark.parametrize("slug", ["", "-a", "a-", "a_b", "a.b", "a/b", "a" * 64, "ä", "a\x00"])
    async def test_a_text_that_is_not_a_name_is_refused(self, service: Service, slug: str):
        for call in (service.orgs.create, service.orgs.resolve, service.org_members.list):
            with pytest.raises(errors.InvalidOrgSlug):
                await call(slug)

    async def test_a_former_name_leads_to_the_organization_and_to_no_other(self, service: Service):
        org = await service.orgs.create("old-name")
        await service.orgs.rename(org.id, "new-name")
        assert (await service.orgs.resolve("old-name")).slug == "new-name"
        assert await service.orgs.list_aliases(org.id) == ["old-name"]
        with pytest.raises(errors.OwnerSlugTaken):
            await service.orgs.create("old-name")

    async def test_the_trail_says_who_renamed_what(self, service: Service, ada: str):
        org = await service.orgs.create("old-name", owner_user_id=ada)
        await service.orgs.rename(org.id, "new-name", actor=ada)
        (event,) = await service.events.list_session_events("", "org_renamed")
        assert (event.actor, event.target) == (ada, f"org:{org.id}")
        assert event.data == {"before": "old-name", "after": "new-name"}

    async def test_an_organization_may_return_to_a_former_name(self, service: Service):
        org = await service.orgs.create("first")
        await service.orgs.rename(org.id, "second")
        await service.orgs.rename(org.id, "first")
        assert (await service.orgs.resolve("second")).slug == "first"
        assert await service.orgs.list_aliases(org.id) == ["second"]
        await service.orgs.rename(org.id, "FIRST")

    async def test_one_namespace_holds_users_and_organizations(self, service: Service, ada: str):
        await service.orgs.create("carol")
        with pytest.raises(errors.UsernameInUse):
            await service.users.create(None, "Carol")
        await service.orgs.create("dave-x")
        with pytest.raises(errors.OwnerSlugTaken):
            await service.users.create(None, "dave_x")
        for taken in ("ada-l", "carol"):
            with pytest.raises(errors.OwnerSlugTaken):
                await service.orgs.create(taken)

    async def test_a_user_and_an_organization_that_want_one_name_leave_one_holder(
        self, service: Service, rounds
    ):
        for number in range(rounds(1000)):
            name = f"name{number}"
            outcomes = await gather(
                lambda name=name: service.users.create(None, name),
                lambda name=name: service.orgs.create(name),
            )
            lost = [outcome for outcome in outcomes if isinstance(outcome, errors.AuthError)]
            assert len(lost) == 1
            assert lost[0].code in {"username_in_use", "owner_slug_taken"}
            assert (
                await service.pool.fetchval("select count(*) from profiles.names where slug = $1", name) == 1
            )

    async def test_renaming_what_does_not_exist(self, service: Service):
        for nothing in (str(uuid.uuid4()), "no id", ""):
            with pytest.raises(errors.OrgNotFound):
                await service.orgs.rename(nothing, "acme")
            with pytest.raises(errors.OrgNotFound):
                await service.orgs.list_aliases(nothing)


class TestPersonal:
    async def test_every_new_user_has_one_and_owns_it(self, service: Service, bob: str):
        org = await service.orgs.get_personal(bob)
        assert (org.slug, org.is_personal, org.owner_user_id) == ("bob-m", True, bob)
        assert await service.org_members.list_roles("bob-m", bob) == ["owner"]
        assert await service.orgs.list_roles("bob-m") == ["member", "owner"]

    async def test_it_follows_the_user_name_there_and_back(self, service: Service, bob: str):
        org = await service.orgs.get_personal(bob)
        await service.users.update_username(bob, "robert")
        assert (await service.orgs.get_personal(bob)).slug == "robert"
        assert (await service.orgs.resolve("bob-m")).id == org.id
        assert await service.orgs.list_aliases(org.id) == ["bob-m"]
        await service.users.update_username(bob, "Bob_M")
        assert (await service.orgs.get_personal(bob)).slug == "bob-m"
        assert await service.orgs.list_aliases(org.id) == ["robert"]

    async def test_it_is_renamed_no_other_way(self, service: Service, bob: str):
        org = await service.orgs.get_personal(bob)
        with pytest.raises(errors.PersonalOrgLocked):
            await service.orgs.rename(org.id, "something-else")

    async def test_a_user_without_a_name_has_none_until_named(self, service: Service):
        nameless = (await service.users.create("n@example.com", None)).id
        with pytest.raises(errors.PersonalOrgNotFound):
            await service.orgs.get_personal(nameless)
        await service.users.update_username(nameless, "nameless")
        assert (await service.orgs.get_personal(nameless)).slug == "nameless"

    async def test_its_user_stays_its_owner(self, service: Service, ada: str, bob: str):
        await service.org_members.add("bob-m", ada)
        await service.org_members.assign_role("bob-m", ada, "owner")
        with pytest.raises(errors.CannotRemovePersonalOrgOwner):
            await service.org_members.remove("bob-m", bob)
        with pytest.raises(errors.CannotRemovePersonalOrgOwner):
            await service.org_members.unassign_role("bob-m", bob, "owner")

    async def test_a_name_taken_by_an_organization_undoes_the_whole_registration(self, service: Service):
        await service.orgs.create("taken-name")
        with pytest.raises(errors.OwnerSlugTaken):
            await service.users.create("t@example.com", "taken_name")
        assert await service.users.get_by_email("t@example.com") is None
        assert await service.pool.fetchval("select count(*) from profiles.orgs") == 1

    async def test_users_from_before_organizations_are_given_theirs(self, make_service):
        single = await make_service(org_mode="single")
        names = ("a_bc", "a__bc", "zoe_q")
        users = [(await single.users.create(None, name)).id for name in names]
        with pytest.raises(errors.PersonalOrgNotFound):
            await single.orgs.get_personal(users[0])
        multi = await make_service(org_mode="multi")
        assert await multi.orgs.backfill_personal() == 3
        slugs = sorted([(await multi.orgs.get_personal(user)).slug for user in users])
        assert slugs == ["a-bc", "a-bc-2", "zoe-q"]
        assert await multi.orgs.backfill_personal() == 0
        for user, name in zip(users, names, strict=True):
            await multi.users.update_username(user, name.capitalize())
        assert sorted([(await multi.orgs.get_personal(user)).slug for user in users]) == slugs

    async def test_a_user_of_too_many_organizations_gets_none_and_the_others_theirs(
        self, make_service, monkeypatch
    ):
        single = await make_service(org_mode="single")
        users = [(await single.users.create(None, name)).id for name in ("ada_l", "bob_k", "cy_q")]
        multi = await make_service(org_mode="multi")
        await multi.orgs.create("team", owner_user_id=min(users))
        monkeypatch.setattr("authkit_issuer.domains.orgs.members.MAX_MEMBERSHIPS", 1)
        assert await multi.orgs.backfill_personal() == 2


class TestRoles:
    async def test_a_role_is_defined_listed_and_deleted_with_every_assignment(
        self, service: Service, ada: str
    ):
        await service.orgs.create("acme", owner_user_id=ada)
        for _ in range(2):
            await service.orgs.define_role("acme", "billing:read")
        await service.org_members.assign_role("acme", ada, "billing:read")
        assert await service.orgs.list_roles("acme") == ["billing:read", "member", "owner"]
        assert await service.orgs.delete_role("acme", "billing:read") is True
        assert await service.orgs.delete_role("acme", "billing:read") is False
        assert await service.org_members.list_roles("acme", ada) == ["owner"]

    async def test_the_trail_says_who_defined_and_deleted_a_role_and_how_many_held_it(
        self, service: Service, ada: str, bob: str
    ):
        org = await service.orgs.create("acme", owner_user_id=ada)
        for _ in range(2):
            await service.orgs.define_role("acme", "billing", actor=ada)
        await service.org_members.add("acme", bob)
        await service.org_members.assign_role("acme", bob, "billing")
        for _ in range(2):
            await service.orgs.delete_role("acme", "billing", actor=bob)
        (defined,) = await service.events.list_session_events("", "org_role_defined")
        (deleted,) = await service.events.list_session_events("", "org_role_deleted")
        assert (defined.actor, defined.target, deleted.actor) == (ada, f"org:{org.id}", bob)
        assert defined.data == {"slug": "acme", "roles": ["billing"]}
        assert deleted.data == {"slug": "acme", "roles": ["billing"], "members": 1}

    async def test_a_change_of_roles_that_is_rolled_back_leaves_no_trail(self, service: Service):
        await service.orgs.create("acme")
        with pytest.raises(errors.InvalidOrgRole):
            async with service.transaction() as tx:
                await tx.orgs.define_role("acme", "billing")
                await tx.orgs.delete_role("acme", "member")
                await tx.orgs.define_role("acme", "a b")
        assert await service.orgs.list_roles("acme") == ["member", "owner"]
        assert await service.events.list_session_events("", "org_role_defined", "org_role_deleted") == []

    async def test_names_that_differ_in_letter_case_alone_are_one(self, service: Service):
        await service.orgs.create("acme")
        await service.orgs.define_role("acme", "Admin")
        with pytest.raises(errors.InvalidOrgRole):
            await service.orgs.define_role("acme", "admin")
        for spelling in ("OWNER", "Owner", "MEMBER"):
            with pytest.raises(errors.InvalidOrgRole):
                await service.orgs.define_role("acme", spelling)
        await service.orgs.define_role("acme", "owner")
        assert await service.orgs.list_roles("acme") == ["Admin", "member", "owner"]

    async def test_owner_cannot_be_deleted_and_nonsense_not_defined(self, service: Service):
        await service.orgs.create("acme")
        with pytest.raises(errors.ProtectedOrgRole):
            await service.orgs.delete_role("acme", "Owner")
        for nonsense in ("", "a b", "ä", "x" * 65, "a\x00"):
            with pytest.raises(errors.InvalidOrgRole):
                await service.orgs.define_role("acme", nonsense)


class TestTokens:
    async def test_a_token_of_an_organization_carries_its_roles_and_no_global_one(
        self, service: Service, ada: str
    ):
        await service.orgs.create("acme", owner_user_id=ada)
        await service.orgs.define_role("acme", "admin")
        await service.org_members.assign_role("acme", ada, "admin")
        await service.roles.define("staff")
        await service.roles.assign(ada, "staff")
        issued = await service.tokens.issue_org_access(ada, "ignored@example.com", "acme")
        claims = await service.tokens.verify(issued.token)
        assert (claims.org, claims.org_roles, claims.roles) == ("acme", ("admin", "owner"), ())
        assert not claims.has_role("admin")
        assert claims.email == "ada@example.com"
        plain = await service.tokens.verify((await service.tokens.issue_access(ada)).token)
        assert "roles" not in plain.raw

    async def test_the_current_name_stands_in_the_token_whatever_was_asked_for(
        self, service: Service, ada: str
    ):
        org = await service.orgs.create("old-name", owner_user_id=ada)
        await service.orgs.rename(org.id, "new-name")
        issued = await service.tokens.issue_org_access(ada, "", "old-name")
        assert (await service.tokens.verify(issued.token)).org == "new-name"

    async def test_a_user_that_is_not_a_member_gets_none(self, service: Service, ada: str, bob: str):
        await service.orgs.create("acme", owner_user_id=ada)
        with pytest.raises(errors.NotOrgMember):
            await service.tokens.issue_org_access(bob, "", "acme")
        with pytest.raises(errors.OrgNotFound):
            await service.tokens.issue_org_access(bob, "", "nothing")
        with pytest.raises(errors.ReservedClaim):
            await service.tokens.issue_org_access(ada, "", "acme", {"org": "other"})

    async def test_a_single_service_issues_none(self, make_service):
        single = await make_service()
        user = (await single.users.create(None, "solo_user")).id
        await single.orgs.create("acme", owner_user_id=user)
        with pytest.raises(errors.OrgModeNotMulti):
            await single.tokens.issue_org_access(user, "", "acme")

    async def test_an_exchange_switches_the_organization_and_a_wrong_one_costs_nothing(
        self, service: Service, ada: str, bob: str
    ):
        await service.orgs.create("acme", owner_user_id=ada)
        await service.orgs.create("other", owner_user_id=bob)
        token = (await service.sessions.issue(ada)).refresh_token
        for wrong, refusal in (
            ("other", errors.NotOrgMember), ("nothing", errors.OrgNotFound), ("a_b", errors.InvalidOrgSlug),
        ):  # fmt: skip
            with pytest.raises(refusal):
                await service.sessions.exchange(token, org=wrong)
        assert await service.pool.fetchval("select generation from profiles.refresh_sessions") == 0
        pair = await service.sessions.exchange(token, org="acme")
        claims = await service.tokens.verify(pair.access_token)
        assert (claims.org, claims.org_roles) == ("acme", ("owner",))
        again = await service.sessions.exchange(token, org="acme")
        assert again.refresh_token == pair.refresh_token
        assert (await service.tokens.verify(again.access_token)).org == "acme"

    async def test_removal_during_an_exchange_leaves_no_token_of_the_organization(
        self, service: Service, ada: str, bob: str, rounds
    ):
        await service.orgs.create("acme", owner_user_id=ada)
        token = (await service.sessions.issue(bob)).refresh_token
        for _ in range(rounds(100)):
            await service.org_members.add("acme", bob)
            exchanged, removed = await gather(
                lambda token=token: service.sessions.exchange(token, org="acme"),
                lambda: service.org_members.remove("acme", bob),
            )
            assert removed is True
            if isinstance(exchanged, errors.NotOrgMember):
                exchanged = await service.sessions.exchange(token)
            token = exchanged.refresh_token
            with pytest.raises(errors.NotOrgMember):
                await service.sessions.exchange(token, org="acme")

    async def test_the_token_carries_the_id_that_no_rename_changes(self, service: Service, ada: str):
        org = await service.orgs.create("old-name", owner_user_id=ada)
        token = (await service.sessions.issue(ada)).refresh_token
        for name in ("old-name", "new-name"):
            issued = await service.tokens.issue_org_access(ada, "", name)
            pair = await service.sessions.exchange(token, org=name)
            token = pair.refresh_token
            for text in (issued.token, pair.access_token):
                claims = await service.tokens.verify(text)
                assert (claims.org, claims.org_id) == (name, org.id)
            if name == "old-name":
                await service.orgs.rename(org.id, "new-name")
        with pytest.raises(errors.ReservedClaim):
            await service.tokens.issue_access(ada, extra={"org_id": org.id})
        plain = await service.tokens.verify((await service.tokens.issue_access(ada)).token)
        assert (plain.org, plain.org_id) == (None, None)
