from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.responses import StreamingResponse

from authkit_verify import AuthMiddleware, Enricher, Enrichment, TokenError
from authkit_verify._asgi.authenticator import Authenticator
from authkit_verify._asgi.challenge import Challenge
from authkit_verify._asgi.connection_lifetime import StreamExpired
from authkit_verify.testing import FakeIssuer
from fakes.clock import MOMENT, FakeClock

pytestmark = pytest.mark.virtual_time

Connect = Callable[..., Any]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Accept, then listen until the end, and try to talk after it."""
    scope["seen"] = []
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        scope["seen"].append(message["text"])
    scope["seen"].append(message)
    await send({"type": "websocket.send", "text": "too late"})


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """Send an event now and the next one never."""
    kind = scope.get("kind", b"text/event-stream; charset=utf-8")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", kind)]})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    await asyncio.sleep(scope.get("for", 30))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def test_a_websocket_is_closed_with_4401_when_its_token_ends(short: Any, connect: Connect) -> None:
    issuer, token = short
    guarded = AuthMiddleware(echo, verifier=issuer.verifier(skew=0.0))
    link = await connect(guarded, type="websocket", token=token).run()
    assert link.sent[1:] == [{"type": "websocket.close", "code": 4401, "reason": "token_expired"}]
    assert link.scope["seen"] == [{"type": "websocket.disconnect", "code": 4401, "reason": "token_expired"}]


async def test_an_idle_websocket_application_is_closed_too(short: Any, connect: Connect) -> None:
    issuer, token = short

    async def idle(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await asyncio.sleep(4 * MOMENT)

    link = await connect(
        AuthMiddleware(idle, verifier=issuer.verifier(skew=0.0)), type="websocket", token=token
    ).run()
    assert link.sent[-1]["code"] == 4401


async def test_an_application_that_only_sends_ends_with_its_websocket(short: Any, connect: Connect) -> None:
    issuer, token = short

    async def pushing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for scope["pushed"] in range(100):
            await send({"type": "websocket.send", "text": "1"})
            await asyncio.sleep(MOMENT)

    guarded = AuthMiddleware(pushing, verifier=issuer.verifier(skew=0.0))
    link = await connect(guarded, type="websocket", token=token).run()
    assert link.sent[-1] == {"type": "websocket.close", "code": 4401, "reason": "token_expired"}
    assert link.scope["pushed"] < 10


async def test_an_application_that_is_sending_then_still_reads_its_disconnect(
    short: Any, connect: Connect
) -> None:
    issuer, token = short

    async def consumer(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        coming = asyncio.ensure_future(receive())
        await asyncio.sleep(2 * MOMENT)  # as one of Channels, which answers another message meanwhile
        await send({"type": "websocket.send", "text": "too late"})
        scope["seen"] = await coming

    guarded = AuthMiddleware(consumer, verifier=issuer.verifier(skew=0.0))
    link = await connect(guarded, type="websocket", token=token).run()
    assert link.scope["seen"]["type"] == "websocket.disconnect"
    assert link.sent[-1]["type"] == "websocket.close"


async def test_an_application_that_overlooks_the_disconnect_ends_too(short: Any, connect: Connect) -> None:
    issuer, token = short

    async def overlooking(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        for scope["asked"] in range(100):  # as a handler of Sanic that does not look for None
            await receive()

    guarded = AuthMiddleware(overlooking, verifier=issuer.verifier(skew=0.0))
    link = await connect(guarded, type="websocket", token=token).run()
    assert link.scope["asked"] == 2  # after what connects and what disconnects


async def test_an_application_whose_client_reads_nothing_ends_too(short: Any, connect: Connect) -> None:
    issuer, token = short

    async def pushing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        try:
            await send({"type": "websocket.send", "text": "1"})
        except OSError:
            scope["ended"] = True
            raise

    link = connect(AuthMiddleware(pushing, verifier=issuer.verifier(skew=0.0)), type="websocket", token=token)

    async def full(message: Any) -> None:
        if message["type"] != "websocket.accept":
            await asyncio.Event().wait()

    link._send = full
    await asyncio.wait_for(link.run(), 100)
    assert link.scope["ended"]
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
async def test_a_websocket_that_was_not_accepted_by_then_is_refused(
    short: Any, connect: Connect, extensions: dict[str, Any]
) -> None:
    issuer, token = short

    async def undecided(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["seen"] = await receive()
        await send({"type": "websocket.accept"})

    guarded = AuthMiddleware(undecided, verifier=issuer.verifier(skew=0.0))
    link = await connect(guarded, type="websocket", token=token, extensions=extensions).run()
    assert link.scope["seen"]["type"] == "websocket.disconnect"
    if extensions:
        assert [message["type"].rpartition(".")[2] for message in link.sent] == ["start", "body"]
        assert link.status == 401
        assert 'error="invalid_token", error_description="the token has expired"' in link.header(
            "www-authenticate"
        )
    else:
        assert link.sent == [{"type": "websocket.close", "code": 1008, "reason": "token_expired"}]


async def test_a_timeout_of_the_servers_own_is_no_end_of_the_token(
    issuer: FakeIssuer, connect: Connect
) -> None:
    async def impatient(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        with pytest.raises(TimeoutError):
            await receive()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await receive()

    link = connect(
        AuthMiddleware(impatient, verifier=issuer.verifier()), type="websocket", token=issuer.mint()
    )
    answers = iter([None, TimeoutError()])
    key_set = link.incoming.get

    async def get() -> Any:
        answer = next(answers, None)
        if answer is not None:
            raise answer
        return await key_set()

    link.incoming.get = get
    await link.run()
    assert link.sent == []


async def test_a_cancellation_at_the_end_of_the_token_is_still_one(short: Any, connect: Connect) -> None:
    issuer, token = short

    async def listening(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await scope["user"].lease.ended()
        waiting.cancel()  # in the moment in which the middleware ends it
        await asyncio.wait({waiting})
        scope["cancelled"] = waiting.cancelled()

    link = connect(
        AuthMiddleware(listening, verifier=issuer.verifier(skew=0.0)), type="websocket", token=token
    )
    await link.run()
    assert link.scope["cancelled"]


async def test_messages_arrive_in_order_until_then(short: Any, connect: Connect) -> None:
    issuer, token = short
    link = connect(AuthMiddleware(echo, verifier=issuer.verifier(skew=0.0)), type="websocket", token=token)
    running = asyncio.ensure_future(link.run())
    await asyncio.sleep(0)
    for n in range(5):
        link.incoming.put_nowait({"type": "websocket.receive", "text": str(n)})
    await running
    assert link.scope["seen"][:-1] == ["0", "1", "2", "3", "4"]


async def test_a_connection_goes_on_with_a_new_token_of_the_same_user(short: Any, connect: Connect) -> None:
    issuer, token = short

    async def renewing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        lease = scope["user"].lease
        with pytest.raises(TokenError):
            await lease.renew(issuer.mint("eve"))
        with pytest.raises(TokenError):
            await lease.renew("a.b.c")
        await lease.renew(issuer.mint("ann", lifetime=1000))
        assert lease.remaining > 900
        await asyncio.sleep(2 * MOMENT)

    link = await connect(
        AuthMiddleware(renewing, verifier=issuer.verifier(skew=0.0)), type="websocket", token=token
    ).run()
    assert [message["type"] for message in link.sent] == ["websocket.accept"]


@pytest.mark.parametrize("asker", ["the middleware", "an authenticator behind it"])
async def test_a_connection_does_not_go_on_for_a_user_who_was_banned_meanwhile(
    issuer: FakeIssuer, connect: Connect, asker: str
) -> None:
    class Records:
        allowed = True

        async def enrich(self, _user_id: str) -> Enrichment:
            return Enrichment(allowed=self.allowed)

    verifier, records = issuer.verifier(), Records()
    enricher = Enricher(records, issuers=[issuer.issuer], ttl=1.0, clock=issuer.clock)
    inner = Authenticator(challenge=Challenge(), verifier=verifier, enricher=enricher)

    async def renewing(scope: Any, receive: Any, send: Any) -> None:
        caller = await inner.admit(scope, required=True)
        assert caller is not None
        assert caller.lease is not None
        await caller.lease.renew(issuer.mint("ann", lifetime=1000))
        records.allowed, before = False, caller.lease.remaining
        issuer.clock.advance(2)  # type: ignore[attr-defined]
        with pytest.raises(TokenError, match="user_disabled"):
            await caller.lease.renew(issuer.mint("ann", lifetime=5000))
        assert caller.lease.remaining == before - 2

    outer = enricher if asker == "the middleware" else None
    await connect(
        AuthMiddleware(renewing, verifier, enrichment=outer), type="websocket", token=issuer.mint("ann")
    ).run()


async def test_an_event_stream_is_aborted_and_never_ended_cleanly(short: Any, connect: Connect) -> None:
    issuer, token = short
    answer = connect(AuthMiddleware(stream, verifier=issuer.verifier(skew=0.0)), token=token)
    with pytest.raises(StreamExpired):
        await answer.run()
    assert answer.sent[-1]["more_body"] is True
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(("lifetime", "ends"), [("connections", False), ("all", True), (None, False)])
async def test_other_streams_end_early_only_when_asked_for(
    short: Any, connect: Connect, lifetime: Any, *, ends: bool
) -> None:
    issuer, token = short
    guarded = AuthMiddleware(stream, verifier=issuer.verifier(skew=0.0), lifetime=lifetime)
    answer = connect(guarded, token=token, kind=b"text/csv", **{"for": 2 * MOMENT})
    with pytest.raises(StreamExpired) if ends else contextlib.nullcontext():
        await answer.run()
    assert answer.sent[-1]["more_body"] is ends


async def test_an_application_that_ignores_its_end_cannot_finish_the_stream(
    short: Any, connect: Connect
) -> None:
    issuer, token = short

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await stream(scope, receive, send)
        with contextlib.suppress(StreamExpired):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    answer = connect(AuthMiddleware(stubborn, verifier=issuer.verifier(skew=0.0)), token=token)
    with pytest.raises(StreamExpired):
        await answer.run()
    assert answer.sent[-1]["more_body"] is True
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("body", ["whole", "unfinished"])
async def test_an_application_that_waits_for_the_disconnect_leaves_no_stream_behind(
    short: Any, connect: Connect, body: str
) -> None:
    issuer, token = short

    async def listening(scope: Any, receive: Any, send: Any) -> None:
        """Stream in a task that the disconnect ends, as Quart and Django do."""
        streaming = asyncio.ensure_future(stream(scope, receive, send))
        scope["streaming"] = streaming
        while (await receive())["type"] != "http.disconnect":
            pass
        streaming.cancel()
        await asyncio.wait({streaming})

    answer = connect(AuthMiddleware(listening, verifier=issuer.verifier(skew=0.0)), token=token)
    if body == "unfinished":
        answer.incoming.get = asyncio.Event().wait
    with pytest.raises(StreamExpired):
        await answer.run()
    assert answer.scope["streaming"].cancelled()
    assert answer.sent[-1]["more_body"] is True
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_an_application_that_overlooks_the_disconnect_of_a_stream_is_cancelled(
    short: Any, connect: Connect
) -> None:
    issuer, token = short

    async def overlooking(scope: Any, receive: Any, send: Any) -> None:
        async def listen() -> None:
            for _ in range(10_000):
                await receive()
                scope["heard"] = scope.get("heard", 0) + 1
                if scope["heard"] == 3:
                    scope["listening"].cancel()

        await receive()
        scope["listening"] = asyncio.ensure_future(listen())
        await stream(scope, receive, send)

    answer = connect(AuthMiddleware(overlooking, verifier=issuer.verifier(skew=0.0)), token=token)
    with pytest.raises(StreamExpired):
        await answer.run()
    assert answer.scope["heard"] == 3
    assert answer.sent[-1]["more_body"] is True
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_a_starlette_stream_is_aborted_too(short: Any, connect: Connect) -> None:
    issuer, token = short

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await asyncio.sleep(30)

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await StreamingResponse(events(), media_type="text/event-stream")(scope, receive, send)

    answer = connect(AuthMiddleware(page, verifier=issuer.verifier(skew=0.0)), token=token)
    with pytest.raises(StreamExpired):
        await answer.run()
    assert answer.sent[-1] == {"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True}


async def test_what_an_application_does_after_a_whole_answer_goes_on_when_the_token_ends(
    short: Any, connect: Connect
) -> None:
    issuer, token = short

    async def working(scope: Any, receive: Any, send: Any) -> None:
        await stream(scope, receive, send)
        await asyncio.sleep(3 * MOMENT)
        scope["worked"] = True

    guarded = AuthMiddleware(working, verifier=issuer.verifier(skew=0.0))
    answer = await connect(guarded, token=token, **{"for": 0}).run()
    assert answer.sent[-1]["more_body"] is False
    assert answer.scope["worked"]


async def test_what_an_application_does_after_its_client_has_left_goes_on_when_the_token_ends(
    short: Any, connect: Connect
) -> None:
    issuer, token = short

    async def working(scope: Any, receive: Any, send: Any) -> None:
        await stream(scope | {"for": 0}, receive, lambda message: send({**message, "more_body": True}))
        while (await receive())["type"] != "http.disconnect":
            pass
        await asyncio.sleep(3 * MOMENT)
        scope["worked"] = True

    answer = connect(AuthMiddleware(working, verifier=issuer.verifier(skew=0.0)), token=token)
    running = asyncio.ensure_future(answer.run())
    while not answer.sent:
        await asyncio.sleep(0)
    answer.incoming.put_nowait({"type": "http.disconnect"})
    await running
    assert answer.scope["worked"]


async def test_nothing_is_sent_after_its_token_to_a_client_that_only_seems_to_have_left(
    short: Any, connect: Connect
) -> None:
    async def overlooking(scope: Any, receive: Any, send: Any) -> None:
        streaming = asyncio.ensure_future(stream(scope | {"for": 2 * MOMENT}, receive, send))
        await asyncio.sleep(MOMENT / 2)
        while (await receive())["type"] != "http.disconnect":
            answer.incoming.put_nowait({"type": "http.disconnect"})
        await streaming

    answer = connect(AuthMiddleware(overlooking, short[0].verifier(skew=0.0)), token=short[1])
    with pytest.raises(StreamExpired):
        await answer.run()


async def test_headers_of_an_iterator_reach_the_server(issuer: FakeIssuer, connect: Connect) -> None:
    headers = [(b"x-page", b"1"), (b"content-type", b"text/plain")]

    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": iter(headers)})
        await send({"type": "http.response.body", "body": b""})

    answer = await connect(AuthMiddleware(page, verifier=issuer.verifier()), token=issuer.mint()).run()
    assert list(answer.sent[0]["headers"]) == headers


def test_an_unknown_lifetime_is_refused(clock: FakeClock) -> None:
    with pytest.raises(ValueError):
        AuthMiddleware(stream, FakeIssuer(clock=clock).verifier(), lifetime="forever")  # type: ignore[arg-type]


async def test_a_stream_whose_client_went_away_is_cancelled_as_ever(
    issuer: FakeIssuer, connect: Connect
) -> None:
    answer = connect(AuthMiddleware(stream, verifier=issuer.verifier()), token=issuer.mint())
    running = asyncio.ensure_future(answer.run())
    while not answer.sent:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(asyncio.all_tasks()) <= 2
