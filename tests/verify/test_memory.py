"""A flood of distinct refused tokens leaves nothing behind."""

from __future__ import annotations

import gc
import random
import resource
import sys
from collections.abc import Callable, Iterator

import pytest

from authkit_verify import TokenError, Verifier
from authkit_verify.testing import FakeIssuer, encode
from fakes.clock import FakeClock

PAGE = resource.getpagesize()
WAVE = 10_000


def held() -> tuple[int, int]:
    """Return the live objects of the interpreter and the bytes of this process in memory."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a kernel file, read at once
        return sys.getallocatedblocks(), int(file.read().split()[1]) * PAGE


def flood(issuer: FakeIssuer, count: int) -> Iterator[str]:
    """Yield distinct tokens: unknown key ids, wrong signatures, other issuers, odd types, and noise."""
    dice = random.Random(22)
    payload = issuer.mint().split(".")[1]
    strange = encode(b'{"iss":"https://evil.test"}')
    for number in range(count):
        mark = f"{number}-{dice.getrandbits(64):x}"
        signature = encode(dice.randbytes(64))
        kind = number % 20
        if kind == 0:  # the only one that costs a verification
            known = encode(f'{{"alg":"EdDSA","kid":"{issuer.key.kid}","x":"{mark}"}}'.encode())
            yield f"{known}.{payload}.{signature}"
        elif kind == 1:
            yield mark + signature
        elif kind == 2:
            yield encode(f'{{"alg":"{mark}"}}'.encode()) + f".{payload}.{signature}"
        elif kind == 3:
            yield encode(f'{{"alg":"EdDSA","kid":"{mark}"}}'.encode()) + f".{strange}.{signature}"
        else:
            yield encode(f'{{"alg":"EdDSA","kid":"{mark}"}}'.encode()) + f".{payload}.{signature}"


async def pour(verifier: Verifier, clock: FakeClock, tokens: Iterator[str]) -> set[str]:
    codes: set[str] = set()
    for token in tokens:
        clock.advance(0.001)
        try:
            await verifier.verify(token)
        except TokenError as error:
            codes.add(error.code)
        else:
            raise AssertionError("accepted")
    return codes


@pytest.mark.timeout(1800)
async def test_a_million_distinct_refused_tokens_and_key_ids_leave_memory_flat(
    clock: FakeClock, rounds: Callable[[int], int]
) -> None:
    issuer = FakeIssuer(algorithm="EdDSA", clock=clock)
    async with issuer.verifier() as verifier:
        genuine = issuer.mint(lifetime=9999)
        await verifier.verify(genuine)
        await pour(verifier, clock, flood(issuer, WAVE))  # fills whatever is bounded
        objects, size = held()
        codes = await pour(verifier, clock, flood(issuer, rounds(1_000_000)))
        issuer.requests.clear()  # the fake's own memory
        more_objects, more_size = held()
        await verifier.verify(genuine)
    await issuer.client.aclose()
    assert codes == {"unknown_kid", "invalid_token", "disallowed_alg", "bad_issuer"}
    assert more_objects - objects < 3000  # the flood has forty times as many tokens at the least
    assert more_size - size < 24 * 1024 * 1024
