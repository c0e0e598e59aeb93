"""A receiver, and a worker that is not patient."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from authkit_issuer import Service, SessionEventType
from fakes.receiver import Receiver, receiving

Record = Callable[..., Awaitable[int]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = "authkit_issuer.domains.webhooks.delivery"
    monkeypatch.setattr(f"{worker}.IDLE", 0.05)
    monkeypatch.setattr(f"{worker}.PAUSES", (0.01, 0.02, 0.02))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


@pytest.fixture
def record() -> Record:
    """Write an event with a number."""

    async def write(service: Service, number: int, kind: str = "session_created") -> int:
        return await service.events.record(
            SessionEventType(kind),
            actor=None,
            user_id="ada",
            session_id=str(number),
        )

    return write
