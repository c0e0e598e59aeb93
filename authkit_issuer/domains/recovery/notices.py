"""Notices of a recovery: every contact of the account gets each of them, with a token that cancels."""

from __future__ import annotations

from datetime import datetime

from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.recovery.queries import Owner
from authkit_issuer.ports import Client, RecoveryNotice
from authkit_issuer.runtime import Runtime


def reaches(rt: Runtime, owner: Owner) -> bool:
    """True if a notice can be sent to a contact of the account."""
    senders = rt.senders
    by_mail = senders.recovery_notice is not None or senders.notices
    return bool(owner.email and by_mail) or bool(owner.phones and senders.recovery_text is not None)


async def tell(
    rt: Runtime,
    owner: Owner,
    kind: str,
    *,
    token: str = "",
    completes_at: datetime | None = None,
    client: Client | None = None,
) -> None:
    """Send a notice to every contact once the transaction has committed."""
    messages = Messages(rt)
    notice = RecoveryNotice(
        kind=kind,
        token=token,
        completes_at=completes_at,
        circumstances=None if client is None else messages.circumstances(client),
    )
    if owner.email is not None:
        await messages.notify_recovery(owner.email, owner.username, notice)
    for phone in owner.phones:
        await messages.notify_phone(phone, notice)
