"""Users with a verified address and a second factor on it."""

from __future__ import annotations

from typing import Any

from authkit_issuer.service import Service
from fakes.mail import Mailbox

EMAIL, PHONE, PASSWORD = "ada@example.test", "+15550100200", "correct horse battery"


async def new_user(service: Service, email: str = EMAIL, *, password: str | None = None) -> str:
    """Return the id of a user whose address is verified."""
    user = await service.users.create(email, email.partition("@")[0].replace("-", "_") + "_user")
    await service.users.set_email_verified(user.id, True)
    if password is not None:
        await service.passwords.store_hash(user.id, await service.passwords.hash(password))
    return user.id


async def with_email_factor(
    service: Service, mailbox: Mailbox, email: str = EMAIL, *, password: str | None = None
) -> tuple[str, list[str]]:
    """Return the id of a user who is asked for a code by mail, and the backup codes."""
    user_id = await new_user(service, email, password=password)
    await service.two_factor.send_email_setup_code(user_id)
    codes = await service.two_factor.enable(user_id, "email", code=mailbox.last(email).code)
    await service.rt.background.drain(timeout=5)
    return user_id, codes


async def events(service: Service, kind: str) -> list[dict[str, Any]]:
    """Return the events of a kind, the oldest first."""
    assert service.pool is not None
    return [
        dict(row)
        for row in await service.pool.fetch(
            "select user_id, session_id, actor, reason, method, target, data::text"
            " from profiles.session_events where event = $1 order by id",
            kind,
        )
    ]
