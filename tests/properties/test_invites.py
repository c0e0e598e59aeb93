"""Invites against a model: for accounts and for addresses, answered, withdrawn, lapsed, orphaned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from authkit_issuer import errors

ADDRESSES = st.sampled_from([f"{name}@example.test" for name in ("ada", "bob", "cyd", "dot")])
PERSON = st.integers(0, 2)
INVITE = st.integers(0, 2)
"""Counted from the newest of those that are open: small numbers meet often."""
STATUSES = ("pending", "accepted", "declined", "revoked", "expired")

PERSONAL = st.sampled_from(
    [
        "register",
        "prove_the_address",
        "ban_or_unban",
        "make_an_owner",
        "make_an_owner",
        "remove",
        "remove",
        "delete_for_good",
    ]
)
ANSWERS = st.sampled_from(["fit", "fit", "accept", "decline", "revoke", "lapse"])

invited = precondition(lambda self: self.made)


@dataclass(eq=False)
class Person:
    id: str
    email: str
    verified: bool = False
    banned: bool = False
    gone: bool = False


@dataclass(eq=False)
class Modelled:
    id: str
    person: Person | None
    address: str | None
    inviter: Person
    by_owner: bool
    expires: bool
    status: str = "pending"

    def is_for(self, person: Person) -> bool:
        return self.person is person or (
            self.person is None and person.verified and self.address == person.email
        )


class Invites(RuleBasedStateMachine):
    driver: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.driver.empty()
        self.service = self.driver.service
        self.everybody: list[Person] = []
        self.made: list[Modelled] = []
        self.members: dict[Person, set[str]] = {}

    def person(self, number: int) -> Person:
        return self.everybody[number % len(self.everybody)]

    def pick(self, which: int) -> Modelled:
        newest_first = self.made[::-1]
        open_first = sorted(newest_first, key=lambda invite: invite.status != "pending")
        return open_first[which % len(open_first)]

    @initialize()
    def found(self) -> None:
        user = self.driver.run(self.service.users.create("founder@example.test", "founder"))
        self.driver.run(self.service.orgs.create("acme", owner_user_id=user.id))
        founder = Person(user.id, "founder@example.test")
        self.members[founder] = {"owner"}
        self.everybody.append(founder)
        for address in ("ada@example.test", "bob@example.test"):
            self.register(address)
        self.make_an_owner(1)
        self.invite(number=2, by=0, expires=True)

    # --- people --------------------------------------------------------------------------------------------

    @rule(what=PERSONAL, number=PERSON, email=ADDRESSES)
    def change_a_person(self, what: str, number: int, email: str) -> None:
        """As one rule, or there would be more people than invites."""
        if what == "register":
            self.register(email)
        else:
            getattr(self, what)(number)

    def register(self, email: str) -> None:
        found = self.driver.attempt(self.service.users.create(email, None))
        if any(person.email == email for person in self.everybody):
            assert found is errors.EmailInUse
            return
        self.everybody.append(Person(found.id, email))

    def prove_the_address(self, number: int) -> None:
        person = self.person(number)
        self.driver.run(self.service.users.set_email_verified(person.id, True))
        person.verified = True

    def ban_or_unban(self, number: int) -> None:
        person = self.person(number)
        lifecycle = self.service.lifecycle
        change = lifecycle.unban(person.id) if person.banned else lifecycle.ban(person.id, force=True)
        self.driver.run(change)
        person.banned = not person.banned

    def make_an_owner(self, number: int) -> None:
        person = self.person(number)
        self.driver.run(self.service.org_members.add("acme", person.id))
        self.driver.run(self.service.org_members.assign_role("acme", person.id, "owner"))
        self.members.setdefault(person, set()).add("owner")

    def remove(self, number: int) -> None:
        person = self.person(number)
        found = self.driver.attempt(self.service.org_members.remove("acme", person.id))
        if found is True:
            del self.members[person]
            for invite in self.made:
                if invite.status == "pending" and (invite.is_for(person) or self.orphaned(invite)):
                    invite.status = "revoked"
        elif found is errors.CannotRemoveLastOwner:
            others = [member for member, roles in self.members.items() if "owner" in roles]
            assert all(member is person or member.banned for member in others)
        else:
            assert (found, person in self.members) == (False, False)

    def delete_for_good(self, number: int) -> None:
        person = self.person(number)
        # The founder stays, so that the organization does.
        if person is self.everybody[0] or self.members.get(person) == {"owner"}:
            return
        if self.driver.attempt(self.service.lifecycle.hard_delete(person.id)) is True:
            person.gone = True
            self.everybody.remove(person)
            self.members.pop(person, None)
            self.made = [invite for invite in self.made if invite.person is not person]

    # --- invites -------------------------------------------------------------------------------------------

    @rule(number=PERSON, by=PERSON, expires=st.booleans())
    def invite(self, *, number: int, by: int, expires: bool) -> None:
        person, inviter = self.person(number), self.person(by)
        found = self.driver.attempt(
            self.service.org_invites.create("acme", person.id, inviter.id, self.end(expires=expires))
        )
        if person.banned:
            assert found is errors.UserNotFound
            return
        self.note(found, person, None, inviter, expires=expires)

    @rule(address=ADDRESSES, by=PERSON, expires=st.booleans())
    def invite_an_address(self, *, address: str, by: int, expires: bool) -> None:
        inviter = self.person(by)
        found = self.driver.attempt(
            self.service.org_invites.create_for_email("acme", address, inviter.id, self.end(expires=expires))
        )
        self.note(found, None, address, inviter, expires=expires)

    def end(self, *, expires: bool) -> datetime | None:
        return datetime.now(UTC) + timedelta(hours=1) if expires else None

    def note(
        self, found: Any, person: Person | None, address: str | None, inviter: Person, *, expires: bool
    ) -> None:
        """Compare what an invitation gave with what it should, and keep it."""
        orphans = [invite for invite in self.made if invite.status == "pending" and self.orphaned(invite)]
        open_ones = [invite for invite in self.made if invite.status == "pending" and invite not in orphans]
        again = any((invite.person, invite.address) == (person, address) for invite in open_ones)
        if person in self.members:
            assert found is errors.AlreadyOrgMember
            return
        if again:
            assert found is errors.OrgInviteAlreadyPending
            return
        for orphan in orphans:
            orphan.status = "revoked"
        by_owner = "owner" in self.members.get(inviter, ())
        self.made.append(Modelled(found.id, person, address, inviter, by_owner, expires))

    def orphaned(self, invite: Modelled) -> bool:
        """True if its inviter was an owner and no longer is."""
        return invite.by_owner and "owner" not in self.members.get(invite.inviter, ())

    @invited
    @rule(what=ANSWERS, which=INVITE, number=PERSON)
    def answer(self, what: str, which: int, number: int) -> None:
        getattr(self, what)(which, number)

    def accept(self, which: int, number: int) -> None:
        invite, person = self.pick(which), self.person(number)
        wanted = self.refusal(invite, person)
        if wanted is None and (self.orphaned(invite) or (invite.by_owner and invite.inviter.banned)):
            wanted = errors.OrgInviteNotPending
        assert self.driver.attempt(self.service.org_invites.accept(invite.id, person.id)) is wanted
        if wanted is None:
            invite.status, invite.person = "accepted", person
            self.members.setdefault(person, {"member"})

    def decline(self, which: int, number: int) -> None:
        invite, person = self.pick(which), self.person(number)
        wanted = self.refusal(invite, person)
        assert self.driver.attempt(self.service.org_invites.decline(invite.id, person.id)) is wanted
        if wanted is None:
            invite.status, invite.person = "declined", person

    def refusal(self, invite: Modelled, person: Person) -> type[errors.AuthError] | None:
        if not invite.is_for(person):
            return errors.OrgInviteNotForUser
        if invite.status == "expired":
            return errors.OrgInviteExpired
        return None if invite.status == "pending" else errors.OrgInviteNotPending

    def fit(self, which: int, _: int) -> None:
        """Random pairs rarely fit: here the invited user accepts."""
        for number, person in enumerate(self.everybody):
            if self.pick(which).is_for(person):
                self.accept(which, number)
                return

    def revoke(self, which: int, _: int) -> None:
        invite = self.pick(which)
        wanted = None if invite.status == "pending" else errors.OrgInviteNotPending
        assert self.driver.attempt(self.service.org_invites.revoke("acme", invite.id)) is wanted
        if wanted is None:
            invite.status = "revoked"

    def lapse(self, which: int, _: int) -> None:
        invite = self.pick(which)
        if invite.expires and invite.status == "pending":
            invite.status = "expired"
            self.driver.sql(
                "update profiles.org_invites set expires_at = now() where id = $1::text::uuid", invite.id
            )

    # --- what holds at every step --------------------------------------------------------------------------

    @invariant()
    def the_members_equal_the_model(self) -> None:
        rows = self.driver.sql(
            "select m.user_id::text as id, array(select r.role from profiles.org_member_roles r"
            " where r.org_id = m.org_id and r.user_id = m.user_id) as roles from profiles.org_members m"
        )
        wanted = {person.id: roles for person, roles in self.members.items()}
        assert {row["id"]: set(row["roles"]) for row in rows} == wanted

    @invariant()
    def every_invite_is_listed_as_it_stands(self) -> None:
        if not self.everybody:
            return
        listed = self.driver.run(self.service.org_invites.list_for_org("acme"))
        assert [(entry.id, entry.status) for entry in listed] == [
            (invite.id, invite.status) for invite in reversed(self.made)
        ]
        for entry, invite in zip(listed, reversed(self.made), strict=True):
            assert entry.user_id == (invite.person.id if invite.person else None)
            assert entry.invited_by == (None if invite.inviter.gone else invite.inviter.id)

    def teardown(self) -> None:
        for person in self.everybody:
            mine = [invite for invite in reversed(self.made) if invite.is_for(person)]
            for status in ("", *STATUSES):
                listed = self.driver.run(self.service.org_invites.list_for_user(person.id, status))
                wanted = [invite.id for invite in mine if status in {"", invite.status}]
                assert [entry.id for entry in listed] == wanted


def test_invites_behave_like_their_model(drive) -> None:
    drive(Invites)
