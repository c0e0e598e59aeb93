"""The rate limits of operations: their ``RateLimit-*`` fields and their refusal.

``config.limits`` has the rates, and ``domains.base.rate_limits`` counts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from authkit_issuer.domains.base.rate_limits import Usage, session_key, user_key
from authkit_issuer.http.errors import RateLimited, whole_seconds

if TYPE_CHECKING:
    from authkit_issuer.http.operations import Limit
    from authkit_issuer.http.raw_response import HeaderList
    from authkit_issuer.ports import Client
    from authkit_issuer.service import Service


async def count_address(service: Service, limit: Limit, ip: str | None, headers: HeaderList) -> None:
    """Count a call from an address, and write the fields of the response.

    Raises:
        RateLimited: The bucket is empty.
        EphemeralStoreUnavailable: The store is down, and the limit fails closed.
    """
    _apply(limit, await service.limits.take_for_address(limit.bucket, ip, closed=limit.closed), headers)


async def count_user(service: Service, limit: Limit, user_id: str, headers: HeaderList) -> None:
    """Count a call of a signed-in user; otherwise as ``count_address``."""
    _apply(limit, await service.limits.take(limit.bucket, user_key(user_id), closed=limit.closed), headers)


async def count_session(service: Service, limit: Limit, session_id: str, headers: HeaderList) -> None:
    """Count a call with the refresh token of a session; otherwise as ``count_address``."""
    usage = await service.limits.take(limit.bucket, session_key(session_id), closed=limit.closed)
    _apply(limit, usage, headers)


async def count_account(
    service: Service, limit: Limit, name: str, client: Client, headers: HeaderList
) -> None:
    """Count a call about an account; the fields show the client's rate unless the account's refuses it."""
    wanted = _account_name(name)
    if not wanted:
        return
    device = client if limit.by_device else None
    usage = await service.limits.take_for_account(limit.bucket, wanted, device=device, closed=limit.closed)
    if usage is not None and not usage.allowed:
        _apply(limit, usage, headers)


async def give_back(service: Service, limit: Limit, client: Client, user_id: str, name: str) -> None:
    """Undo what a call counted, because its proof was right; ``user_id`` and ``name`` as it counted them."""
    if limit.by_user:
        await service.limits.give_back(limit.bucket, user_key(user_id))
    else:
        await service.limits.give_back_for_address(limit.bucket, client.ip)
    wanted = _account_name(name)
    if wanted:
        device = client if limit.by_device else None
        await service.limits.give_back_for_account(limit.bucket, wanted, device=device)


def _account_name(name: str) -> str:
    return name.strip().lower()


def _apply(limit: Limit, usage: Usage | None, headers: HeaderList) -> None:
    if usage is None:
        return
    headers[:] = [field for field in headers if not field[0].startswith(b"ratelimit-")] + _fields(usage)
    if not usage.allowed:
        raise _refusal(limit, usage)


def _fields(usage: Usage) -> HeaderList:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers-06, section 3."""
    rate = usage.rate
    return [
        (b"ratelimit-limit", b"%d" % rate.calls),
        (b"ratelimit-remaining", b"%d" % usage.remaining),
        (b"ratelimit-reset", b"%d" % math.ceil(usage.reset)),
        (b"ratelimit-policy", b"%d;w=%d" % (rate.calls, rate.window)),
    ]


def _refusal(limit: Limit, usage: Usage) -> RateLimited:
    refusal = RateLimited(retry_after=usage.reset)
    refusal.metadata.update(
        action=limit.bucket,
        reason="limit_exceeded",
        retry_after_seconds=whole_seconds(usage.reset),
        limit=usage.rate.calls,
        remaining=0,
        window_seconds=usage.rate.window,
    )
    return refusal
