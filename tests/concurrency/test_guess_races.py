"""Parallel guesses over any number of codes: no more than ten are compared, on either store."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.codes.guesses import MAX_GUESSES, Guesses
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.factors import EMAIL, PASSWORD, events, with_email_factor
from fakes.gather import gather
from fakes.mail import Mailbox


@pytest.fixture(params=["memory", "redis"])
async def service(request: pytest.FixtureRequest, make_service) -> Service:
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return await make_service(redis_url=redis_url, max_codes_per_hour=10_000)


async def challenges(service: Service, number: int) -> list[str]:
    found = []
    for one in range(number):
        with pytest.raises(errors.TwoFactorRequired) as required:
            await service.logins.with_password(EMAIL, PASSWORD, client=Client(ip=f"192.0.{one}.1"))
        found.append(str(required.value.metadata["challenge"]))
    return found


async def test_of_a_hundred_and_fifty_parallel_guesses_ten_are_compared(
    service: Service, mailbox: Mailbox, monkeypatch
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    waiting = await challenges(service, 30)
    code = mailbox.last(EMAIL).code
    compared: list[bool] = []
    count = Guesses.count

    async def watched(self: Guesses, record: Any) -> bool:
        compared.append(await count(self, record))
        return compared[-1]

    monkeypatch.setattr(Guesses, "count", watched)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    outcomes = await gather(
        *(
            lambda challenge=challenge: service.logins.complete_two_factor(user_id, challenge, wrong)
            for challenge in waiting
            for _ in range(5)
        )
    )
    assert all(isinstance(outcome, errors.InvalidOrExpiredCode) for outcome in outcomes), outcomes
    assert len(compared) == 150
    assert sum(compared) == MAX_GUESSES
    assert [event["data"] for event in await events(service, "codes_guessed")] == [
        '{"tries": 10}',
        '{"tries": 100}',
    ]


async def test_a_shared_code_has_one_winner_over_all_that_share_it(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    for number in range(rounds(100)):
        waiting = await challenges(service, 25)
        code = mailbox.last(EMAIL).code
        outcomes = await gather(
            *(
                lambda challenge=challenge, code=code: service.logins.complete_two_factor(
                    user_id, challenge, code
                )
                for challenge in waiting[-6:]
            )
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert all(isinstance(refusal, errors.InvalidOrExpiredCode) for refusal in refused), refused
        assert len(refused) == 5, number
