"""One-time codes and links over both ephemeral stores."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import Issued, OneTimeCodes, on_outage
from authkit_issuer.service import Service
from fakes.patience import PATIENCE

EMAIL = "ada@example.test"


@pytest.fixture(params=["memory", "redis"])
async def one_time(request: pytest.FixtureRequest, make_service) -> OneTimeCodes:
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    service: Service = await make_service(redis_url=redis_url)
    assert service.ephemeral_mode == request.param
    return OneTimeCodes(service.rt)


async def issue(one_time: OneTimeCodes, **fields: object) -> Issued:
    defaults = {"target": EMAIL, "code_ttl": 600.0, "record_ttl": 3600.0, "link_ttl": 1800.0}
    return await one_time.issue("kind", **(defaults | fields))  # type: ignore[arg-type]


async def wins(attempts: list) -> int:
    results = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [result for result in results if isinstance(result, errors.AuthError)]
    assert all(isinstance(r, errors.InvalidOrExpiredCode | errors.InvalidOrExpiredToken) for r in refused)
    return len(results) - len(refused)


async def test_fifty_parallel_uses_of_a_code_have_one_winner(one_time: OneTimeCodes, rounds) -> None:
    for _ in range(rounds(200)):
        issued = await issue(one_time)
        request_id = issued.record.request_id
        tries = [one_time.redeem_code("kind", request_id, EMAIL, issued.code) for _ in range(50)]
        assert await wins(tries) == 1


async def test_fifty_parallel_uses_of_a_link_have_one_winner(one_time: OneTimeCodes, rounds) -> None:
    for _ in range(rounds(200)):
        issued = await issue(one_time)
        assert await wins([one_time.redeem_link("kind", issued.link) for _ in range(50)]) == 1


async def test_code_and_link_are_one_record(one_time: OneTimeCodes) -> None:
    issued = await issue(one_time)
    await one_time.redeem_link("kind", issued.link)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await one_time.redeem_code("kind", issued.record.request_id, EMAIL, issued.code)


async def test_nothing_fits_outside_its_scope(one_time: OneTimeCodes) -> None:
    issued = await issue(one_time)
    request_id, code = issued.record.request_id, issued.code
    for kind, some_id, target in (
        ("other", request_id, EMAIL),
        ("kind", "x" * 22, EMAIL),
        ("kind", "", EMAIL),
        ("kind", None, EMAIL),
        ("kind", "ü", EMAIL),
        ("kind", request_id, "eve@example.test"),
    ):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await one_time.redeem_code(kind, some_id, target, code)
    for kind, token in (("other", issued.link), ("kind", "x" * 43), ("kind", ""), ("kind", "\ud800")):
        with pytest.raises(errors.InvalidOrExpiredToken):
            await one_time.redeem_link(kind, token)
    assert await one_time.redeem_code("kind", request_id, EMAIL, code)


async def test_a_code_restore_works_again_but_never_over_a_newer_one(one_time: OneTimeCodes) -> None:
    issued = await issue(one_time)
    record = await one_time.redeem_code("kind", issued.record.request_id, EMAIL, issued.code)
    await one_time.restore(record)
    assert await one_time.redeem_code("kind", record.request_id, EMAIL, issued.code)
    newer = await issue(one_time, request_id=record.request_id)
    await one_time.restore(record)
    assert await one_time.redeem_code("kind", record.request_id, EMAIL, newer.code)


@pytest.mark.parametrize("outage", [errors.DatabaseUnavailable(), errors.ServerBusy()])
async def test_a_code_works_again_after_an_outage_behind_it(
    one_time: OneTimeCodes, outage: errors.AuthError
) -> None:
    issued = await issue(one_time)
    record = await one_time.redeem_code("kind", issued.record.request_id, EMAIL, issued.code)
    with pytest.raises(type(outage)):
        async with one_time.restore_on_outage(record):
            raise outage
    assert await one_time.redeem_code("kind", record.request_id, EMAIL, issued.code)


async def test_a_code_works_again_after_its_caller_left_however_often_it_is_cancelled(
    one_time: OneTimeCodes,
) -> None:
    issued = await issue(one_time)
    record = await one_time.redeem_code("kind", issued.record.request_id, EMAIL, issued.code)
    inside, restoring, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def restore() -> None:
        restoring.set()
        await go_on.wait()
        await one_time.restore(record)

    async def act() -> None:
        async with on_outage(restore):
            inside.set()
            await asyncio.Event().wait()

    caller = asyncio.create_task(act())
    await inside.wait()
    caller.cancel()
    await restoring.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    async with asyncio.timeout(PATIENCE):
        while await one_time.peek("kind", record.request_id) is None:
            await asyncio.sleep(0.001)
    assert await one_time.redeem_code("kind", record.request_id, EMAIL, issued.code)


async def test_a_code_stays_used_after_a_refusal_or_a_success(one_time: OneTimeCodes) -> None:
    for refusal in (errors.EmailInUse(), None):
        issued = await issue(one_time)
        record = await one_time.redeem_code("kind", issued.record.request_id, EMAIL, issued.code)
        with contextlib.suppress(errors.EmailInUse):
            async with one_time.restore_on_outage(record):
                if refusal is not None:
                    raise refusal
        with pytest.raises(errors.InvalidOrExpiredCode):
            await one_time.redeem_code("kind", record.request_id, EMAIL, issued.code)


async def test_what_was_given_up_while_it_was_redeemed_does_not_come_back(one_time: OneTimeCodes) -> None:
    issued = await issue(one_time, request_id="ada")
    record = await one_time.redeem_code("kind", "ada", EMAIL, issued.code)
    await one_time.forget("kind", "ada")
    await one_time.restore(record)
    assert await one_time.peek("kind", "ada") is None
    with pytest.raises(errors.InvalidOrExpiredCode):
        await one_time.redeem_code("kind", "ada", EMAIL, issued.code)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await one_time.redeem_link("kind", issued.link)
    newer = await issue(one_time, request_id="ada")
    assert await one_time.redeem_code("kind", "ada", EMAIL, newer.code)


async def test_a_right_code_is_no_guess_however_often_storage_fails_behind_it(one_time: OneTimeCodes) -> None:
    issued = await issue(one_time)
    request_id = issued.record.request_id
    for _ in range(one_time.rt.config.max_code_attempts + 1):
        await one_time.restore(await one_time.redeem_code("kind", request_id, EMAIL, issued.code))
    for _ in range(one_time.rt.config.max_code_attempts):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await one_time.redeem_code("kind", request_id, EMAIL, "wrong")
    with pytest.raises(errors.InvalidOrExpiredCode):
        await one_time.redeem_code("kind", request_id, EMAIL, issued.code)


async def test_the_store_learns_neither_codes_nor_links(one_time: OneTimeCodes) -> None:
    issued = await issue(one_time)
    stored = await one_time.rt.ephemeral.get(f"kind:{issued.record.request_id}")
    assert stored is not None
    assert issued.code.encode() not in stored
    assert issued.link.encode() not in stored
    assert issued.code not in repr(issued)
    assert issued.link not in repr(issued)


async def test_secrets_are_compared_in_constant_time(one_time: OneTimeCodes, monkeypatch) -> None:
    compared: list[object] = []

    def spy(left: str, right: str) -> bool:
        compared.append(left)
        return left == right

    issued = await issue(one_time)
    monkeypatch.setattr("hmac.compare_digest", spy)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await one_time.redeem_code("kind", issued.record.request_id, EMAIL, "wrong")
    await one_time.find_link("kind", issued.link)
    assert compared == [issued.record.code_digest, issued.record.link_hash]


async def test_codes_and_links_end_by_the_clock(one_time: OneTimeCodes, clock) -> None:
    issued = await issue(one_time)
    clock.advance(600)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await one_time.redeem_code("kind", issued.record.request_id, EMAIL, issued.code)
    assert await one_time.find_link("kind", issued.link)
    clock.advance(1200)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await one_time.find_link("kind", issued.link)


async def test_sending_is_limited_per_client_and_per_target(one_time: OneTimeCodes, clock) -> None:
    from authkit_issuer.ports import Client

    async def send(number: int) -> bool:
        return not await SendingLimits(one_time.rt).count("kind", EMAIL, Client(ip=f"192.0.2.{number}"))

    assert await send(1)
    assert not await send(1)
    sent = 1
    for number in range(2, 40):
        sent += await send(number)
    assert sent == one_time.rt.config.max_codes_per_target_hour


async def test_addresses_of_one_ipv6_network_are_one_client(one_time: OneTimeCodes) -> None:
    from authkit_issuer.ports import Client

    limits = SendingLimits(one_time.rt)
    await limits.check("kind", EMAIL, Client(ip="2001:db8::1"))
    with pytest.raises(errors.TooManyRequests) as refused:
        await limits.check("kind", EMAIL, Client(ip="2001:db8::2"))
    assert refused.value.retry_after == one_time.rt.config.code_cooldown
    await limits.check("kind", EMAIL, Client(ip="2001:db8:0:1::1"))
