"""The password policy: long enough, not a common password, not one from a breach.

``security.password_length`` has the bounds, ``security.common_passwords`` the list, and ``security.breaches``
asks about breaches.
"""

from __future__ import annotations

import asyncio

from authkit_issuer import errors
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.common_passwords import is_common
from authkit_issuer.security.password_length import check_length, normalized
from authkit_issuer.telemetry.calls import asking


async def check_policy(rt: Runtime, password: str) -> None:
    """Raise what keeps the password from being set.

    ``PasswordTooShort``, ``PasswordTooLong``, ``PasswordTooCommon``, ``PasswordBreached``, and
    ``BreachCheckUnavailable`` when the host's breach check is down and fails closed.
    """
    check_length(password)
    password = normalized(password)
    # In a thread: the first look reads the list from disk.
    if rt.config.refuse_common_passwords and await asyncio.to_thread(is_common, password):
        raise errors.PasswordTooCommon(param="password")
    if rt.breach_check is None:
        return
    with asking(rt.telemetry, "breach check", "is_breached"):
        breached = await rt.breach_check.is_breached(password)
    if breached:
        raise errors.PasswordBreached(param="password")
