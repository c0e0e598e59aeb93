from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from authkit_verify import AcceptConfig, AuthMiddleware, TokenError, Verifier
from authkit_verify._jwks.issuer_keys import IssuerKeys
from authkit_verify.testing import FakeIssuer, FakeKey
from fakes.clock import FakeClock


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def code(verifier: Verifier, token: str) -> str:
    with pytest.raises(TokenError) as caught:
        await verifier.verify(token)
    return caught.value.code


async def test_a_token_seen_before_is_not_examined_again(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint()
        first = await verifier.verify(token)
        monkeypatch.setattr("authkit_verify._jose.compact.split", None)
        assert await verifier.verify(token) is first
        assert (await verifier.authenticate(token)).claims is first


async def test_a_remembered_token_expires_on_time(issuer: FakeIssuer, clock: FakeClock) -> None:
    async with issuer.verifier(skew=10.0) as verifier:
        token = issuer.mint(lifetime=100)
        await verifier.verify(token)
        clock.advance(109)
        await verifier.verify(token)
        clock.advance(1)
        assert await code(verifier, token) == "token_expired"


async def test_a_remembered_token_is_not_valid_before_its_time(issuer: FakeIssuer, clock: FakeClock) -> None:
    async with issuer.verifier(skew=0.0) as verifier:
        token = issuer.mint()
        await verifier.verify(token)
        clock.advance(-1)
        assert await code(verifier, token) == "invalid_token"


async def test_a_remembered_token_dies_with_its_key(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint()
        await verifier.verify(token)
        issuer.rotate(keep=False)
        await verifier.verify(issuer.mint())
        assert await code(verifier, token) == "unknown_kid"


async def test_hits_alone_keep_the_keys_fresh_and_notice_a_withdrawn_one(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier(cache_ttl=300) as verifier:
        token = issuer.mint(lifetime=9999)
        await verifier.verify(token)
        issuer.rotate(keep=False)
        clock.advance(280)
        await verifier.verify(token)
        await settle()
        assert issuer.fetches == 2
        assert await code(verifier, token) == "unknown_kid"


async def test_hits_alone_run_into_the_end_of_max_stale(issuer: FakeIssuer, clock: FakeClock) -> None:
    async with issuer.verifier(cache_ttl=300, max_stale=600) as verifier:
        token = issuer.mint(lifetime=9999)
        await verifier.verify(token)
        issuer.break_down()
        for _ in range(8):
            clock.advance(100)
            await verifier.verify(token)
            await settle()
        clock.advance(101)
        assert await code(verifier, token) == "keys_unavailable"


async def test_what_a_pin_admitted_is_forgotten_when_the_issuer_is_back(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    pin = FakeKey.generate("old", "ES256")
    issuer.break_down()
    async with issuer.verifier(pinned_pems=[pin.pem()]) as verifier:
        token = issuer.mint(key=pin, lifetime=9999)
        await verifier.verify(token)
        await verifier.verify(token)
        issuer.recover()
        clock.advance(1)
        await verifier.verify(token)
        await settle()
        assert await code(verifier, token) == "unknown_kid"


async def test_a_pins_end_ends_what_it_admitted(issuer: FakeIssuer, clock: FakeClock) -> None:
    pin = FakeKey.generate("old", "ES256")
    async with issuer.verifier(
        pinned_pems=[pin.pem()], pinned_only=True, pinned_until=clock() + 50
    ) as verifier:
        token = issuer.mint(key=pin)
        await verifier.verify(token)
        clock.advance(50)
        assert await code(verifier, token) == "keys_unavailable"


async def test_pins_without_an_end_are_chosen_once(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = FakeKey.generate("old", "ES256")
    async with issuer.verifier(pinned_pems=[pin.pem()], pinned_only=True) as verifier:
        token = issuer.mint(key=pin)
        await verifier.verify(token)
        monkeypatch.setattr(IssuerKeys, "_select_set", None)
        assert verifier.recall(token) is not None
        await verifier.verify(issuer.mint("another", key=pin))


async def test_where_the_keys_stand_is_looked_up_anew_for_every_request(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint(lifetime=9999)
        await verifier.verify(token)
        clock.advance(100)
        assert (await verifier.authenticate(token)).keys.age == 100
        issuer.break_down()
        clock.advance(300)
        keys = (await verifier.authenticate(token)).keys
        assert (keys.source, keys.age) == ("stale", 400)


async def test_ten_thousand_spellings_of_a_header_are_one_entry(issuer: FakeIssuer) -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        """Answer nothing."""

    verifier = issuer.verifier()
    guarded = AuthMiddleware(app, verifier=verifier)
    token = issuer.mint().encode()
    for n in range(10_000):
        value = (b"Bearer" if n % 2 else b"bEARER") + b" " * (1 + n % 5000) + token
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"authorization", value)]}
        await guarded(scope, None, None)  # type: ignore[arg-type]
    assert len(verifier._cache) == 1


async def test_refused_tokens_are_not_remembered(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        for n in range(50):
            await code(verifier, issuer.mint(lifetime=-100 - n))
            await code(verifier, issuer.mint(f"u{n}")[:-6] + "AAAAAA")
        assert len(verifier._cache) == 0


@pytest.mark.parametrize("bounds", [(10, 10**9), (10**9, 20_000)])
async def test_the_memory_is_bounded_in_tokens_and_in_bytes(
    issuer: FakeIssuer, bounds: tuple[int, int]
) -> None:
    config = AcceptConfig(issuers=[issuer.accept()], algorithms=["ES256"])
    entries, size = bounds
    async with Verifier(
        config, issuer.client, issuer.clock, cache_entries=entries, cache_bytes=size
    ) as verifier:
        for n in range(60):
            await verifier.verify(issuer.mint(f"user-{n}"))
        assert 0 < len(verifier._cache) <= 20


async def test_the_memory_grows_with_live_tokens(issuer: FakeIssuer, clock: FakeClock) -> None:
    async with issuer.verifier(skew=0.0) as verifier:
        kept = []
        for n in range(400):
            token = issuer.mint(f"user-{n}", lifetime=50)
            await verifier.verify(token)
            kept.append(len(verifier._cache))
            clock.advance(1)
        assert max(kept) <= 2 * 50 + 1  # fifty are alive at each moment
        alive = issuer.mint("ann", lifetime=100)
        first = await verifier.verify(alive)
        for n in range(99):
            await verifier.verify(issuer.mint(f"user-{n}", lifetime=50))
            clock.advance(1)
            assert await verifier.verify(alive) is first


async def test_claims_of_many_small_parts_count_for_the_memory_they_take(issuer: FakeIssuer) -> None:
    config = AcceptConfig(issuers=[issuer.accept()], algorithms=["ES256"])
    size = 2 * 1024 * 1024
    async with Verifier(config, issuer.client, issuer.clock, cache_bytes=size) as verifier:
        tokens = [issuer.mint(f"user-{n}", of_the_user=[[]] * 3000) for n in range(30)]
        await verifier.verify(issuer.mint())
        tracemalloc.start()
        for token in tokens:
            (await verifier.verify(token)).raw  # noqa: B018 - what an application asks for is kept as well
        used, _peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert 0 < used < 1.5 * size


async def test_the_memory_can_be_switched_off(issuer: FakeIssuer) -> None:
    config = AcceptConfig(issuers=[issuer.accept()], algorithms=["ES256"])
    async with Verifier(config, issuer.client, issuer.clock, cache_entries=0) as verifier:
        token = issuer.mint()
        assert await verifier.verify(token) is not await verifier.verify(token)
        assert len(verifier._cache) == 0


async def test_a_token_that_is_larger_than_everything_is_not_kept(issuer: FakeIssuer) -> None:
    config = AcceptConfig(issuers=[issuer.accept()], algorithms=["ES256"])
    async with Verifier(config, issuer.client, issuer.clock, cache_bytes=2000) as verifier:
        await verifier.verify(issuer.mint())
        assert len(verifier._cache) == 0


async def test_a_token_with_a_remembered_ones_signature_is_examined(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        genuine, other = issuer.mint("ann"), issuer.mint("eve")
        await verifier.verify(genuine)
        head, _, signature = genuine.split(".")
        forged = f"{head}.{other.split('.')[1]}.{signature}"
        assert await code(verifier, forged) == "invalid_token"
        assert (await verifier.verify(genuine)).user_id == "ann"
        assert await code(verifier, genuine[1:]) == "invalid_token"
        assert await code(verifier, genuine[-32:]) == "invalid_token"
