"""Enrichment: asked once, believed for a while, and never a way in when it fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from authkit_verify import AuthMiddleware, Enrichment, TokenError
from authkit_verify.challenge import AccessDenied
from authkit_verify.enrich import Enricher
from fakes.clock import FakeClock


class Records:
    """Counts how often it is asked; may fail, refuse or hang."""

    def __init__(self, answer: Enrichment | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def enrich(self, user_id: str) -> Enrichment:
        self.asked.append(user_id)
        await self.open.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


ALLOWED = Enrichment(allowed=True, roles=("admin",), email="ada@example.test")


async def test_fifty_requests_of_one_user_ask_once() -> None:
    records = Records(ALLOWED)
    enricher = Enricher(records)
    answers = await asyncio.gather(*(enricher.of("ada") for _ in range(50)))
    assert answers == [ALLOWED] * 50
    assert records.asked == ["ada"]


async def test_an_answer_counts_for_its_time_and_no_longer() -> None:
    clock, records = FakeClock(), Records(ALLOWED)
    enricher = Enricher(records, ttl=30.0, clock=clock)
    await enricher.of("ada")
    records.answer = Enrichment(allowed=False)
    clock.advance(29)
    assert await enricher.of("ada") == ALLOWED
    clock.advance(2)
    with pytest.raises(TokenError) as refused:
        await enricher.of("ada")
    assert refused.value.code == "user_disabled"


async def test_a_failing_source_lets_nobody_in_and_is_asked_again() -> None:
    records = Records(RuntimeError("down"))
    enricher = Enricher(records)
    for _ in range(2):
        with pytest.raises(AccessDenied) as refused:
            await enricher.of("ada")
        assert refused.value.code == "enrichment_unavailable"
    records.answer = ALLOWED
    assert await enricher.of("ada") == ALLOWED
    assert len(records.asked) == 3


async def test_a_hanging_source_is_given_up() -> None:
    records = Records(ALLOWED)
    records.open.clear()
    with pytest.raises(AccessDenied):
        await Enricher(records, timeout=0.01).of("ada")


async def test_a_caller_who_hangs_up_does_not_take_the_answer_from_others() -> None:
    records = Records(ALLOWED)
    records.open.clear()
    enricher = Enricher(records)
    first, second = (asyncio.create_task(enricher.of("ada")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    records.open.set()
    assert await second == ALLOWED
    assert records.asked == ["ada"]


async def test_the_number_of_remembered_users_is_bounded() -> None:
    enricher = Enricher(Records(ALLOWED), max_users=10)
    for number in range(100):
        await enricher.of(str(number))
    assert len(enricher._known) == 10


class Always:
    """A verifier that finds every token good."""

    def __init__(self, claims: Any) -> None:
        self.claims = claims
        self.config = None

    async def authenticate(self, token: str) -> Any:
        from types import SimpleNamespace

        return SimpleNamespace(claims=self.claims, keys=None)


async def call(middleware: AuthMiddleware) -> tuple[int, dict[bytes, bytes]]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/", "headers": [(b"authorization", b"Bearer x")],
    }  # fmt: skip
    await middleware(scope, None, send)  # type: ignore[arg-type]
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize(
    ("answer", "status"),
    [(ALLOWED, 200), (Enrichment(allowed=False), 401), (RuntimeError("down"), 503)],
    ids=["allowed", "banned", "records down"],
)
async def test_the_middleware_asks_before_it_lets_in(answer: Any, status: int) -> None:
    from authkit_verify.claims import build

    claims = build({"sub": "ada", "iss": "https://i.test", "exp": 2**40}, ("api",))
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(scope["user"].enrichment)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    middleware = AuthMiddleware(app, Always(claims), enrichment=Records(answer), lifetime=None)  # type: ignore[arg-type]
    got, headers = await call(middleware)
    assert got == status
    assert seen == ([ALLOWED] if status == 200 else [])
    assert (b"retry-after" in headers) == (status == 503)
