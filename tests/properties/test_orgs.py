"""Organizations, their members and roles, and the one namespace, against a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from authkit_issuer import OrgMembership, errors
from authkit_issuer.identifiers import owner_slug

# Few names, so that they collide: as they are, as owner slugs of each other, in another letter case.
USERNAMES = st.sampled_from(["anna", "ANNA", "an_na", "an__na", "beat", "be_at"])
SLUGS = st.sampled_from(["anna", "an-na", "beat", "acme", "zeta"])
NAMING = st.sampled_from(
    ["register", "rename a user", "found", "found without an owner", "rename an organization"]
)
# Counted from the newest of those that are shared: small numbers meet often.
PERSON = st.integers(0, 2)
ORG = st.sampled_from([0, 0, 0, 1, 2, 3])
ROLES = st.sampled_from(["owner", "owner", "OWNER", "member", "editor", "Editor", "a b"])


@dataclass(eq=False)
class Person:
    id: str
    username: str
    banned: bool = False

    @property
    def names(self) -> list[str]:
        name, slug = self.username.lower(), owner_slug(self.username)
        return [name] if name == slug else [name, slug]


@dataclass(eq=False)
class Modelled:
    id: str
    slug: str
    owner: Person | None = None
    """Whose personal organization it is."""
    members: dict[Person, set[str]] = field(default_factory=dict)
    roles: set[str] = field(default_factory=lambda: {"owner", "member"})

    def has_another_owner(self, leaving: Person) -> bool:
        return any(
            "owner" in roles and not person.banned
            for person, roles in self.members.items()
            if person is not leaving
        )


class Orgs(RuleBasedStateMachine):
    driver: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.driver.empty()
        self.service = self.driver.service
        self.everybody: list[Person] = []
        self.everything: list[Modelled] = []
        self.holders: dict[str, Person | Modelled] = {}
        """Who holds each name, now or formerly."""

    def held(self, names: list[str], by: Person | Modelled | None) -> list[str]:
        return [name for name in names if self.holders.get(name, by) is not by]

    def refusal(self, names: list[str], by: Person | None) -> type[errors.AuthError] | None:
        """Return the refusal of a user that asks for these names."""
        held = self.held(names, by)
        if not held:
            return None
        return errors.UsernameInUse if names[0] in held else errors.OwnerSlugTaken

    def person(self, number: int) -> Person:
        return self.everybody[number % len(self.everybody)]

    def org(self, place: int) -> Modelled:
        newest_first = self.everything[::-1]
        shared_first = sorted(newest_first, key=lambda org: org.owner is not None)
        return shared_first[place % len(shared_first)]

    @initialize()
    def begin(self) -> None:
        for username in ("anna", "beat"):
            self.register(username)
        self.found("acme", 0)
        self.add(1, 0)
        self.assign(1, 0, "owner")

    # --- names ---------------------------------------------------------------------------------------------

    @rule(what=NAMING, number=PERSON, place=ORG, username=USERNAMES, slug=SLUGS)
    def take_a_name(self, what: str, number: int, place: int, username: str, slug: str) -> None:
        """As one rule, or names would keep everybody busy."""
        match what:
            case "register":
                self.register(username)
            case "rename a user":
                self.rename_a_user(number, username)
            case "found":
                self.found(slug, number)
            case "found without an owner":
                self.found(slug, None)
            case _:
                self.rename_an_organization(place, slug)

    def register(self, username: str) -> None:
        person = Person("", username)
        wanted = self.refusal(person.names, person)
        found = self.driver.attempt(self.service.users.create(None, username))
        if wanted is not None:
            assert found is wanted
            return
        person.id = found.id
        self.everybody.append(person)
        self.holders |= dict.fromkeys(person.names, person)
        personal = self.driver.run(self.service.orgs.get_personal(person.id))
        self.everything.append(Modelled(personal.id, owner_slug(username), person, {person: {"owner"}}))

    def rename_a_user(self, number: int, username: str) -> None:
        person = self.person(number)
        renamed = Person(person.id, username)
        wanted = self.refusal(renamed.names, person)
        assert self.driver.attempt(self.service.users.update_username(person.id, username)) is wanted
        if wanted is None:
            person.username = username
            self.holders |= dict.fromkeys(person.names, person)
            self.personal(person).slug = owner_slug(username)

    def personal(self, person: Person) -> Modelled:
        return next(org for org in self.everything if org.owner is person)

    def found(self, slug: str, number: int | None) -> None:
        founder = None if number is None else self.person(number)
        call = self.service.orgs.create(slug, owner_user_id=founder.id if founder else None)
        made = self.driver.attempt(call)
        if slug in self.holders:
            assert made is errors.OwnerSlugTaken
            return
        org = Modelled(made.id, slug, members={founder: {"owner"}} if founder else {})
        self.everything.append(org)
        self.holders[slug] = org

    def rename_an_organization(self, place: int, slug: str) -> None:
        org = self.org(place)
        wanted = (
            errors.PersonalOrgLocked
            if org.owner
            else errors.OwnerSlugTaken
            if self.held([slug], org)
            else None
        )
        assert self.driver.attempt(self.service.orgs.rename(org.id, slug)) is wanted
        if wanted is None:
            org.slug = slug
            self.holders[slug] = org

    # --- members and roles ---------------------------------------------------------------------------------

    @rule(place=ORG, number=PERSON)
    def add(self, number: int, place: int) -> None:
        person, org = self.person(number), self.org(place)
        self.driver.run(self.service.org_members.add(self.any_name(org), person.id))
        org.members.setdefault(person, set())

    @rule(place=ORG, number=PERSON)
    def remove(self, number: int, place: int) -> None:
        person, org = self.person(number), self.org(place)
        wanted: Any = person in org.members
        if org.owner is person:
            wanted = errors.CannotRemovePersonalOrgOwner
        elif wanted and "owner" in org.members[person] and not org.has_another_owner(person):
            wanted = errors.CannotRemoveLastOwner
        assert self.driver.attempt(self.service.org_members.remove(self.any_name(org), person.id)) is wanted
        if wanted is True:
            del org.members[person]

    @rule(place=ORG, role=ROLES, define=st.booleans())
    def define_or_delete_role(self, *, place: int, role: str, define: bool) -> None:
        (self.define_role if define else self.delete_role)(place, role)

    def define_role(self, place: int, role: str) -> None:
        org = self.org(place)
        name = "owner" if role.lower() == "owner" else role
        other = any(known != name and known.lower() == name.lower() for known in org.roles)
        misspelled = name == "owner" and role != "owner"
        wanted = errors.InvalidOrgRole if " " in role or other or misspelled else None
        assert self.driver.attempt(self.service.orgs.define_role(self.any_name(org), role)) is wanted
        if wanted is None:
            org.roles.add(name)

    def delete_role(self, place: int, role: str) -> None:
        org = self.org(place)
        wanted: Any = role in org.roles
        if " " in role:
            wanted = errors.InvalidOrgRole
        elif role.lower() == "owner":
            wanted = errors.ProtectedOrgRole
        assert self.driver.attempt(self.service.orgs.delete_role(self.any_name(org), role)) is wanted
        if wanted is True:
            org.roles.discard(role)
            for roles in org.members.values():
                roles.discard(role)

    @rule(place=ORG, number=PERSON, role=ROLES)
    def assign(self, number: int, place: int, role: str) -> None:
        person, org = self.person(number), self.org(place)
        name = "owner" if role.lower() == "owner" else role
        wanted = None
        if " " in role:
            wanted = errors.InvalidOrgRole
        elif person not in org.members:
            wanted = errors.NotOrgMember
        elif name not in org.roles:
            wanted = errors.OrgRoleNotFound
        call = self.service.org_members.assign_role(self.any_name(org), person.id, role)
        assert self.driver.attempt(call) is wanted
        if wanted is None:
            org.members[person].add(name)

    @rule(place=ORG, number=PERSON, role=ROLES)
    def unassign(self, number: int, place: int, role: str) -> None:
        person, org = self.person(number), self.org(place)
        name = "owner" if role.lower() == "owner" else role
        wanted: Any = name in org.members.get(person, ())
        if " " in role:
            wanted = errors.InvalidOrgRole
        elif wanted and name == "owner" and org.owner is person:
            wanted = errors.CannotRemovePersonalOrgOwner
        elif wanted and name == "owner" and not org.has_another_owner(person):
            wanted = errors.CannotRemoveLastOwner
        call = self.service.org_members.unassign_role(self.any_name(org), person.id, role)
        assert self.driver.attempt(call) is wanted
        if wanted is True:
            org.members[person].discard(name)

    def any_name(self, org: Modelled) -> str:
        """Return a former name where there is one: every method takes it."""
        return next((name for name in self.former(org)), org.slug)

    def former(self, org: Modelled) -> list[str]:
        current = org.owner.names if org.owner else [org.slug]
        return sorted(
            name
            for name, holder in self.holders.items()
            if holder in {org, org.owner} and name not in current and "_" not in name
        )

    # --- people come and go --------------------------------------------------------------------------------

    @rule(number=PERSON, for_good=st.sampled_from([False] * 5 + [True]))
    def turn_away(self, *, number: int, for_good: bool) -> None:
        """Ban or unban; seldom delete, or no user would be left."""
        if for_good:
            self.delete_for_good(number)
            return
        person = self.person(number)
        if person.banned:
            self.driver.run(self.service.lifecycle.unban(person.id))
            person.banned = False
            return
        orphaned = [
            org
            for org in self.everything
            if not org.owner
            and len(org.members) > 1
            and "owner" in org.members.get(person, ())
            and not org.has_another_owner(person)
        ]
        found = self.driver.attempt(self.service.lifecycle.ban(person.id))
        assert found is (errors.CannotRemoveLastOwner if orphaned else None)
        if orphaned:
            self.driver.run(self.service.lifecycle.ban(person.id, force=True))
        person.banned = True

    def delete_for_good(self, number: int) -> None:
        person = self.person(number)
        if len(self.everybody) == 1:
            return
        shared = [org for org in self.everything if person in org.members and not org.owner]
        orphaned = [
            org
            for org in shared
            if len(org.members) > 1
            and "owner" in org.members[person]
            and not any(
                "owner" in roles and (person.banned or not other.banned)
                for other, roles in org.members.items()
                if other is not person
            )
        ]
        found = self.driver.attempt(self.service.lifecycle.hard_delete(person.id))
        assert found is (errors.CannotRemoveLastOwner if orphaned else True)
        if orphaned:
            return
        self.everybody.remove(person)
        self.everything.remove(self.personal(person))
        self.holders = {name: holder for name, holder in self.holders.items() if holder is not person}
        for org in self.everything:
            org.members.pop(person, None)
        for org in shared:
            if not org.members:
                self.everything.remove(org)

    # --- what holds at every step --------------------------------------------------------------------------

    @invariant()
    def the_stored_members_and_roles_equal_the_model(self) -> None:
        rows = self.driver.sql(
            "select m.org_id::text as org, m.user_id::text as person, array(select r.role"
            " from profiles.org_member_roles r where r.org_id = m.org_id and r.user_id = m.user_id) as roles"
            " from profiles.org_members m"
        )
        stored = {(row["org"], row["person"]): set(row["roles"]) for row in rows}
        wanted = {
            (org.id, person.id): roles for org in self.everything for person, roles in org.members.items()
        }
        assert stored == wanted

    @invariant()
    def an_organization_that_had_an_owner_has_one(self) -> None:
        for org in self.everything:
            assert not org.owner or "owner" in org.members[org.owner]

    @invariant()
    def every_name_has_its_one_holder(self) -> None:
        rows = self.driver.sql("select slug, coalesce(user_id, org_id)::text as holder from profiles.names")
        wanted = {name: holder.id for name, holder in self.holders.items()}
        assert {row["slug"]: row["holder"] for row in rows} == wanted

    def teardown(self) -> None:
        run, service = self.driver.run, self.service
        for org in self.everything:
            assert run(service.orgs.list_aliases(org.id)) == self.former(org)
            assert set(run(service.orgs.list_roles(org.slug))) == org.roles
            assert run(service.org_members.list(org.slug)) == sorted(person.id for person in org.members)
            for name in [org.slug, *self.former(org)]:
                found = run(service.orgs.resolve(name))
                assert (found.id, found.slug, found.is_personal) == (org.id, org.slug, org.owner is not None)
        for person in self.everybody:
            mine = [
                OrgMembership(org=org.slug, org_id=org.id, roles=sorted(org.members[person]))
                for org in self.everything
                if person in org.members
            ]
            listed = run(service.org_members.list_memberships(person.id))
            assert sorted(listed, key=lambda entry: entry.org) == sorted(mine, key=lambda entry: entry.org)
            assert run(service.usernames.resolve(person.username)) == (person.id, person.username)
            assert run(service.orgs.get_personal(person.id)).slug == owner_slug(person.username)


def test_organizations_behave_like_their_model(drive) -> None:
    drive(Orgs, org_mode="multi")
