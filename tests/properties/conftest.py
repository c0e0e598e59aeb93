"""Services for state machines, which are synchronous: an event loop that is driven by hand."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from authkit_issuer import Service
from authkit_issuer.ephemeral.memory import MemoryStore
from fakes.clock import FakeClock
from fakes.soak import SOAK

STEPS = 50


class Driver:
    """One service on one loop for all examples of a test; ``empty`` makes the database new for each."""

    def __init__(self, service: Service, runner: asyncio.Runner) -> None:
        self.service = service
        self.run = runner.run

    def attempt(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Return what the call returns, or the class of the refusal it raises."""
        from authkit_issuer import errors

        try:
            return self.run(call)
        except errors.AuthError as refusal:
            return type(refusal)

    def sql(self, statement: str, *arguments: object) -> list[Any]:
        return self.run(self.service.pool.fetch(statement, *arguments))

    def empty(self) -> None:
        for table in ("users", "orgs", "names", "session_events"):
            self.sql(f"delete from profiles.{table}")


@pytest.fixture
def drive(config, mailbox, rounds) -> Iterator[Callable[..., None]]:
    """Run a state machine over a service with these settings: ``drive(Machine, session_max_per_user=2)``.

    Ten times as many examples in a soak. The machine gets the driver as its class attribute ``driver``.
    """
    with asyncio.Runner() as runner:

        def machine(kind: type[RuleBasedStateMachine], *, examples: int = 400, **overrides: Any) -> None:
            clock = FakeClock()
            service = runner.run(
                Service.open(
                    dataclasses.replace(config, **overrides),
                    ephemeral_store=MemoryStore(clock=clock),
                    email_sender=mailbox,
                    clock=clock,
                )
            )
            try:
                run_state_machine_as_test(
                    type(kind.__name__, (kind,), {"driver": Driver(service, runner)}),
                    settings=settings(
                        max_examples=rounds(examples),
                        stateful_step_count=STEPS,
                        # Looking for the shortest failure takes minutes.
                        phases=tuple(Phase) if SOAK else (Phase.generate,),
                    ),
                )
            finally:
                runner.run(service.close())

        yield machine
