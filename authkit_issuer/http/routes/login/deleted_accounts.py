"""The way back for owners of deleted accounts, and the way to the end of one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from authkit_issuer.domains.login.deleted_accounts import DeletedAccounts
from authkit_issuer.http.operations import PASSWORD_GUESSES, AccountName, Auth, Body, Call, NoParams, Text
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.route_groups import Routes


class DeletedAccount(Body):
    """The deleted account and its password, taken as it is; or the token of a refused login."""

    identifier: AccountName = ""
    password: Annotated[str, Field(repr=False)] = ""
    restore_token: Annotated[
        Text | None,
        Field(repr=False, description="From the refusal of a login by provider or wallet, in place of both"),
    ] = None

    @model_validator(mode="after")
    def _one_proof(self) -> DeletedAccount:
        if (self.restore_token is None) != bool(self.identifier and self.password):
            raise ValueError("send identifier and password, or restore_token")
        return self


routes = Routes(
    tag="account",
    auth=Auth.PUBLIC,
    limit=PASSWORD_GUESSES,
)


@routes.post(
    "/auth/deleted-account/restore",
    "Restore the account that you deleted",
    calls=(DeletedAccounts.restore, DeletedAccounts.restore_by_token),
)
async def restore_deleted_account(call: Call[DeletedAccount, NoParams]) -> OkResponse:
    """Take a deletion back; then sign in."""
    body, accounts = call.body, call.service.deleted_accounts
    if body.restore_token is not None:
        await accounts.restore_by_token(body.restore_token, client=call.client)
    else:
        await accounts.restore(body.identifier, body.password, client=call.client)
    return OkResponse()


@routes.post(
    "/auth/deleted-account/erase",
    "Erase the account that you deleted, without waiting for the end of its retention",
    calls=(DeletedAccounts.erase, DeletedAccounts.erase_by_token),
    status=202,
)
async def erase_deleted_account(call: Call[DeletedAccount, NoParams]) -> OkResponse:
    """Have the next purge erase a deleted account."""
    body, accounts = call.body, call.service.deleted_accounts
    if body.restore_token is not None:
        await accounts.erase_by_token(body.restore_token, client=call.client)
    else:
        await accounts.erase(body.identifier, body.password, client=call.client)
    return OkResponse()
