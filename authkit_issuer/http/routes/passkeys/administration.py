"""Administration: the passkeys of a user."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.domains.passkeys.service import Passkeys
from authkit_issuer.http.operations import Auth, Limit, Plain, with_passkeys
from authkit_issuer.http.passkey_models import PasskeyEntry
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.route_groups import Routes


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPasskeys:
    """The passkeys of a user, the oldest first."""

    data: list[PasskeyEntry]


routes = Routes(tag="administration", auth=Auth.ADMIN, offered=with_passkeys)


@routes.get(
    "/auth/admin/users/{user_id}/passkeys",
    "List the passkeys of a user",
    limit=Limit(bucket="auth_admin_user_sessions_list", by_user=True),
)
async def admin_list_user_passkeys(call: Plain) -> UserPasskeys:
    """List the passkeys of a user."""
    found = await call.service.passkeys.list_for_user(call.path["user_id"])
    return UserPasskeys(data=[PasskeyEntry.of(passkey) for passkey in found])


@routes.delete(
    "/auth/admin/users/{user_id}/passkeys/{passkey_id}",
    "Remove a passkey of a user",
    fresh=True,
    limit=Limit(bucket="auth_passkey_change", by_user=True, closed=True),
    calls=(Passkeys.admin_remove,),
)
async def admin_remove_user_passkey(call: Plain) -> OkResponse:
    """Remove a passkey of a user."""
    user, passkey = call.path["user_id"], call.path["passkey_id"]
    await call.service.passkeys.admin_remove(user, passkey, actor=call.account.id, client=call.client)
    return OkResponse()
