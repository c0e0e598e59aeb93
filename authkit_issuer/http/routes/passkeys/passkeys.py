"""One's passkeys: adding, listing, renaming, confirming and removing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.passkeys.service import Passkeys
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Plain,
    with_passkey_factors,
    with_passkeys,
)
from authkit_issuer.http.passkey_models import NewPublicKeyCredential, PasskeyEntry
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.route_groups import Routes
from authkit_issuer.keys import base64url

if TYPE_CHECKING:
    from authkit_issuer.domains.passkeys.service import AcceptedPasskeys

Name = Annotated[str, Field(description="1 to 60 characters")]


class PasskeyRegistrationBegin(Body):
    """How the passkey is to be added."""

    conditional: Annotated[
        bool, Field(description="Without a gesture, after a sign-in by password: the client's mediation")
    ] = False


class PasskeyRegistration(Body):
    """A response to the options, and how the passkey is to be called."""

    credential: NewPublicKeyCredential
    name: Name | None = None
    end_other_sessions: Annotated[
        bool | None, Field(description="End the other sessions; factor_change_ends_sessions decides if null")
    ] = None


class PasskeyName(Body):
    """How a passkey is to be called."""

    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyCreation:
    """The options of ``navigator.credentials.create``, for ``parseCreationOptionsFromJSON``.

    ``mediation`` goes beside them into the call where it is given.
    """

    options: dict[str, Any]
    mediation: Literal["conditional"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyList:
    """The passkeys of the account, the oldest first, and what the browser's signal methods take.

    ``user_handle`` is null for an account that never began to add one.
    """

    data: list[PasskeyEntry]
    rp_id: str
    user_handle: str | None
    name: str
    display_name: str
    accepted_credential_ids: list[str]

    @classmethod
    def of(cls, found: AcceptedPasskeys) -> PasskeyList:
        """Return the response for the passkeys of an account."""
        return cls(
            data=[PasskeyEntry.of(passkey) for passkey in found.passkeys],
            rp_id=found.rp_id,
            user_handle=None if found.user_handle is None else base64url(found.user_handle),
            name=found.name,
            display_name=found.display_name,
            accepted_credential_ids=[base64url(credential) for credential in found.accepted],
        )


_CHANGING = Limit(bucket="auth_passkey_change", by_user=True, closed=True)
routes = Routes(tag="passkeys", auth=Auth.USER, offered=with_passkeys)


@routes.post(
    "/auth/passkeys/register/begin",
    "The options of a new passkey",
    fresh=True,
    enrolls=with_passkey_factors,
    limit=Limit(bucket="auth_passkey_register", by_user=True, closed=True),
    calls=(Passkeys.begin_registration,),
    omit_none=True,
)
async def begin_passkey_registration(call: Call[PasskeyRegistrationBegin, NoParams]) -> PasskeyCreation:
    """Issue a challenge for a new passkey of the caller."""
    conditional = call.body.conditional
    options = await call.service.passkeys.begin_registration(call.account.id, conditional=conditional)
    return PasskeyCreation(options=options, mediation="conditional" if conditional else None)


@routes.post(
    "/auth/passkeys/register/finish",
    "Add the passkey that your authenticator has made",
    fresh=True,
    enrolls=with_passkey_factors,
    limit=Limit(bucket="auth_passkey_register", by_user=True, closed=True),
    calls=(Passkeys.finish_registration,),
)
async def finish_passkey_registration(call: Call[PasskeyRegistration, NoParams]) -> PasskeyEntry:
    """Add a passkey."""
    added = await call.service.passkeys.finish_registration(
        call.account.id,
        call.body.credential.model_dump(),
        name=call.body.name,
        keep_session_id=call.account.session_id,
        end_other_sessions=call.body.end_other_sessions,
        enrolling=not call.account.session_id,
        client=call.client,
    )
    return PasskeyEntry.of(added)


@routes.get(
    "/auth/passkeys",
    "List your passkeys",
    limit=Limit(bucket="auth_user_me"),
    calls=(Passkeys.accepted_for_user,),
)
async def list_passkeys(call: Plain) -> PasskeyList:
    """List the caller's passkeys."""
    return PasskeyList.of(await call.service.passkeys.accepted_for_user(call.account.id))


@routes.patch("/auth/passkeys/{passkey_id}", "Rename a passkey", limit=_CHANGING, calls=(Passkeys.rename,))
async def rename_passkey(call: Call[PasskeyName, NoParams]) -> PasskeyEntry:
    """Rename a passkey of the caller."""
    account, passkey = call.account.id, call.path["passkey_id"]
    return PasskeyEntry.of(await call.service.passkeys.rename(account, passkey, call.body.name))


@routes.delete(
    "/auth/passkeys/{passkey_id}",
    "Remove a passkey",
    fresh=True,
    limit=_CHANGING,
    calls=(Passkeys.remove,),
)
async def remove_passkey(call: Plain) -> OkResponse:
    """Remove a passkey of the caller."""
    account, passkey = call.account, call.path["passkey_id"]
    await call.service.passkeys.remove(
        account.id, passkey, keep_session_id=account.session_id, client=call.client
    )
    return OkResponse()


@routes.post(
    "/auth/passkeys/{passkey_id}/confirm",
    "Confirm a frozen passkey, which signs in again",
    fresh=True,
    limit=_CHANGING,
    errors=(errors.PasskeyNotFound,),
)
async def confirm_passkey(call: Plain) -> OkResponse:
    """Confirm a frozen passkey of the caller."""
    account, passkey = call.account, call.path["passkey_id"]
    await call.service.passkeys.confirm(
        account.id, passkey, session_id=account.session_id, client=call.client
    )
    return OkResponse()
