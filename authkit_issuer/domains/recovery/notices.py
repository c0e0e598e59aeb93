"""Notices of a recovery: every contact of the account gets each of them, with a token that cancels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.recovery.queries import Owner
from authkit_issuer.ports import Client, RecoveryNotice
from authkit_issuer.runtime import Runtime


@dataclass(slots=True)
class _Round:
    """The messages of one notice that are on their way, and what to do once none is.

    A contact that no message can reach for good keeps no owner from completing a recovery, as long as another
    one got it. One that waits for another try does: an attacker must not make the wait a silent one, such as
    by using up the SMS of a number.
    """

    waiting: int
    sent: Callable[[], Awaitable[object]]
    got: bool = False

    async def end(self, sent: bool) -> None:  # noqa: FBT001 - the outcome is all there is to say
        """Note the outcome of one message."""
        self.waiting -= 1
        self.got = self.got or sent
        if self.got and not self.waiting:
            await self.sent()


def reaches(rt: Runtime, owner: Owner) -> bool:
    """True if a notice can be sent to a contact of the account."""
    email, phones = _contacts(rt, owner)
    return email is not None or bool(phones)


async def tell(
    rt: Runtime,
    owner: Owner,
    kind: str,
    *,
    token: str = "",
    completes_at: datetime | None = None,
    client: Client | None = None,
    sent: Callable[[], Awaitable[object]] | None = None,
) -> None:
    """Send a notice to every contact once the transaction has committed.

    ``sent`` runs when the messages have left: never while one of them is to be tried again.
    """
    messages = Messages(rt)
    notice = RecoveryNotice(
        kind=kind,
        token=token,
        completes_at=completes_at,
        circumstances=None if client is None else messages.circumstances(client),
    )
    email, phones = _contacts(rt, owner)
    end = None if sent is None else _Round(len(phones) + (email is not None), sent).end
    if email is not None:
        await messages.notify_recovery(email, owner.username, notice, end)
    for phone in phones:
        await messages.notify_phone(phone, notice, end)


def _contacts(rt: Runtime, owner: Owner) -> tuple[str | None, list[str]]:
    """Return the address and the numbers that a notice can be sent to."""
    senders = rt.senders
    by_mail = senders.recovery_notice is not None or senders.notices
    return owner.email if by_mail else None, owner.phones if senders.recovery_text is not None else []
