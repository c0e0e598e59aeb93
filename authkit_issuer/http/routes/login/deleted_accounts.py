"""The way back for owners of deleted accounts, and the way to the end of one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from authkit_issuer.domains.login.deleted_accounts import DeletedAccounts
from authkit_issuer.http.operations import PASSWORD_GUESSES, Auth, Body, Call, NoParams, Text
from authkit_issuer.http.responses import OkResponse
from authkit_issuer.http.route_groups import Routes


class DeletedAccount(Body):
    """The deleted account, and its password, taken as it is."""

    identifier: Annotated[Text, Field(description="An email address, phone number or user name")]
    password: Annotated[str, Field(repr=False)]


routes = Routes(
    tag="account",
    auth=Auth.PUBLIC,
    limit=PASSWORD_GUESSES,
)


@routes.post(
    "/auth/deleted-account/restore",
    "Restore the account that you deleted",
    calls=(DeletedAccounts.restore,),
)
async def restore_deleted_account(call: Call[DeletedAccount, NoParams]) -> OkResponse:
    """Take a deletion back; then sign in."""
    body = call.body
    await call.service.deleted_accounts.restore(body.identifier, body.password, client=call.client)
    return OkResponse()


@routes.post(
    "/auth/deleted-account/erase",
    "Erase the account that you deleted, without waiting for the end of its retention",
    calls=(DeletedAccounts.erase,),
    status=202,
)
async def erase_deleted_account(call: Call[DeletedAccount, NoParams]) -> OkResponse:
    """Have the next purge erase a deleted account."""
    body = call.body
    await call.service.deleted_accounts.erase(body.identifier, body.password, client=call.client)
    return OkResponse()
