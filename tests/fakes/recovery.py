"""Sign-ins that wait for a second factor which is lost, and the time that passes."""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from authkit_issuer.store.query import Statement
from fakes.factors import EMAIL, PASSWORD
from fakes.mail import Mailbox
from fakes.users import finish_background

DAY = 86_400.0
DELAY = 3 * DAY
NUMBER, FACTOR_NUMBER = "+15550100400", "+15550100500"
"""The verified number of a user, and the number of a second factor."""


async def challenge_of(service: Service, email: str = EMAIL, password: str = PASSWORD) -> str:
    """Return the challenge of a sign-in whose password was right."""
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.logins.with_password(email, password)
    return str(required.value.metadata["challenge"])


async def let_pass(service: Service, seconds: float) -> None:
    """Move every recovery into the past, as if time had passed for it."""
    moments = ("started_at", "completes_at", "expires_at", "next_notice_at", "noticed_at", "cancelled_at")
    moves = ", ".join(f"{name} = {name} - $1 * interval '1 second'" for name in moments)
    # Not on the pool: a race runs under each isolation of the database, and notices are written meanwhile.
    await service.rt.execute(Statement(f"update profiles.recovery_requests set {moves}"), seconds)


async def wait_out(service: Service) -> None:
    """Let the whole wait pass, with maintenance every day."""
    await finish_background(service)
    for _ in range(round(DELAY / DAY)):
        await let_pass(service, DAY)
        await service.recovery.remind()
    await finish_background(service)


async def told(service: Service, mailbox: Mailbox) -> list[tuple[str, str]]:
    """Return to whom which notices of a recovery went since the last call, sorted."""
    await finish_background(service)
    kinds = ("recovery_", "account_recovered")
    found = [(one.to, one.kind) for one in mailbox.messages if one.kind.startswith(kinds)]
    mailbox.messages.clear()
    return sorted(found)


def everybody(kind: str) -> list[tuple[str, str]]:
    """Return a notice of this kind to every contact, sorted."""
    return sorted((to, kind) for to in (EMAIL, NUMBER, FACTOR_NUMBER))


async def started(service: Service, user_id: str) -> None:
    """Start a recovery, and wait until its notices were sent."""
    await service.recovery.start(user_id, await challenge_of(service))
    await finish_background(service)
