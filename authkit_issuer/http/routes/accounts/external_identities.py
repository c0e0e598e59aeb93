"""One's external logins."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.accounts.external_identities import LinkedProvider
from authkit_issuer.http.operations import AnyOperation, Auth, Limit, Operation, Plain
from authkit_issuer.http.responses import Done


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedProviders:
    """The external logins of the account, the oldest first."""

    data: list[LinkedProvider]


async def list_linked(call: Plain) -> LinkedProviders:
    """List the caller's external logins."""
    return LinkedProviders(data=await call.service.providers.list_for_user(call.account.id))


async def unlink(call: Plain) -> Done:
    """Remove the caller's logins of a provider."""
    account, provider = call.account.id, call.path["provider"]
    if not await call.service.providers.unlink(account, provider, client=call.client):
        raise errors.ProviderNotLinked
    return Done()


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path="/auth/user/providers",
        summary="List your external logins",
        tag="account",
        handler=list_linked,
        returns=LinkedProviders,
        auth=Auth.USER,
        limit=Limit(bucket="auth_user_me"),
    ),
    Operation(
        method="DELETE",
        path="/auth/user/providers/{provider}",
        summary="Unlink an external login",
        tag="account",
        handler=unlink,
        returns=Done,
        auth=Auth.USER,
        fresh=True,
        limit=Limit(bucket="auth_user_unlink_provider"),
        errors=(errors.ProviderNotLinked, errors.CannotUnlinkLastLoginMethod),
    ),
)
