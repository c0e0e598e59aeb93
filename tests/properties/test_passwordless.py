"""Sign-ins by a message against a model: codes and links of two clients, in any order, at any time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from authkit_issuer import errors
from authkit_issuer.domains.codes.guesses import MAX_GUESSES
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.users import finish_background

CLIENTS = [Client(ip="192.0.2.1"), Client(ip="198.51.100.7")]
MESSAGE = st.integers(0, 3)
"""Counted from the newest: small numbers meet often."""
LIFE = 600.0
_numbers = count()

sent = precondition(lambda self: self.messages)


@dataclass(eq=False)
class Message:
    client: Client
    flow: str
    code: str
    token: str
    ends: float
    epoch: int
    is_over: bool = False
    """It was used, or another message of its client came after it."""


class Messages(RuleBasedStateMachine):
    driver: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.service: Service = self.driver.service
        number = next(_numbers)
        self.email = f"ada{number}@example.test"
        made = self.service.users.add(email=self.email, username=f"ada_{number}", verified=True)
        self.user_id = self.driver.run(made).id
        self.messages: list[Message] = []
        self.epoch = self.guesses = self.sessions = 0

    def now(self) -> float:
        return self.service.rt.clock()

    def is_live(self, message: Message) -> bool:
        return not message.is_over and self.now() < message.ends

    @rule(client=st.sampled_from(CLIENTS))
    def start(self, client: Client) -> None:
        async def begin() -> str:
            flow = await self.service.passwordless.start(self.email, client=client)
            await finish_background(self.service)
            return flow.flow_id

        flow = self.driver.run(begin())
        mail = self.service.rt.senders.email.last(self.email)
        assert (len(mail.code) > 6) is (self.guesses >= MAX_GUESSES)
        for message in self.messages:
            message.is_over |= message.client is client
        ends = self.now() + LIFE
        self.messages.append(Message(client, flow, mail.code, mail.token, ends, self.epoch))

    @sent
    @rule(flow=MESSAGE, code=MESSAGE)
    def confirm(self, flow: int, code: int) -> None:
        shown, typed = self._one(flow), self._one(code).code
        outcome = self.driver.attempt(self.service.passwordless.confirm_code(shown.flow, typed))
        right = False
        if self.is_live(shown):
            self.guesses += 1
            right = typed == shown.code and (len(typed) > 6 or self.guesses <= MAX_GUESSES)
        if right:
            self.guesses = 0
        self._check(outcome, shown, right, errors.InvalidOrExpiredCode)

    @sent
    @rule(link=MESSAGE, flow=MESSAGE, with_flow=st.booleans())
    def follow(self, link: int, flow: int, with_flow: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        message, shown = self._one(link), self._one(flow)
        flows = [shown.flow] if with_flow else []
        outcome = self.driver.attempt(self.service.passwordless.confirm_link(message.token, flow_ids=flows))
        if self.is_live(message) and not (with_flow and shown is message):
            assert outcome is errors.SignInBeganElsewhere
            return
        self._check(outcome, message, self.is_live(message), errors.InvalidOrExpiredToken)

    @rule(seconds=st.sampled_from([61.0, 300.0]))
    def wait(self, seconds: float) -> None:
        self.service.rt.clock.advance(seconds)

    @rule()
    def sign_out_everywhere(self) -> None:
        self.driver.run(self.service.sessions.revoke_all(self.user_id))
        self.epoch += 1
        self.sessions = 0

    def _one(self, number: int) -> Message:
        return self.messages[-1 - number % len(self.messages)]

    def _check(self, outcome: Any, message: Message, right: bool, void: type[errors.AuthError]) -> None:  # noqa: FBT001
        message.is_over |= right
        opens = right and message.epoch == self.epoch
        self.sessions += opens
        assert (outcome is void) is not opens, outcome
        live = self.driver.run(self.service.sessions.list_for_user(self.user_id))
        assert len(live) == self.sessions
        assert not opens or (outcome.user_id, outcome.created) == (self.user_id, False)


def test_no_sequence_opens_a_session_but_by_the_message_of_its_flow(drive):
    drive(
        Messages,
        examples=150,
        passwordless="both",
        session_max_per_user=None,
        code_cooldown=0.0,
        max_codes_per_hour=10_000,
        max_codes_per_target_hour=10_000,
        max_code_attempts=10_000,
        new_device_notices=False,
    )
