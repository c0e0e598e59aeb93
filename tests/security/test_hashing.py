"""Password hashing: bounded lanes, honest refusals, no absurd work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import argon2
import bcrypt
import pytest

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.security.hashing import PasswordHasher, StoredHash, acceptable, check_policy

PASSWORD = "correct horse"
# Made by Go's argon2 package: one pass over 64 MiB, 16 bytes of salt, 32 of hash.
GO_HASH = argon2.PasswordHasher(time_cost=1, memory_cost=65536, parallelism=1).hash(PASSWORD)


def config(**fields: object) -> Config:
    small = {"argon2_memory_kib": 64, "argon2_time": 1, "hash_threads": 2, "hash_deadline": 5.0}
    return Config(issuer="https://i.example", issued_audiences=("api",), **(small | fields))  # type: ignore[arg-type]


@pytest.fixture
async def hasher() -> AsyncIterator[PasswordHasher]:
    made = PasswordHasher(config())
    yield made
    made.close()


def stored(text: str, algo: str = "argon2id") -> StoredHash:
    return StoredHash(text=text, algo=algo)


async def test_a_hash_fits_its_password_and_no_other(hasher: PasswordHasher) -> None:
    text = await hasher.hash(PASSWORD)
    assert text.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert (await hasher.verify(stored(text), PASSWORD)).fits
    assert not (await hasher.verify(stored(text), PASSWORD + " ")).fits


async def test_nothing_stored_costs_one_hash_and_answers_no(hasher: PasswordHasher) -> None:
    before = hasher.computed
    assert not (await hasher.verify(None, PASSWORD)).fits
    assert hasher.computed == before + 1


async def test_a_dearer_hash_from_elsewhere_verifies_and_is_kept(hasher: PasswordHasher) -> None:
    verdict = await hasher.verify(stored(GO_HASH), PASSWORD)
    assert verdict.fits
    assert not verdict.needs_rehash


async def test_a_cheaper_hash_is_to_be_replaced() -> None:
    strong = PasswordHasher(config(argon2_memory_kib=256))
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    assert (await strong.verify(stored(weak), PASSWORD)).needs_rehash
    strong.close()


@pytest.mark.parametrize("algo", ["bcrypt", ""])
async def test_bcrypt_verifies_beyond_72_bytes_and_is_to_be_replaced(
    hasher: PasswordHasher, algo: str
) -> None:
    long = "p" * 72
    text = bcrypt.hashpw(long.encode(), bcrypt.gensalt(4)).decode()
    verdict = await hasher.verify(stored(text, algo), long + "tail that bcrypt never saw")
    assert verdict.fits
    assert verdict.needs_rehash
    assert not (await hasher.verify(stored(text, algo), "q" * 72)).fits


@pytest.mark.parametrize(
    ("text", "algo"),
    [
        ("$argon2id$v=19$m=1048576,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        ("$argon2id$v=19$m=64,t=11,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        ("$argon2id$v=19$m=64,t=1,p=17$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        ("$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        ("$2b$17$" + "a" * 53, "bcrypt"),
        ("plain", "argon2id"),
        ("", ""),
    ],
)
async def test_absurd_or_unreadable_hashes_are_refused_not_computed(
    hasher: PasswordHasher, text: str, algo: str
) -> None:
    assert not acceptable(stored(text, algo))
    before = hasher.computed
    assert not (await hasher.verify(stored(text, algo), PASSWORD)).fits
    assert hasher.computed == before + 1


def test_length_is_counted_in_characters_and_capped_in_bytes() -> None:
    check_policy("ü" * 8)
    with pytest.raises(errors.PasswordTooShort):
        check_policy("ü" * 7)
    check_policy("x" * 1024)
    with pytest.raises(errors.PasswordTooLong):
        check_policy("ü" * 513)
    with pytest.raises(errors.Invalid):
        check_policy("\ud800" * 8)


class Held:
    """Occupies the lanes of a hasher until told to let go."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self.gate = threading.Event()
        self.running = 0
        self.hasher = hasher

    def block(self) -> None:
        self.running += 1
        self.gate.wait(10)

    async def fill(self, count: int) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.hasher._in_lane(self.block)) for _ in range(count)]
        while self.running < min(count, self.hasher.lanes):
            await asyncio.sleep(0.001)
        return tasks


async def test_a_full_queue_is_refused_at_once_with_a_time_to_come_back() -> None:
    hasher = PasswordHasher(config(hash_queue=3))
    held = Held(hasher)
    tasks = await held.fill(hasher.lanes + 3)
    with pytest.raises(errors.ServerBusy) as raised:
        await hasher.hash(PASSWORD)
    assert raised.value.retry_after > 0
    held.gate.set()
    await asyncio.gather(*tasks)
    assert await hasher.hash(PASSWORD)
    hasher.close()


async def test_waiting_ends_at_the_deadline() -> None:
    hasher = PasswordHasher(config(hash_deadline=0.02))
    held = Held(hasher)
    tasks = await held.fill(hasher.lanes)
    with pytest.raises(errors.ServerBusy):
        await hasher.hash(PASSWORD)
    held.gate.set()
    await asyncio.gather(*tasks)
    assert hasher.waiting == 0
    hasher.close()


async def test_hanging_up_does_not_free_a_lane_whose_thread_still_works() -> None:
    hasher = PasswordHasher(config(hash_deadline=0.05))
    held = Held(hasher)
    tasks = await held.fill(hasher.lanes)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with pytest.raises(errors.ServerBusy):
        await hasher.hash(PASSWORD)
    held.gate.set()
    while hasher._free.locked():
        await asyncio.sleep(0.001)
    assert await hasher.hash(PASSWORD)
    hasher.close()


def test_lanes_fit_the_memory_budget() -> None:
    hasher = PasswordHasher(config(argon2_memory_kib=64 * 1024, hash_threads=16, hash_memory_mib=128))
    assert hasher.lanes == 2
    hasher.close()
