"""Failed logins: slowed down, then stopped; told by the identifier's own counter and by nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.security.hashing_pool import HashingLoad
from authkit_issuer.service import Service
from fakes.patience import PATIENCE
from fakes.until import until
from fakes.users import finish_background

EMAIL, PHONE, NAME = "ada@example.test", "+4915112345678", "ada_l"
PASSWORD, WRONG = "correct horse battery", "wrong horse battery"


@pytest.fixture
async def ada(service: Service) -> str:
    return await make_ada(service)


async def make_ada(service: Service) -> str:
    user = await service.users.add(email=EMAIL, phone=PHONE, username=NAME, verified=True)
    await service.passwords.store_hash(user.id, await service.rt.hasher.hash(PASSWORD))
    return user.id


async def fail(service: Service, identifier: str, times: int, clock=None) -> None:
    """Try wrong passwords, waiting out every delay on the fake clock."""
    for _ in range(times):
        try:
            await service.passwords.prove(identifier, WRONG)
        except errors.TooManyRequests as refusal:
            clock.advance(refusal.retry_after)
            with pytest.raises(errors.InvalidCredentials):
                await service.passwords.prove(identifier, WRONG)
        except errors.InvalidCredentials:
            pass


async def pause(service: Service, identifier: str) -> float:
    """Return how long the identifier has to wait now."""
    with pytest.raises(errors.TooManyRequests) as refused:
        await service.passwords.prove(identifier, PASSWORD)
    return refused.value.retry_after


@pytest.mark.parametrize("identifier", [EMAIL, "unknown@example.test"])
async def test_the_delay_doubles_from_the_fifth_and_the_tenth_locks(
    service: Service, ada: str, clock, identifier: str
) -> None:
    await fail(service, identifier, 4)
    for expected in (1, 2, 4, 8, 16):
        await fail(service, identifier, 1, clock)
        assert await pause(service, identifier) == pytest.approx(expected)
    await fail(service, identifier, 1, clock)
    assert await pause(service, identifier) == pytest.approx(900)
    clock.advance(899)
    assert await pause(service, identifier) == pytest.approx(1)
    clock.advance(1)
    if identifier == EMAIL:
        assert (await service.passwords.prove(EMAIL, PASSWORD)).user_id == ada


async def test_waiting_costs_no_hash_and_counts_no_try(service: Service, ada: str) -> None:
    await fail(service, EMAIL, 5)
    before = service.rt.hasher.computed
    for _ in range(20):
        await pause(service, EMAIL)
    assert service.rt.hasher.computed == before


async def test_a_good_login_clears_the_counters(service: Service, ada: str) -> None:
    for _ in range(5):
        await fail(service, EMAIL, 4)
        assert (await service.passwords.prove(EMAIL, PASSWORD)).user_id == ada


async def test_the_count_is_forgotten_after_the_window(service: Service, ada: str, clock) -> None:
    for _ in range(5):
        await fail(service, EMAIL, 4)
        clock.advance(900)
    assert (await service.passwords.prove(EMAIL, PASSWORD)).user_id == ada


async def test_spellings_of_one_identifier_share_a_counter(service: Service, ada: str) -> None:
    for spelling in (EMAIL, EMAIL.upper(), f" {EMAIL} ", "Ada@Example.Test", EMAIL):
        await fail(service, spelling, 1)
    assert await pause(service, EMAIL) == pytest.approx(1)


async def test_identifiers_of_one_account_do_not_show_that_they_belong_together(
    service: Service, ada: str
) -> None:
    """Failures under one name must not bring the lock of another forward."""
    await fail(service, EMAIL, 4)
    await fail(service, NAME, 4)
    await fail(service, PHONE, 3)
    # The user's counter is beyond its limit: even the right password gets the answer of a wrong one.
    before = service.rt.hasher.computed
    with pytest.raises(errors.InvalidCredentials):
        await service.passwords.prove(PHONE, PASSWORD)
    assert service.rt.hasher.computed == before + 1
    # Five tries under the number so far, so its own delay is what an unknown number would have as well.
    await fail(service, "+4915100000000", 4)
    with pytest.raises(errors.InvalidCredentials):
        await service.passwords.prove("+4915100000000", PASSWORD)


async def test_a_lock_leaves_open_sessions_and_the_signed_in_owner_alone(
    service: Service, ada: str, clock
) -> None:
    issued = await service.sessions.issue(ada)
    await fail(service, EMAIL, 10, clock)
    assert (await service.sessions.exchange(issued.refresh_token)).user_id == ada
    assert await service.passwords.verify(ada, PASSWORD)
    await service.passwords.change(ada, PASSWORD, "another fine horse", issued.session_id)


async def test_confirming_a_password_has_a_limit_of_its_own(service: Service, ada: str, clock) -> None:
    for _ in range(10):
        try:
            assert not await service.passwords.verify(ada, WRONG)
        except errors.TooManyRequests as refusal:
            clock.advance(refusal.retry_after)
            assert not await service.passwords.verify(ada, WRONG)
    with pytest.raises(errors.TooManyRequests):
        await service.passwords.verify(ada, PASSWORD)
    with pytest.raises(errors.TooManyRequests):
        await service.passwords.change(ada, PASSWORD, "another fine horse")
    assert (await service.passwords.prove(EMAIL, PASSWORD)).user_id == ada


async def test_a_reset_clears_the_counters_that_locked_the_owner_out(
    service: Service, ada: str, mailbox, clock
) -> None:
    await fail(service, EMAIL, 10, clock)
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    await service.passwords.confirm_reset(mailbox.last(EMAIL).token, "another fine horse")
    assert (await service.passwords.prove(EMAIL, "another fine horse")).user_id == ada


@pytest.mark.parametrize("store", ["memory", "redis"])
@pytest.mark.parametrize("identifier", [EMAIL, "unknown@example.test"])
async def test_parallel_guesses_stay_under_the_limit(
    make_service: Callable[..., Awaitable[Service]], redis_url: str, store: str, identifier: str
) -> None:
    service = await make_service(redis_url=redis_url if store == "redis" else None)
    await make_ada(service)
    before = service.rt.hasher.computed
    outcomes = await asyncio.gather(
        *(service.passwords.prove(identifier, WRONG) for _ in range(50)), return_exceptions=True
    )
    looked_at = [outcome for outcome in outcomes if isinstance(outcome, errors.InvalidCredentials)]
    assert len(looked_at) == service.rt.hasher.computed - before == 10
    assert sum(isinstance(outcome, errors.TooManyRequests) for outcome in outcomes) == 40
    with pytest.raises(errors.TooManyRequests):
        await service.passwords.prove(identifier, PASSWORD)


async def test_a_busy_server_counts_no_try(make_service, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await make_service(hash_queue=1, hash_threads=1)
    ada = await make_ada(service)

    async def busy(*_: object, **__: object) -> None:
        raise errors.ServerBusy(retry_after=1.0)

    with monkeypatch.context() as patch:
        patch.setattr(service.rt.hasher._pool, "_admit", busy)
        for _ in range(30):
            with pytest.raises(errors.ServerBusy):
                await service.passwords.prove(EMAIL, WRONG)
    assert (await service.passwords.prove(EMAIL, PASSWORD)).user_id == ada


async def test_no_login_succeeds_while_the_counters_are_unavailable(make_service, own_redis) -> None:
    service = await make_service(redis_url=own_redis.url)
    ada = await make_ada(service)
    own_redis.stop()
    for attempt in (
        lambda: service.passwords.prove(EMAIL, PASSWORD),
        lambda: service.logins.with_password(EMAIL, PASSWORD),
        lambda: service.passwords.login("unknown@example.test", PASSWORD),
        lambda: service.passwords.verify(ada, PASSWORD),
        lambda: service.passwords.change(ada, PASSWORD, "another fine horse"),
        lambda: service.passwords.request_reset(EMAIL),
        lambda: service.passwords.confirm_reset("x" * 43, "another fine horse"),
    ):
        with pytest.raises(errors.EphemeralStoreUnavailable):
            await attempt()
    own_redis.start()
    assert (await service.passwords.prove(EMAIL, PASSWORD)).user_id == ada


def asked(load: HashingLoad) -> int:
    return load.refused + load.running + load.waiting


async def test_a_flooding_address_leaves_room_for_the_others(make_service) -> None:
    service = await make_service(hash_threads=1, argon2_memory_kib=8192, hash_queue=8)
    ada = await make_ada(service)
    flood = [
        service.passwords.prove(f"unknown{number}@example.test", WRONG, client=Client(ip="2001:db8::1"))
        for number in range(40)
    ]
    honest = service.passwords.prove(EMAIL, PASSWORD, client=Client(ip="192.0.2.7"))
    # No hash ends, and no place comes free, before everyone has asked.
    all_asked = threading.Event()
    service.rt.hasher._pool._pool.submit(all_asked.wait, PATIENCE)
    outcomes = asyncio.gather(*flood, honest, return_exceptions=True)
    await until(lambda: asked(service.hashing) == 41)
    all_asked.set()
    *flooded, proof = await outcomes
    assert proof.user_id == ada
    # One of the 41 computes and eight wait, of whom one is the honest user.
    assert sum(isinstance(outcome, errors.ServerBusy) for outcome in flooded) == 32
    assert service.hashing.refused == 32
    assert service.hashing.running == service.hashing.waiting == 0
