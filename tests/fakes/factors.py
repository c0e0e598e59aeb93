"""Users with a verified address and a second factor on it."""

from __future__ import annotations

import time
from typing import Any

import pyotp

from authkit_issuer.service import Service
from fakes.mail import Mailbox
from fakes.users import finish_background

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
    await finish_background(service)
    return user_id, codes


async def with_app(
    service: Service, email: str = EMAIL, *, password: str | None = None, name: str = ""
) -> tuple[str, str, list[str]]:
    """Return the id of a user with an authenticator app, the secret of the app, and the backup codes."""
    user_id = await new_user(service, email, password=password)
    secret, backup = await add_app(service, user_id, name=name)
    assert backup is not None
    return user_id, secret, backup


async def add_app(
    service: Service, user_id: str, *, name: str = "", keep: str | None = None
) -> tuple[str, list[str] | None]:
    """Give a user an authenticator app; returns its secret, and the backup codes of a first factor."""
    begun = await service.totp.begin(user_id)
    code = app_code(begun.secret, 0)
    added = await service.totp.complete(user_id, code, name=name, keep_session_id=keep)
    await finish_background(service)
    return begun.secret, added.backup_codes


def app_code(secret: str, ahead: int = 1) -> str:
    """Return the code that an app shows ``ahead`` steps from now."""
    return pyotp.TOTP(secret).at(time.time() + 30 * ahead)


async def let_codes_be_new(service: Service) -> None:
    """Forget which codes of apps were accepted, as if time had passed."""
    assert service.pool is not None
    await service.pool.execute("update profiles.second_factors set last_step = -1")


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
