"""Sessions against a model: whatever is done in whatever order, with any token that was ever handed out."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from authkit_issuer import SessionRevokeReason, errors

GRACE = 30
LIMIT = 3

# Who and what a step is about, counted from the nearest: small numbers meet often.
PERSON = st.integers(0, 1)
SESSION = st.integers(0, 5)
AGE = st.integers(0, 4)
RARE = st.sampled_from(
    [
        "log_out",
        "end_a_session_of_another_user",
        "revoke_all",
        "ban_or_unban",
        "ban_or_unban",
        "delete_or_restore",
        "delete_or_restore",
        "expire",
        "lose_the_last_rotation",
        "lose_the_last_rotation",
    ]
)

known = precondition(lambda self: self.known)


@dataclass
class Person:
    id: str
    banned: bool = False
    deleted: bool = False

    @property
    def allowed(self) -> bool:
        return not (self.banned or self.deleted)


@dataclass
class Modelled:
    """A session as it should be; times are the model's, in seconds."""

    id: str
    person: Person
    used: int
    generation: int = 0
    rotated_at: int = 0
    rotated_before: int = -(10**9)
    forgiven_generation: int = 0
    forgiven_in_row: int = 0
    expired: bool = False
    ended: str | None = None
    tokens: dict[int, str] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        return self.ended is None and not self.expired

    def within_grace(self, generation: int, now: int) -> bool:
        since = {1: now, 2: self.rotated_at, 3: self.rotated_before}.get(self.generation - generation)
        return since is not None and since > now - GRACE

    def forgive(self, generation: int) -> bool:
        """Count a forgiven token, unless its generation has one; False if there are too many in a row."""
        in_row = self.forgiven_in_row
        if self.forgiven_generation != self.generation:
            in_row = in_row + 1 if generation <= self.forgiven_generation else 1
        if in_row > 3:
            return False
        self.forgiven_generation, self.forgiven_in_row = self.generation, in_row
        return True


class Sessions(RuleBasedStateMachine):
    driver: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.driver.empty()
        self.sessions = self.driver.service.sessions
        self.known: dict[str, Modelled] = {}
        self.everybody: list[Person] = []
        self.ticks = itertools.count()
        self.now = 0

    def of(self, person: Person) -> list[Modelled]:
        """Return the live sessions of a user, the last used first."""
        mine = [session for session in self.known.values() if session.person is person and session.live]
        return sorted(mine, key=lambda session: -session.used)

    def end(self, ended: list[Modelled], reason: str) -> None:
        for session in ended:
            session.ended = reason

    def pick(self, number: int) -> Modelled:
        """Return a session, those that live first and the newest of them first."""
        newest_first = list(self.known.values())[::-1]
        live_first = sorted(newest_first, key=lambda session: not session.live)
        return live_first[number % len(live_first)]

    def token(self, session: Modelled, age: int) -> int:
        """Return a generation that was handed out, the newest for 0."""
        return sorted(session.tokens, reverse=True)[age % len(session.tokens)]

    @initialize()
    def create_two_people(self) -> None:
        for _ in range(2):
            user = self.driver.run(self.driver.service.users.create(None, None))
            self.everybody.append(Person(user.id))
        self.issue(0)

    @rule(number=PERSON)
    def issue(self, number: int) -> None:
        person = self.everybody[number]
        issued = self.driver.attempt(self.sessions.issue(person.id))
        if not person.allowed:
            assert issued is errors.UserBanned
            return
        self.end(self.of(person)[LIMIT - 1 :], "evicted")
        session = Modelled(issued.session_id, person, next(self.ticks), rotated_at=self.now)
        session.tokens[0] = issued.refresh_token
        self.known[session.id] = session

    @known
    @rule(number=SESSION, age=AGE)
    def exchange(self, number: int, age: int) -> None:
        session = self.pick(number)
        generation = self.token(session, age)
        wanted = self.expected(session, generation)
        found = self.driver.attempt(self.sessions.exchange(session.tokens[generation]))
        self.judge(session, wanted, found)

    @known
    @rule(number=SESSION, age=AGE)
    def exchange_twice_at_once(self, number: int, age: int) -> None:
        session = self.pick(number)
        generation = self.token(session, age)

        async def both() -> list[Any]:
            calls = [self.sessions.exchange(session.tokens[generation]) for _ in range(2)]
            return await asyncio.gather(*calls, return_exceptions=True)

        wanted = self.expected(session, generation)
        found = [type(entry) if isinstance(entry, Exception) else entry for entry in self.driver.run(both())]
        if wanted is errors.RefreshTokenReuseDetected:
            # One of the two ends the session; the other finds it ended.
            found.sort(key=lambda kind: kind is not wanted)
            assert found.pop() in {errors.InvalidRefreshToken, wanted}
        elif isinstance(wanted, int):
            assert len({pair.refresh_token for pair in found}) == 1
        else:
            assert set(found) == {wanted}
        self.judge(session, wanted, found[0])

    def expected(self, session: Modelled, generation: int) -> int | type[errors.AuthError]:
        """Work out and note what an exchange does: the generation it yields, or its refusal."""
        if not session.person.allowed:
            return errors.UserBanned
        if not session.live:
            return errors.SessionEvicted if session.ended == "evicted" else errors.InvalidRefreshToken
        if generation >= session.generation:
            session.rotated_before = session.rotated_at
            session.generation, session.rotated_at = generation + 1, self.now
            session.used = next(self.ticks)
        elif not (session.within_grace(generation, self.now) and session.forgive(generation)):
            session.ended = "refresh_reuse_detected"
            return errors.RefreshTokenReuseDetected
        return session.generation

    def judge(self, session: Modelled, wanted: int | type[errors.AuthError], found: Any) -> None:
        """Compare, and keep the token that was handed out."""
        if isinstance(wanted, int):
            known = session.tokens.setdefault(wanted, found.refresh_token)
            assert found.refresh_token == known, "two tokens of one generation"
        else:
            assert found is wanted

    @known
    @rule(what=RARE, number=SESSION)
    def something_rare(self, what: str, number: int) -> None:
        """As one rule, or sessions would hardly ever grow old."""
        getattr(self, what)(number)

    def log_out(self, number: int) -> None:
        session = self.pick(number)
        call = self.sessions.revoke_for_user(session.person.id, session.id, reason=SessionRevokeReason.LOGOUT)
        assert self.driver.run(call) is session.live
        if session.live:
            self.end([session], "logout")

    def end_a_session_of_another_user(self, number: int) -> None:
        session = self.pick(number)
        other = next(person for person in self.everybody if person is not session.person)
        assert self.driver.run(self.sessions.revoke_for_user(other.id, session.id)) is False

    def revoke_all(self, number: int) -> None:
        person = self.everybody[number // 2 % 2]
        mine = self.of(person)
        kept = mine[0].id if number % 2 and mine else None
        ended = [session for session in mine if session.id != kept]
        assert self.driver.run(self.sessions.revoke_all(person.id, kept)) == len(ended)
        self.end(ended, "user_revoke_all")

    def ban_or_unban(self, number: int) -> None:
        person, lifecycle = self.everybody[number // 2 % 2], self.driver.service.lifecycle
        self.driver.run((lifecycle.unban if person.banned else lifecycle.ban)(person.id))
        person.banned = not person.banned
        self.end(self.of(person), "banned")

    def delete_or_restore(self, number: int) -> None:
        person, lifecycle = self.everybody[number // 2 % 2], self.driver.service.lifecycle
        self.driver.run((lifecycle.restore if person.deleted else lifecycle.soft_delete)(person.id))
        person.deleted = not person.deleted
        self.end(self.of(person), "soft_deleted")

    @rule()
    def the_grace_passes(self) -> None:
        self.now += GRACE + 1
        self.driver.sql(
            "update profiles.refresh_sessions set rotated_at = rotated_at - $1::int * interval '1 second',"
            " rotated_before = rotated_before - $1::int * interval '1 second'",
            GRACE + 1,
        )

    def expire(self, number: int) -> None:
        session = self.pick(number)
        session.expired = True
        self.driver.sql(
            "update profiles.refresh_sessions set expires_at = now() where id = $1::text::uuid", session.id
        )

    def lose_the_last_rotation(self, number: int) -> None:
        """A fail-over or a restored backup: the genuine token of what was lost is accepted."""
        session = self.pick(number)
        if session.generation > 0:
            session.generation -= 1
            self.driver.sql(
                "update profiles.refresh_sessions set generation = generation - 1 where id = $1::text::uuid",
                session.id,
            )

    @invariant()
    def every_list_is_right(self) -> None:
        for person in self.everybody:
            listed = [session.id for session in self.driver.run(self.sessions.list_for_user(person.id))]
            assert listed == [session.id for session in self.of(person)]
            assert len(listed) <= LIMIT

    @invariant()
    def the_newest_token_stands_for_its_session_while_it_lives(self) -> None:
        for session in list(self.known.values())[-4:]:
            found = self.driver.attempt(self.sessions.resolve(session.tokens[max(session.tokens)]))
            lives = session.live and session.person.allowed
            assert found == (session.id if lives else errors.InvalidRefreshToken)

    def teardown(self) -> None:
        rows = self.driver.sql(
            "select session_id, reason from profiles.session_events where event = 'session_revoked'"
        )
        ended = {session.id: session.ended for session in self.known.values() if session.ended is not None}
        assert len(rows) == len(ended)
        assert {row["session_id"]: row["reason"] for row in rows} == ended


def test_sessions_behave_like_their_model(drive) -> None:
    drive(Sessions, examples=250, session_max_per_user=LIMIT, refresh_rotation_grace=float(GRACE))
