"""Several second factors: adding, changing and removing them, and choosing among them at a sign-in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from authkit_issuer.domains.factors.second_factors import SecondFactors
from authkit_issuer.http.operations import Auth, Body, Call, Limit, NoParams, Plain, Text, with_second_factors
from authkit_issuer.http.response_models import SuccessResponse
from authkit_issuer.http.route_groups import Routes
from authkit_issuer.http.routes.factors.two_factor import Code, EndOthers, TwoFactorDisable, others_of

if TYPE_CHECKING:
    from authkit_issuer.domains.factors.service import Challenged


class SecondFactorAdd(Body):
    """A factor whose codes are sent, and the code that proved where they go."""

    kind: Annotated[Text, Field(description="email or sms")]
    phone_number: Annotated[Text | None, Field(description="Only for sms")] = None
    code: Code
    name: Annotated[Text, Field(description="What you call it, up to 60 characters")] = ""
    end_other_sessions: EndOthers = None


class SecondFactorUpdate(Body):
    """A new name, or the wish to be asked for this factor first."""

    name: Text | None = None
    default: Annotated[bool, Field(description="Ask for it first; false changes nothing")] = False


class SecondFactorSelect(Body):
    """The challenge of a sign-in, and one of its methods."""

    user_id: Text
    challenge: Annotated[Text, Field(repr=False)]
    factor_id: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactorAdded:
    """The id of the new factor; and the backup codes, shown this once, if it is the first one."""

    id: str
    backup_codes: list[str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorMethod:
    """A second factor that may be asked for."""

    id: str
    kind: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactorSelected:
    """What the challenge takes from now on, and where a code went, masked."""

    method: str
    destination: str
    code_sent: bool
    factor_id: str
    methods: list[FactorMethod]

    @classmethod
    def of(cls, challenged: Challenged) -> SecondFactorSelected:
        """Return the challenge as the client may see it."""
        return cls(
            method=challenged.method,
            destination=challenged.destination,
            code_sent=challenged.code_sent,
            factor_id=challenged.factor_id or "",
            methods=[FactorMethod(**method) for method in challenged.methods],
        )


routes = Routes(tag="second factor", auth=Auth.USER)


@routes.post(
    "/auth/user/2fa/factors",
    "Add a second factor beside the others, with the code that was sent",
    fresh=True,
    offered=with_second_factors,
    enrolls=True,
    limit=Limit(bucket="auth_2fa_enable", by_user=True, closed=True),
    calls=(SecondFactors.add,),
    omit_none=True,
)
async def add_second_factor(call: Call[SecondFactorAdd, NoParams]) -> SecondFactorAdded:
    """Add a factor whose codes are sent."""
    body = call.body
    added = await call.service.second_factors.add(
        call.account.id,
        body.kind,
        code=body.code,
        phone_number=body.phone_number,
        name=body.name,
        **others_of(call),
    )
    return SecondFactorAdded(id=added.id, backup_codes=added.backup_codes)


@routes.patch(
    "/auth/user/2fa/factors/{id}",
    "Rename a second factor, or ask for it first",
    fresh=True,
    limit=Limit(bucket="auth_2fa_change", by_user=True, closed=True),
    calls=(SecondFactors.update,),
)
async def update_second_factor(call: Call[SecondFactorUpdate, NoParams]) -> SuccessResponse:
    """Change the name or the default."""
    await call.service.second_factors.update(
        call.account.id,
        call.path["id"],
        name=call.body.name,
        default=call.body.default,
        client=call.client,
    )
    return SuccessResponse()


@routes.delete(
    "/auth/user/2fa/factors/{id}",
    "Remove a second factor; the last one switches two-factor sign-in off",
    fresh=True,
    limit=Limit(bucket="auth_2fa_change", by_user=True, closed=True),
    calls=(SecondFactors.remove,),
)
async def remove_second_factor(call: Call[TwoFactorDisable, NoParams]) -> SuccessResponse:
    """Remove a factor."""
    await call.service.second_factors.remove(call.account.id, call.path["id"], **others_of(call))
    return SuccessResponse()


@routes.post(
    "/auth/user/2fa/forget-devices",
    "Let no device remember your second factor any longer",
    limit=Limit(bucket="auth_2fa_change", by_user=True, closed=True),
)
async def forget_devices(call: Plain) -> SuccessResponse:
    """Forget the devices."""
    await call.service.second_factors.forget_devices(call.account.id, client=call.client)
    return SuccessResponse()


@routes.delete(
    "/auth/user/2fa/devices/{id}",
    "Let one device remember your second factor no longer",
    limit=Limit(bucket="auth_2fa_change", by_user=True, closed=True),
    calls=(SecondFactors.forget_device,),
)
async def forget_device(call: Plain) -> SuccessResponse:
    """Forget a device."""
    await call.service.second_factors.forget_device(call.account.id, call.path["id"], client=call.client)
    return SuccessResponse()


@routes.post(
    "/auth/2fa/challenge",
    "Ask for another second factor in a sign-in, whose code is then sent",
    tag="login",
    auth=Auth.PUBLIC,
    limit=Limit(bucket="auth_2fa_challenge", closed=True, account=lambda body: body.challenge),
    calls=(SecondFactors.select,),
)
async def select_second_factor(call: Call[SecondFactorSelect, NoParams]) -> SecondFactorSelected:
    """Switch the challenge of a sign-in to another factor."""
    body = call.body
    challenged = await call.service.second_factors.select(
        body.user_id, body.challenge, body.factor_id, client=call.client
    )
    return SecondFactorSelected.of(challenged)
