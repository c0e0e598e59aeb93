"""Step-up: a signed-in user authenticates again, and gets an access token with the new time.

The refresh token stays as it is: the session remembers the proof, so later access tokens say it too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from authkit_issuer.domains.login.service import Logins
from authkit_issuer.domains.login.solana.service import Solana
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Text,
    with_wallets,
)
from authkit_issuer.http.response_models import AccessTokenResponse
from authkit_issuer.http.route_groups import Routes
from authkit_issuer.http.solana_models import WalletAnswer

if TYPE_CHECKING:
    from authkit_issuer.domains.sessions.service import AuthenticatedSession
    from authkit_issuer.ports import Client
    from authkit_issuer.service import Service


class PasswordStepUp(Body):
    """The caller's password."""

    password: Annotated[str, Field(repr=False)]


class TwoFactorStepUp(Body):
    """The code that was sent or that an app shows, or a backup code; without one a code is sent."""

    code: Annotated[Text | None, Field(repr=False)] = None
    backup_code: Annotated[bool, Field(description="The code is a backup code")] = False
    factor_id: Annotated[Text | None, Field(description="Another second factor than the default one")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpMethod:
    """A second factor that may be asked for."""

    id: str
    kind: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpResponse:
    """A new access token; or, after a request without a code, where the code went, masked.

    Nothing is sent for an app (``method`` is ``totp``). ``methods`` are the second factors to choose from.
    """

    access_token: str | None = field(default=None, repr=False)
    token_type: Literal["Bearer"] | None = None
    expires_in: int | None = None
    destination: str | None = None
    method: str | None = None
    methods: list[StepUpMethod] | None = None


_TRYING = Limit(bucket="auth_step_up", by_user=True, closed=True, gives_back=True)
routes = Routes(tag="step-up", auth=Auth.USER, limit=_TRYING)


@routes.post("/auth/step-up/password", "Prove your password again", calls=(Logins.step_up_password,))
async def step_up_with_password(call: Call[PasswordStepUp, NoParams]) -> AccessTokenResponse:
    """Prove the password again."""
    account = call.account
    stepped = await call.service.logins.step_up_password(
        account.id, account.session_id, call.body.password, client=call.client
    )
    return AccessTokenResponse.of(stepped)


@routes.post(
    "/auth/step-up/2fa",
    "Prove your second factor again; without a code one is sent",
    calls=(Logins.step_up_send_code, Logins.step_up_two_factor),
    omit_none=True,
)
async def step_up_with_two_factor(call: Call[TwoFactorStepUp, NoParams]) -> StepUpResponse:
    """Send a code, or take it."""
    return await _with_code(call.service, call.account, call.body, call.client)


@routes.post("/auth/step-up/solana", "Prove your wallet again", offered=with_wallets, calls=(Solana.step_up,))
async def step_up_with_solana(call: Call[WalletAnswer, NoParams]) -> AccessTokenResponse:
    """Prove the linked wallet again."""
    account, output = call.account, call.body.signed()
    solana = call.service.solana
    stepped = await solana.step_up(account.id, account.session_id, output, client=call.client)
    return AccessTokenResponse.of(stepped)


async def _with_code(
    service: Service, account: AuthenticatedSession, body: TwoFactorStepUp, client: Client
) -> StepUpResponse:
    who = (account.id, account.session_id)
    if body.code is None:
        code = await service.logins.step_up_send_code(*who, factor_id=body.factor_id, client=client)
        return StepUpResponse(
            destination=code.masked_destination,
            method=code.kind,
            methods=[StepUpMethod(**method) for method in code.methods] or None,
        )
    stepped = await service.logins.step_up_two_factor(
        *who, body.code, is_backup=body.backup_code, factor_id=body.factor_id, client=client
    )
    return StepUpResponse(**asdict(AccessTokenResponse.of(stepped)))
