"""One's external logins."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.accounts.external_identities import LinkedProvider, Providers
from authkit_issuer.http.operations import Auth, Limit, Plain
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.route_groups import Routes


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedProviders:
    """The external logins of the account, the oldest first."""

    data: list[LinkedProvider]


routes = Routes(tag="account", auth=Auth.USER)


@routes.get("/auth/user/providers", "List your external logins", limit=Limit(bucket="auth_user_me"))
async def list_linked_providers(call: Plain) -> LinkedProviders:
    """List the caller's external logins."""
    return LinkedProviders(data=await call.service.providers.list_for_user(call.account.id))


@routes.delete(
    "/auth/user/providers/{provider}",
    "Unlink an external login",
    fresh=True,
    limit=Limit(bucket="auth_user_unlink_provider"),
    calls=(Providers.unlink,),
    errors=(errors.ProviderNotLinked,),
)
async def unlink_provider(call: Plain) -> OkResponse:
    """Remove the caller's logins of a provider."""
    account, provider = call.account, call.path["provider"]
    if not await call.service.providers.unlink(
        account.id, provider, session_id=account.session_id, client=call.client
    ):
        raise errors.ProviderNotLinked
    return OkResponse()


@routes.post(
    "/auth/user/providers/{provider}/confirm",
    "Confirm a frozen external login, which signs in again",
    fresh=True,
    limit=Limit(bucket="auth_user_unlink_provider"),
    calls=(Providers.confirm,),
    errors=(errors.ProviderNotLinked,),
)
async def confirm_provider(call: Plain) -> OkResponse:
    """Confirm the caller's frozen logins of a provider."""
    account, provider = call.account, call.path["provider"]
    if not await call.service.providers.confirm(
        account.id, provider, session_id=account.session_id, client=call.client
    ):
        raise errors.ProviderNotLinked
    return OkResponse()
