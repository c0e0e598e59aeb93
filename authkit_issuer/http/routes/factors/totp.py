"""Authenticator apps as second factors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from authkit_issuer.domains.factors.totp import Totp
from authkit_issuer.http.operations import Auth, Body, Call, Limit, NoParams, Plain, Text, with_apps
from authkit_issuer.http.route_groups import Routes
from authkit_issuer.http.routes.factors.second_factors import SecondFactorAdded
from authkit_issuer.http.routes.factors.two_factor import Code, EndOthers, others_of


class TotpConfirm(Body):
    """A code that the app shows."""

    code: Code
    name: Annotated[Text, Field(description="What you call the app, up to 60 characters")] = ""
    end_other_sessions: EndOthers = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpEnrollment:
    """What an app needs, shown this once: the QR code, the URI in it, or the secret to type."""

    secret: str = field(repr=False)
    otpauth_uri: str = field(repr=False)
    qr_svg: str = field(repr=False)
    expires_in: int


routes = Routes(
    tag="second factor", auth=Auth.USER, limit=Limit(bucket="auth_2fa_totp", by_user=True, closed=True)
)


@routes.post(
    "/auth/user/2fa/totp/begin",
    "Get the secret for an authenticator app",
    offered=with_apps,
    enrolls=True,
    fresh=True,
    calls=(Totp.begin,),
)
async def begin_totp(call: Plain) -> TotpEnrollment:
    """Return a new secret."""
    begun = await call.service.totp.begin(call.account.id)
    return TotpEnrollment(
        secret=begun.secret,
        otpauth_uri=begun.otpauth_uri,
        qr_svg=begun.qr_svg,
        expires_in=begun.expires_in,
    )


@routes.post(
    "/auth/user/2fa/totp/confirm",
    "Add the authenticator app, with a code that it shows",
    offered=with_apps,
    enrolls=True,
    fresh=True,
    calls=(Totp.complete,),
    omit_none=True,
)
async def confirm_totp(call: Call[TotpConfirm, NoParams]) -> SecondFactorAdded:
    """Add the app as a second factor."""
    body = call.body
    added = await call.service.totp.complete(call.account.id, body.code, name=body.name, **others_of(call))
    return SecondFactorAdded(id=added.id, backup_codes=added.backup_codes)
