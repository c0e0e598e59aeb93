"""Connections to the mail server: few, kept, replaced when they are dead, and closed with manners."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as Protocol  # noqa: N811 - the server's class

from authkit_issuer.ports import SendFailure, TemporarySendFailure
from authkit_issuer.senders import smtp_pool
from authkit_issuer.senders.smtp import Mailing, SmtpSender
from fakes.patience import PATIENCE
from fakes.ports import free_port
from fakes.until import until
from fakes.users import EMAIL


class Server:
    """Counts connections, commands and mails, taken or not; ``replies`` to the next recipients, then 250."""

    def __init__(self) -> None:
        self.connections: list[Protocol] = []
        self.open = 0
        self.most = 0
        self.quits = 0
        self.mails = 0
        self.received = 0
        self.recipients = 0
        self.replies: list[str] = []
        self.pause = 0.0
        self.silence = 0.0

    async def handle_RSET(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - as below
        await asyncio.sleep(self.silence)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - the library's
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        self.recipients += 1
        if self.replies:
            return self.replies.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - as above
        self.received += 1
        await asyncio.sleep(self.pause)
        self.mails += 1
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - as above
        self.quits += 1
        return "221 Bye"


class Counting(Controller):
    """A controller whose protocol tells the handler of every connection."""

    def factory(self) -> Protocol:
        handler = self.handler

        class Counted(Protocol):
            def connection_made(self, transport: Any) -> None:
                handler.connections.append(self)
                handler.open += 1
                handler.most = max(handler.most, handler.open)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                handler.open -= 1
                super().connection_lost(error)

        return Counted(handler)


@pytest.fixture
def server() -> Iterator[Server]:
    box = Server()
    controller = Counting(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    box.url = f"smtp+plain://127.0.0.1:{controller.port}"  # type: ignore[attr-defined]
    box.loop = controller.loop  # type: ignore[attr-defined]
    yield box
    controller.stop()


@pytest.fixture
async def sender(server: Any):
    made = SmtpSender(Mailing(url=server.url, sender="auth@example.test", retry_after=0.0, timeout=PATIENCE))
    before = server.open
    yield made
    await made.aclose()
    await until(lambda: server.open == before)


async def test_mails_in_a_row_use_one_connection(sender: SmtpSender, server: Any) -> None:
    before = len(server.connections)
    for _ in range(5):
        await sender.send_welcome(EMAIL, "ada_l")
    assert (server.mails, len(server.connections) - before) == (5, 1)
    await sender.aclose()
    assert server.quits == 1


async def test_mails_at_once_use_a_few_connections(sender: SmtpSender, server: Any) -> None:
    server.pause = 0.02
    before = server.open
    await asyncio.gather(*(sender.send_welcome(EMAIL, "ada_l") for _ in range(20)))
    assert server.mails == 20
    assert server.most - before <= smtp_pool.MAX_CONNECTIONS


async def test_a_connection_that_the_server_closed_meanwhile_costs_no_mail(
    sender: SmtpSender, server: Any
) -> None:
    await sender.send_welcome(EMAIL, "ada_l")
    server.loop.call_soon_threadsafe(server.connections[-1].transport.abort)
    await asyncio.sleep(0.05)
    await sender.send_welcome(EMAIL, "ada_l")
    assert server.mails == 2


async def test_a_connection_is_given_up_after_some_mails(
    sender: SmtpSender, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_pool, "MAX_MAILS", 2)
    before = len(server.connections)
    for _ in range(5):
        await sender.send_welcome(EMAIL, "ada_l")
    assert (server.mails, len(server.connections) - before) == (5, 3)


async def test_an_idle_connection_says_goodbye(
    sender: SmtpSender, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_pool, "MAX_IDLE", 0.02)
    before = server.open
    await sender.send_welcome(EMAIL, "ada_l")
    await until(lambda: server.quits == 1 and server.open == before)


async def test_a_temporary_refusal_is_tried_once_more(sender: SmtpSender, server: Any) -> None:
    server.replies = ["451 4.7.1 Greylisted"]
    await sender.send_welcome(EMAIL, "ada_l")
    assert (server.mails, server.recipients) == (1, 2)
    server.replies = ["451 4.7.1 Greylisted"] * 2
    with pytest.raises(TemporarySendFailure, match="SMTP 451"):
        await sender.send_welcome(EMAIL, "ada_l")
    assert server.recipients == 4


async def test_a_lasting_refusal_is_not_tried_again(sender: SmtpSender, server: Any) -> None:
    server.replies = ["550 5.1.1 No such user"]
    with pytest.raises(SendFailure, match="SMTP 550"):
        await sender.send_welcome(EMAIL, "ada_l")
    assert server.recipients == 1
    await sender.send_welcome(EMAIL, "ada_l")
    assert server.mails == 1


async def test_mails_that_are_cancelled_give_their_connections_back(sender: SmtpSender, server: Any) -> None:
    server.pause = 30.0
    for number in range(2 * smtp_pool.MAX_CONNECTIONS):
        sending = asyncio.create_task(sender.send_welcome(EMAIL, "ada_l"))
        # Before 3.12, asyncio.wait_for loses a cancellation that meets a reply: none is on its way now.
        await until(lambda expected=number + 1: server.received == expected)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    server.pause = 0.0
    async with asyncio.timeout(PATIENCE):
        await sender.send_welcome(EMAIL, "ada_l")


async def test_a_mail_that_is_cancelled_while_a_kept_connection_is_tried_closes_it(
    sender: SmtpSender, server: Any
) -> None:
    await sender.send_welcome(EMAIL, "ada_l")
    server.silence = 30.0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await sender.send_welcome(EMAIL, "ada_l")
    await until(lambda: server.open == 0)


def test_a_script_may_send_from_one_event_loop_after_another(server: Any) -> None:
    made = SmtpSender(Mailing(url=server.url, sender="auth@example.test"))

    async def send(*, last: bool) -> None:
        await made.send_welcome(EMAIL, "ada_l")
        if last:
            await made.aclose()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a loop that ends leaves its connection open
        asyncio.run(send(last=False))
        asyncio.run(send(last=True))
        gc.collect()
    assert server.mails == 2
