"""Enrichment: asked once, believed for a while, and never a way in when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify import (
    AcceptConfig,
    AccessDenied,
    AuthMiddleware,
    Claims,
    Enricher,
    Enrichment,
    Principal,
    TokenError,
    Verifier,
)
from authkit_verify._policy.verified_claims import build
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock

pytestmark = pytest.mark.virtual_time

Connect = Callable[..., Any]
HOME, FOREIGN = "https://home.test", "https://foreign.test"


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


def caller(user_id: str = "ada", **said: Any) -> Claims:
    return build({"sub": user_id, "iss": HOME, "exp": 2**40} | said, ("api",))


def asking(records: Records, **terms: Any) -> Enricher:
    return Enricher(records, **{"issuers": [HOME]} | terms)


ALLOWED = Enrichment(allowed=True, roles=("admin",), email="ada@example.test")


async def test_fifty_requests_of_one_user_ask_once() -> None:
    records = Records(ALLOWED)
    enricher = asking(records)
    answers = await asyncio.gather(*(enricher.of(caller()) for _ in range(50)))
    assert answers == [ALLOWED] * 50
    assert records.asked == ["ada"]


async def test_an_answer_counts_for_its_time_and_no_longer() -> None:
    clock, records = FakeClock(), Records(ALLOWED)
    enricher = asking(records, ttl=30.0, clock=clock)
    await enricher.of(caller())
    records.answer = Enrichment(allowed=False)
    clock.advance(29)
    assert await enricher.of(caller()) == ALLOWED
    clock.advance(2)
    with pytest.raises(TokenError) as refused:
        await enricher.of(caller())
    assert refused.value.code == "user_disabled"


async def test_the_time_of_an_answer_begins_with_the_question() -> None:
    clock, records = FakeClock(), Records(ALLOWED)
    enricher = asking(records, ttl=30.0, clock=clock)
    records.open.clear()
    waiting = asyncio.create_task(enricher.of(caller()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.advance(1.5)  # the source has looked, and its answer is on the way
    records.open.set()
    assert await waiting == ALLOWED
    records.answer = Enrichment(allowed=False)
    clock.advance(28.5)
    with pytest.raises(TokenError, match="user_disabled"):
        await enricher.of(caller())


async def test_a_failing_source_lets_no_user_in_and_is_asked_again() -> None:
    records = Records(RuntimeError("down"))
    enricher = asking(records)
    for _ in range(2):
        with pytest.raises(AccessDenied) as refused:
            await enricher.of(caller())
        assert refused.value.code == "enrichment_unavailable"
    records.answer = ALLOWED
    assert await enricher.of(caller()) == ALLOWED
    assert len(records.asked) == 3


async def test_a_hanging_source_is_given_up() -> None:
    records = Records(ALLOWED)
    records.open.clear()
    with pytest.raises(AccessDenied):
        await asking(records, timeout=0.01).of(caller())


async def test_a_caller_who_hangs_up_does_not_take_the_answer_from_others() -> None:
    records = Records(ALLOWED)
    records.open.clear()
    enricher = asking(records)
    first, second = (asyncio.create_task(enricher.of(caller())) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    records.open.set()
    assert await second == ALLOWED
    assert records.asked == ["ada"]


async def test_the_number_of_remembered_users_is_bounded() -> None:
    enricher = asking(Records(ALLOWED), max_users=10)
    for number in range(100):
        await enricher.of(caller(str(number)))
    assert len(enricher._known) == 10


@pytest.mark.parametrize(
    ("answer", "status"),
    [(ALLOWED, 200), (Enrichment(allowed=False), 401), (RuntimeError("down"), 503)],
    ids=["allowed", "banned", "records down"],
)
async def test_the_middleware_asks_before_it_lets_in(
    issuer: FakeIssuer, connect: Connect, answer: Any, status: int
) -> None:
    seen: list[Principal] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(scope["user"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    middleware = AuthMiddleware(app, issuer.verifier(), enrichment=Records(answer), lifetime=None)
    got = await connect(middleware, token=issuer.mint("ada")).run()
    assert got.status == status
    assert [user.enrichment for user in seen] == ([ALLOWED] if status == 200 else [])
    assert [user.email for user in seen] == (["ada@example.test"] if status == 200 else [])
    assert (got.header("retry-after") is not None) == (status == 503)


@pytest.mark.parametrize(
    ("roles", "said", "counts"),
    [
        ("missing", {}, ("admin",)),
        ("missing", {"roles": ["staff"]}, ("staff",)),
        ("always", {"roles": ["staff"]}, ("admin",)),
        ("never", {}, ()),
        ("always", {"roles": ["owner"], "org": "acme"}, ()),
        ("missing", {"org": "acme"}, ()),
        ("always", {"org": ""}, ()),
        ("missing", {"org": {"id": "acme"}}, ()),
        ("always", {"roles": ["staff"], "iss": FOREIGN}, ()),
        ("missing", {"roles": ["staff"], "iss": FOREIGN}, ("staff",)),
    ],
)
async def test_the_roles_that_count_are_whose_the_setting_says(
    roles: Any, said: dict[str, Any], counts: tuple[str, ...]
) -> None:
    enricher = asking(Records(ALLOWED), roles=roles)
    claims = caller(**said)
    assert enricher.roles_of(claims, await enricher.of(claims)) == counts


@pytest.mark.parametrize(
    ("roles", "said", "asked"),
    [
        ("missing", {}, True),
        ("missing", {"roles": ["staff"]}, False),
        ("always", {"roles": ["staff"]}, True),
        ("always", {"org": "acme"}, False),
        ("always", {"org": ["acme"]}, False),
        ("never", {}, False),
    ],
)
async def test_without_the_live_gate_the_records_are_asked_only_for_roles_and_refuse_no_user(
    roles: Any, said: dict[str, Any], *, asked: bool
) -> None:
    records = Records(Enrichment(allowed=False, roles=("admin",)))
    enricher = asking(records, roles=roles, live_gate=False)
    claims = caller(**said)
    known = await enricher.of(claims)
    assert (records.asked == ["ada"]) == (known is not None) == asked
    assert "admin" not in enricher.roles_of(claims, known)


async def test_the_subject_of_another_issuer_is_never_looked_up() -> None:
    records = Records(Enrichment(allowed=False))
    assert await asking(records).of(caller(iss=FOREIGN)) is None
    assert not await asking(records).confirms(caller(iss=FOREIGN), "admin")
    assert records.asked == []


@pytest.mark.parametrize("org", ["acme", "", 7, {"id": "acme"}])
async def test_no_user_is_admin_with_the_token_of_an_organization_however_it_is_named(org: Any) -> None:
    records = Records(ALLOWED)
    assert not await asking(records).confirms(caller(org=org), "admin")
    assert records.asked == []


async def nothing(scope: Any, receive: Any, send: Any) -> None: ...


async def test_among_several_issuers_it_must_be_said_whose_users_the_records_know(issuer: FakeIssuer) -> None:
    other = FakeIssuer(FOREIGN)
    both = Verifier(AcceptConfig(issuers=[issuer.accept(), other.accept()], algorithms=["ES256"]))
    with pytest.raises(ValueError, match="several issuers"):
        AuthMiddleware(nothing, both, enrichment=Records(ALLOWED))
    with pytest.raises(ValueError, match="not accepted"):
        AuthMiddleware(nothing, both, enrichment=Enricher(Records(ALLOWED), issuers=[FOREIGN + "/"]))
    AuthMiddleware(nothing, both, enrichment=Enricher(Records(ALLOWED), issuers=[FOREIGN]))


@pytest.mark.parametrize("wrong", [{"issuers": []}, {"issuers": HOME}, {"roles": "sometimes"}])
def test_a_setting_that_means_nothing_is_a_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        asking(Records(ALLOWED), **wrong)


async def test_a_remembered_no_is_believed_and_a_yes_is_asked_for_again() -> None:
    records = Records(ALLOWED)
    enricher = asking(records)
    assert await enricher.confirms(caller(), "Admin")
    records.answer = Enrichment(allowed=True)
    assert not await enricher.confirms(caller(), "admin")
    assert len(records.asked) == 2
    records.answer = ALLOWED
    assert not await enricher.confirms(caller(), "admin")
    assert len(records.asked) == 2
    records.answer = Enrichment(allowed=False, roles=("admin",))
    assert not await asking(records).confirms(caller(), "admin")


class Slow(Records):
    """Looks at once, and answers later."""

    async def enrich(self, user_id: str) -> Enrichment:
        looked = self.answer
        await super().enrich(user_id)
        assert isinstance(looked, Enrichment)
        return looked


async def test_what_is_asked_for_now_is_no_answer_to_a_question_from_before() -> None:
    records = Slow(ALLOWED)
    enricher = asking(records)
    records.open.clear()
    before = asyncio.create_task(enricher.confirms(caller(), "admin"))
    while not records.asked:
        await asyncio.sleep(0)
    records.answer = Enrichment(allowed=True)  # demoted
    after = [asyncio.create_task(enricher.confirms(caller(), "admin")) for _ in range(20)]
    await asyncio.sleep(0)
    records.open.set()
    assert await before
    assert await asyncio.gather(*after) == [False] * 20
    assert len(records.asked) == 2


def test_a_question_left_open_by_a_loop_that_is_gone_holds_up_no_user() -> None:
    records = Records(ALLOWED)
    enricher = asking(records)

    left: list[asyncio.Task[Any]] = []

    async def leave() -> None:
        records.open = asyncio.Event()
        left.append(asyncio.create_task(enricher.of(caller())))
        while not records.asked:
            await asyncio.sleep(0)

    async def come() -> None:
        records.open = asyncio.Event()
        records.open.set()
        assert await enricher.of(caller()) == ALLOWED
        await asyncio.sleep(0)

    gone = asyncio.new_event_loop()
    gone.run_until_complete(leave())
    gone.close()
    assert not left[0].done()
    asyncio.run(come())
    assert enricher._asking == {}
