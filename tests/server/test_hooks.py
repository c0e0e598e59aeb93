"""``service.on``: functions of the host that receive events of this process, after the commit."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer import AuthSessionEvent, Service
from authkit_issuer.hooks import Hooks
from fakes.until import until


class Heard:
    """A hook that remembers what it received; it waits while ``open`` is not set."""

    def __init__(self) -> None:
        self.events: list[AuthSessionEvent] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, event: AuthSessionEvent) -> None:
        await self.open.wait()
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        return [event.event for event in self.events]


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def test_a_hook_receives_the_event_as_it_is_in_the_trail(service, heard) -> None:
    service.on("user_created", heard)
    user = await service.users.create("ada@example.test", "ada_l")
    await until(lambda: len(heard.events) == 1)
    assert heard.events == await service.events.list_session_events(user.id, "user_created")


async def test_a_hook_of_every_type_hears_ended_sessions_too(service, heard) -> None:
    user = await service.users.create("ada@example.test", "ada_l")
    await service.sessions.issue(user.id, method="password")
    service.on("*", heard)
    await service.sessions.revoke_all(user.id)
    await service.users.update_username(user.id, "ada_byron")
    await until(lambda: heard.kinds == ["session_revoked", "user_renamed"])


async def test_nothing_is_heard_before_the_commit_or_of_a_rollback(service, heard) -> None:
    service.on("*", heard)
    with pytest.raises(RuntimeError):
        async with service.transaction() as tx:
            await tx.users.create("ada@example.test", "ada_l")
            raise RuntimeError
    async with service.transaction() as tx:
        await tx.users.create("bob@example.test", "bob_m")
        await asyncio.sleep(0.05)
        assert heard.events == []
    await until(lambda: heard.kinds == ["user_created"])


async def test_a_slow_hook_delays_neither_requests_nor_other_hooks(service, heard, monkeypatch) -> None:
    slow = Heard()
    slow.open.clear()
    service.on("*", slow)
    service.on("*", heard)
    for name in ("ada_l", "bob_m"):
        await service.users.create(None, name)
    await until(lambda: len(heard.events) == 2)
    assert slow.events == []
    slow.open.set()
    await until(lambda: slow.events == heard.events)


async def test_a_hook_that_fails_or_hangs_is_counted_and_called_again(service, monkeypatch, caplog) -> None:
    monkeypatch.setattr("authkit_issuer.hooks.TIMEOUT", 0.05)
    calls: list[str] = []

    async def broken(event: AuthSessionEvent) -> None:
        calls.append(event.event)
        if len(calls) == 1:
            raise RuntimeError("secret words")
        await asyncio.Event().wait()

    service.on("user_created", broken)
    for name in ("ada_l", "bob_m"):
        await service.users.create(None, name)
    await until(lambda: service.failures.get("hook broken") == 2)
    assert "secret words" not in caplog.text


async def test_a_hook_whose_own_work_was_cancelled_is_called_again(service) -> None:
    calls: list[str] = []

    async def cancelled(event: AuthSessionEvent) -> None:
        calls.append(event.event)
        own = asyncio.create_task(asyncio.Event().wait())
        own.cancel()
        await own

    service.on("user_created", cancelled)
    for name in ("ada_l", "bob_m"):
        await service.users.create(None, name)
    await until(lambda: service.failures.get("hook cancelled") == 2)
    assert len(calls) == 2


async def test_a_hook_that_cannot_follow_loses_events_and_says_so(service, heard, monkeypatch) -> None:
    monkeypatch.setattr("authkit_issuer.hooks.WAITING", 2)
    heard.open.clear()
    service.on("*", heard)
    for number in range(6):
        await service.users.create(None, f"user_{number}")
    await until(lambda: service.failures.get("hook Heard", 0) > 0)
    heard.open.set()
    await until(lambda: len(heard.events) >= 2)


async def test_closing_waits_for_what_is_queued(make_service, heard) -> None:
    service: Service = await make_service()

    async def slow(event: AuthSessionEvent) -> None:
        await asyncio.sleep(0.05)
        await heard(event)

    service.on("*", slow)
    for name in ("ada_l", "bob_m"):
        await service.users.create(None, name)
    await service.close()
    assert heard.kinds == ["user_created"] * 2


async def test_a_hook_that_hangs_does_not_keep_the_service_open() -> None:
    hooks, hanging = Hooks(), asyncio.Event()

    async def hang(_: AuthSessionEvent) -> None:
        hanging.set()
        await asyncio.Event().wait()

    hooks.add("*", hang)

    async def read(_: object) -> list[AuthSessionEvent]:
        from datetime import UTC, datetime

        now = datetime.now(UTC)
        return [AuthSessionEvent(id=1, occurred_at=now, issuer="i", user_id="", session_id="", event="x")]

    hooks.take([1], read)
    await hanging.wait()
    await hooks.close(timeout=0.05)


async def test_an_unknown_type_is_refused(service, heard) -> None:
    with pytest.raises(ValueError, match="user_craeted"):
        service.on("user_craeted", heard)
