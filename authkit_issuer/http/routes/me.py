"""The caller's own account."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.capabilities.sessions import Account
from authkit_issuer.http.routing import AnyOperation, Auth, Operation, Plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Me(Account):
    """The account, the session that asks, and the names of what the user may use now."""

    entitlements: list[str]


_FIELDS = tuple(entry.name for entry in dataclasses.fields(Account))


async def me(call: Plain) -> Me:
    """Tell the caller about themselves."""
    names = await call.service.entitlements.list_names(call.account.id)
    return Me(**{name: getattr(call.account, name) for name in _FIELDS}, entitlements=names)


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path="/auth/user/me",
        summary="Your account and session",
        tag="account",
        handler=me,
        returns=Me,
        auth=Auth.USER,
        errors=(errors.EntitlementsUnavailable,),
    ),
)
