"""Password hashing: bounded threads, limits on stored costs, honest refusals."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator

import argon2
import bcrypt
import pytest

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.security.hashing import (
    Cost,
    PasswordHasher,
    StoredHash,
    acceptable,
    default_threads,
    normalized,
)
from authkit_issuer.security.password_length import as_bytes, check_length

PASSWORD = "correct horse"
# The form of Go's golang.org/x/crypto/argon2 users: one pass over 64 MiB, 16 bytes of salt, 32 of hash.
GO_HASH = "$argon2id$v=19$m=65536,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$/IE1ywsnjEh9p7NRBSp7w6bBHmrmOUtAJ2qvI1Wf/aI"


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
    assert not (await hasher.verify(hasher.target, PASSWORD)).fits
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
@pytest.mark.parametrize("typed", ["p" * 72, "p" * 72 + "tail that bcrypt never saw", "ab\0ab"])
async def test_a_bcrypt_hash_that_other_texts_fit_as_well_is_kept(
    hasher: PasswordHasher, algo: str, typed: str
) -> None:
    chosen = "ab" if "\0" in typed else "p" * 72 + "tail that was chosen"
    text = bcrypt.hashpw(chosen.encode()[:72], bcrypt.gensalt(4)).decode()
    verdict = await hasher.verify(stored(text, algo), typed)
    assert verdict.fits
    assert not verdict.needs_rehash
    assert not (await hasher.verify(stored(text, algo), "q" * 72)).fits


@pytest.mark.parametrize("algo", ["bcrypt", ""])
async def test_a_bcrypt_hash_of_all_that_was_typed_is_to_be_replaced(
    hasher: PasswordHasher, algo: str
) -> None:
    text = bcrypt.hashpw(b"p" * 71, bcrypt.gensalt(4)).decode()
    assert (await hasher.verify(stored(text, algo), "p" * 71)).needs_rehash


COMPOSED, DECOMPOSED = "Grüße an Zoë", "Gru\u0308\u00dfe an Zoe\u0308"


@pytest.mark.parametrize("chosen", [COMPOSED, DECOMPOSED])
async def test_composed_and_decomposed_letters_are_one_password(hasher: PasswordHasher, chosen: str) -> None:
    kept = stored(await hasher.hash(chosen))
    for typed in (COMPOSED, DECOMPOSED):
        verdict = await hasher.verify(kept, typed)
        assert verdict.fits
        assert not verdict.needs_rehash


async def test_a_hash_of_decomposed_letters_fits_as_typed_and_is_to_be_replaced(
    hasher: PasswordHasher,
) -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(DECOMPOSED)
    verdict = await hasher.verify(stored(old), DECOMPOSED)
    assert verdict.fits
    assert verdict.needs_rehash
    replaced = stored(await hasher.rehash(DECOMPOSED))
    assert (await hasher.verify(replaced, COMPOSED)).fits


@pytest.mark.parametrize(
    "other", ["\uff50\uff41ssword one", "PASSWORD one", " password one", "password one "]
)
async def test_compatible_letters_case_and_blanks_are_other_passwords(
    hasher: PasswordHasher, other: str
) -> None:
    assert not (await hasher.verify(stored(await hasher.hash("password one")), other)).fits


def test_the_length_of_a_password_is_counted_in_its_composed_form() -> None:
    check_length("u\u0308" * 512)
    check_length("U\u0308\u0304" * 512)  # no letter is decomposed into more code points for its bytes
    with pytest.raises(errors.PasswordTooShort):
        check_length("u\u0308" * 7)


@pytest.mark.parametrize("marks", [800, 16_000])
def test_a_text_that_is_too_long_in_any_form_is_not_normalized(marks: int) -> None:
    hostile = "a" + "\u0301\u0316" * marks
    assert normalized(hostile) == hostile


@pytest.mark.parametrize(
    ("text", "algo"),
    [
        ("$argon2id$v=19$m=1048576,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        ("$argon2id$v=19$m=64,t=11,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        ("$argon2id$v=19$m=64,t=1,p=17$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        ("$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        ("$2b$17$" + "a" * 53, "bcrypt"),
        ("$2b$03$" + "a" * 53, "bcrypt"),
        ("$2b$04$" + "!" * 53, "bcrypt"),
        ("$2b$04$" + "a" * 52, "bcrypt"),
        ("$2x$04$" + "a" * 53, "bcrypt"),
        ("$argon2id$v=19$m=64,t=1,p=1$c2FsdA$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        ("$argon2id$v=19$m=99999999999999999999,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        (GO_HASH, "sha256"),
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
    check_length("ü" * 8)
    with pytest.raises(errors.PasswordTooShort):
        check_length("ü" * 7)
    check_length("x" * 1024)
    with pytest.raises(errors.PasswordTooLong):
        check_length("ü" * 513)
    with pytest.raises(errors.Invalid):
        check_length("\ud800" * 8)


async def test_a_dummy_costs_what_it_is_given() -> None:
    made = PasswordHasher(config())
    for cost in (
        Cost(algo="argon2id", memory_kib=64, passes=3),
        Cost(algo="argon2id", memory_kib=256, passes=1, lanes=2),
        Cost(algo="bcrypt", memory_kib=4, passes=16),
    ):
        before = made.computed, made.spent
        assert not (await made.verify(cost, PASSWORD)).fits
        assert (made.computed, made.spent) == (before[0] + 1, before[1] + cost.work)
    made.close()


async def test_text_without_a_utf8_form_is_compared_like_any_other(hasher: PasswordHasher) -> None:
    legacy = bcrypt.hashpw(b"password", bcrypt.gensalt(4)).decode()
    for kept in (stored(await hasher.hash(PASSWORD)), stored(legacy, "bcrypt"), hasher.target):
        assert not (await hasher.verify(kept, "\ud800\x00" * 50)).fits


def test_a_stored_hash_and_its_errors_show_no_secret() -> None:
    assert GO_HASH not in repr(stored(GO_HASH))
    with pytest.raises(errors.Invalid) as refused:
        as_bytes(chr(0xD800) + PASSWORD)
    assert PASSWORD not in "".join(traceback.format_exception(refused.value))


def test_the_threads_leave_a_core_to_the_rest_and_fit_the_memory_budget() -> None:
    hasher = PasswordHasher(config(argon2_memory_kib=64 * 1024, hash_threads=16, hash_memory_mib=128))
    assert hasher.load.lanes == 2
    hasher.close()
    assert [default_threads(cores) for cores in (1, 2, 8)] == [1, 1, 7]
