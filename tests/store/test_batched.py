import asyncio

import pytest

from authkit_issuer import Service, errors
from authkit_issuer.store import batched
from authkit_issuer.store.batched import BatchedQuery, BatchedStatements
from authkit_issuer.store.query import Query
from fakes.until import until

ONE, MANY = Query(str, "one"), Query(str, "many")
ASK = BatchedQuery(one=ONE, many=MANY, key=lambda row: row.partition(":")[0])


class Server:
    """Answers when it is let; ``asked`` says what came, in order."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None
        self.skipped: set[str] = set()
        self.poison = ""

    async def fetch_one(self, query, args):
        assert query is ONE
        self.asked.append(args[0])
        await self.open.wait()
        if self.failure:
            raise self.failure
        if args[0] == self.poison:
            raise ValueError("bad value")
        return None if args[0].startswith("no") else f"{args[0]}:{args[1]}"

    async def fetch(self, query, args):
        assert query is MANY
        self.asked.append(list(args[0]))
        await self.open.wait()
        if self.failure:
            raise self.failure
        if self.poison in args[0]:
            raise ValueError("bad value")
        rows = zip(args[0], args[1], strict=True)
        return [
            f"{key}:{value}" for key, value in rows if key not in self.skipped and not key.startswith("no")
        ]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take any two callers for a crowd."""
    monkeypatch.setattr(batched, "BATCH_ABOVE", 0)
    monkeypatch.setattr(batched, "BATCH_BELOW", 0)


@pytest.fixture
def statements(server: Server, crowded: None) -> BatchedStatements:
    return BatchedStatements(server)


async def test_a_few_callers_each_send_their_own_statement(server: Server):
    server.open.clear()
    tasks = await asked_for(
        BatchedStatements(server), *(f"k{number}" for number in range(batched.BATCH_ABOVE))
    )
    assert server.asked == [f"k{number}" for number in range(batched.BATCH_ABOVE)]
    server.open.set()
    await asyncio.gather(*tasks)


async def test_a_crowd_shares_until_it_has_thinned_out(server: Server):
    statements = BatchedStatements(server)
    server.open.clear()
    first = await asked_for(statements, *(f"k{number}" for number in range(batched.BATCH_ABOVE)))
    late = await asked_for(statements, "x", "y")
    assert server.asked[batched.BATCH_ABOVE :] == []
    server.open.set()
    await asyncio.gather(*first, *late)
    assert server.asked[batched.BATCH_ABOVE :] == [["x", "y"]]
    server.asked.clear()
    server.open.clear()
    few = await asked_for(statements, "a", "b", "c")
    assert server.asked == ["a", "b", "c"]
    server.open.set()
    await asyncio.gather(*few)


async def asked_for(statements: BatchedStatements, *keys: str) -> list[asyncio.Task[str | None]]:
    tasks = [
        asyncio.create_task(statements.maybe(ASK, (key, number), ("common",)))
        for number, key in enumerate(keys)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_caller_sends_the_plain_statement_at_once(statements: BatchedStatements, server: Server):
    assert await statements.maybe(ASK, ("a", 1), ("common",)) == "a:1"
    assert await statements.maybe(ASK, ("b", 2), ("common",)) == "b:2"
    assert server.asked == ["a", "b"]


async def test_callers_who_come_meanwhile_travel_together(statements: BatchedStatements, server: Server):
    server.open.clear()
    tasks = await asked_for(statements, "a", "b", "c", "d", "e")
    assert server.asked == ["a", "b"]
    server.open.set()
    assert await asyncio.gather(*tasks) == ["a:0", "b:1", "c:2", "d:3", "e:4"]
    assert server.asked == ["a", "b", ["c", "d", "e"]]


async def test_who_is_not_served_together_asks_alone(statements: BatchedStatements, server: Server):
    server.open.clear()
    server.skipped = {"d"}
    tasks = await asked_for(statements, "a", "b", "c", "d", "none")
    server.open.set()
    assert await asyncio.gather(*tasks) == ["a:0", "b:1", "c:2", "d:3", None]
    assert server.asked[3:] == ["d", "none"]


async def test_two_callers_of_one_row_are_not_in_one_statement(statements: BatchedStatements, server: Server):
    server.open.clear()
    tasks = await asked_for(statements, "a", "b", "c", "c", "d")
    server.open.set()
    assert await asyncio.gather(*tasks) == ["a:0", "b:1", "c:2", "c:3", "d:4"]
    assert server.asked == ["a", "b", "c", ["c", "d"]]


async def test_a_statement_that_hangs_holds_the_others_up_for_a_moment_only(
    statements: BatchedStatements, server: Server
):
    server.open.clear()
    tasks = await asked_for(statements, "a", "b", "c")
    await until(lambda: server.asked == ["a", "b", ["c"]])
    server.open.set()
    await asyncio.gather(*tasks)


async def test_a_full_statement_sets_out_at_once(
    statements: BatchedStatements, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batched, "BATCH_SIZE", 2)
    server.open.clear()
    tasks = await asked_for(statements, "a", "b", "c", "d")
    await asyncio.sleep(0)
    assert server.asked == ["a", "b", ["c", "d"]]
    server.open.set()
    await asyncio.gather(*tasks)


async def test_a_failure_is_everybodys_and_the_next_caller_starts_anew(
    statements: BatchedStatements, server: Server
):
    server.open.clear()
    tasks = await asked_for(statements, "a", "b", "c", "d")
    server.failure = errors.DatabaseUnavailable()
    server.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.DatabaseUnavailable] * 4
    server.failure = None
    assert await statements.maybe(ASK, ("e", 1), ("common",)) == "e:1"


async def test_a_value_that_breaks_the_statement_fails_for_its_caller_alone(
    statements: BatchedStatements, server: Server
):
    server.open.clear()
    server.poison = "d"
    tasks = await asked_for(statements, "a", "b", "c", "d", "e")
    server.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["a:0", "b:1", "c:2", "bad value", "e:4"]


async def test_who_gives_up_waiting_does_not_travel(statements: BatchedStatements, server: Server):
    server.open.clear()
    tasks = await asked_for(statements, "a", "b", "c", "d")
    tasks[2].cancel()
    tasks[0].cancel()
    await asyncio.sleep(0)
    server.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes[1] == "b:1"
    assert outcomes[3] == "d:3"
    assert server.asked[2:] == [["d"]]


async def test_many_sessions_rotate_together_and_each_gets_its_own(service: Service, rounds, crowded: None):
    users = [
        (await service.users.create(f"u{number}@example.com", f"user{number}")).id for number in range(40)
    ]
    tokens = [(await service.sessions.issue(user)).refresh_token for user in users]
    for _ in range(rounds(100)):
        pairs = await asyncio.gather(*(service.sessions.exchange(token) for token in tokens))
        claims = await asyncio.gather(*(service.tokens.verify(pair.access_token) for pair in pairs))
        assert [one.user_id for one in claims] == users
        assert [one.email for one in claims] == [f"u{number}@example.com" for number in range(40)]
        tokens = [pair.refresh_token for pair in pairs]
    assert len(set(tokens)) == 40


async def test_a_refused_token_among_many_is_refused_alone(service: Service, crowded: None):
    users = [(await service.users.create(None, f"user{number}")).id for number in range(12)]
    tokens = [(await service.sessions.issue(user)).refresh_token for user in users]
    await service.lifecycle.ban(users[7])
    outcomes = await asyncio.gather(
        *(service.sessions.exchange(token) for token in tokens), return_exceptions=True
    )
    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, errors.AuthError)] == [7]


async def test_a_session_that_somebody_holds_does_not_hold_up_the_others(service: Service, crowded: None):
    users = [(await service.users.create(None, f"user{number}")).id for number in range(12)]
    issued = [await service.sessions.issue(user) for user in users]
    async with service.transaction() as tx:
        await tx.sessions.revoke(issued[0].session_id)
        held = asyncio.create_task(service.sessions.exchange(issued[0].refresh_token))
        others = await asyncio.gather(*(service.sessions.exchange(one.refresh_token) for one in issued[1:]))
        assert len(others) == 11
        assert not held.done()
    with pytest.raises(errors.InvalidRefreshToken):
        await held
