"""Who has an account shows in nothing that can be counted: answers, hashes, their cost, queries, store calls.

Clocks would prove less: what takes the time is counted instead, over many identifiers and with accounts whose
hashes cost differently.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import argon2
import bcrypt
import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.work_counter import Work, WorkCounter

PASSWORD, WRONG = "correct horse battery", "wrong horse battery"
ACCOUNTS = 200


class Counting(WorkCounter):
    """Counts one call, whose answer may be a refusal."""

    async def of(self, call: Awaitable[object]) -> tuple[str, Work]:
        async with self.foreground() as work:
            try:
                answer = type(await call).__name__
            except errors.AuthError as refusal:
                answer = f"{refusal.code} {refusal} {refusal.param} {refusal.metadata}"
        return answer, work


FORMS: list[tuple[float, Callable[[], str], str]] = [
    (0.5, lambda: argon2.PasswordHasher(1, 64, 1).hash(PASSWORD), "argon2id"),
    (0.3, lambda: argon2.PasswordHasher(1, 512, 1).hash(PASSWORD), "argon2id"),
    (0.2, lambda: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode(), "bcrypt"),
]


def known(number: int) -> str:
    return f"known{number}@example.test"


def unknown(number: int) -> str:
    return f"unknown{number}@example.test"


async def populate(service: Service) -> None:
    """Make accounts whose hashes were made in three ways, in the shares of ``FORMS``."""
    hashes = [
        (make(), algo)
        for share, make, algo in await asyncio.to_thread(list, FORMS)
        for _ in range(round(share * ACCOUNTS))
    ]
    await service.pool.executemany(
        "insert into profiles.users (email, username, email_verified) values ($1, $2, true)",
        [(known(number), f"known_{number}") for number in range(ACCOUNTS)],
    )
    await service.pool.executemany(
        "insert into profiles.user_passwords (user_id, password_hash, hash_algo)"
        " select id, $2, $3 from profiles.users where email = $1",
        [(known(number), text, algo) for number, (text, algo) in enumerate(hashes)],
    )


@pytest.fixture
async def counting(service: Service, monkeypatch: pytest.MonkeyPatch) -> Counting:
    await populate(service)
    # The first login of a process reads what is stored, at that login's cost.
    with pytest.raises(errors.InvalidCredentials):
        await service.passwords.login("first@example.test", WRONG)
    return Counting(service, monkeypatch)


def shape(seen: tuple[str, Work]) -> tuple[object, ...]:
    """Return all but the cost, which differs between accounts."""
    answer, work = seen
    return answer, work.hashes, work.steps


async def test_wrong_logins_of_known_and_unknown_accounts_do_and_cost_the_same(counting: Counting) -> None:
    prove = counting.service.passwords.prove
    of_known = [await counting.of(prove(known(number), WRONG)) for number in range(ACCOUNTS)]
    of_unknown = [await counting.of(prove(unknown(number), WRONG)) for number in range(4 * ACCOUNTS)]
    assert len({shape(seen) for seen in of_known + of_unknown}) == 1
    assert of_known[0][1].hashes == 1
    costs, decoys = Counter(work.cost for _, work in of_known), Counter(work.cost for _, work in of_unknown)
    assert len(costs) == len(FORMS)
    assert set(decoys) == set(costs)
    for cost, count in costs.items():
        # Four standard deviations of the rarest share over 800 draws are 0.057.
        assert abs(decoys[cost] / (4 * ACCOUNTS) - count / ACCOUNTS) < 0.07


async def test_an_unknown_account_costs_the_same_on_every_try(counting: Counting) -> None:
    for number in range(20):
        seen = [await counting.of(counting.service.passwords.prove(unknown(number), WRONG)) for _ in range(4)]
        assert len({(answer, work.hashes, work.queries, work.cost) for answer, work in seen}) == 1
    counting.service.rt.clock.advance(3601)
    again = [await counting.of(counting.service.passwords.prove(unknown(0), WRONG)) for _ in range(2)]
    await counting.finish()
    again.append(await counting.of(counting.service.passwords.prove(unknown(0), WRONG)))
    assert len({work.cost for _, work in again}) == 1


async def test_an_account_without_a_password_is_like_an_unknown_one(counting: Counting) -> None:
    service = counting.service
    for number in range(60):
        await service.users.create(f"bare{number}@example.test", f"bare_{number}")
    of_bare = [
        await counting.of(service.passwords.prove(f"bare{number}@example.test", WRONG))
        for number in range(60)
    ]
    of_unknown = await counting.of(service.passwords.prove(unknown(1), WRONG))
    assert {shape(seen) for seen in of_bare} == {shape(of_unknown)}
    assert len({work.cost for _, work in of_bare}) == len(FORMS)


async def test_logins_with_a_session_are_alike_too(counting: Counting) -> None:
    sign_in = counting.service.logins.with_password
    seen = {
        shape(await counting.of(sign_in(name(number), WRONG)))
        for name in (known, unknown)
        for number in range(9)
    }
    # From the tenth on, refusals leave ever fewer rows, for every account alike.
    assert len({(answer, computed) for answer, computed, *_ in seen}) == 1
    assert len(seen) <= 2


async def test_confirming_a_password_is_alike_for_any_id(counting: Counting) -> None:
    service = counting.service
    user = await service.users.get_by_email(known(0))
    bare = await service.users.create("bare@example.test", "bare_1")
    verify = service.passwords.verify
    ids = (user.id, bare.id, "00000000-0000-4000-8000-000000000000")
    assert len({shape(await counting.of(verify(user_id, WRONG))) for user_id in ids}) == 1


async def test_asking_for_a_reset_is_alike_before_the_answer(counting: Counting, mailbox) -> None:
    request = counting.service.passwords.request_reset
    seen = [await counting.of(request(name(number))) for name in (known, unknown) for number in range(20)]
    assert len(set(seen)) == 1
    assert mailbox.messages == []
    await counting.finish()
    assert len(mailbox.messages) == 20


async def test_registering_is_alike_before_the_answer(counting: Counting) -> None:
    register = counting.service.registration.register
    seen = [
        await counting.of(register(name(number), f"fresh_{name.__name__}_{number}", PASSWORD))
        for name in (known, unknown)
        for number in range(10)
    ]
    assert len(set(seen)) == 1
