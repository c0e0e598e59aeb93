"""What the provider of SMS reports about messages."""

from __future__ import annotations

from pydantic import ConfigDict

from authkit_issuer.domains.base.sms_reports import PATH, SmsReports
from authkit_issuer.http.operations import Auth, Body, Call, Limit, NoParams
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.route_groups import Routes


class SmsReport(Body):
    """Every parameter of Twilio's request, since the signature is over all of them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str]  # pyright: ignore[reportIncompatibleVariableOverride] - as pydantic documents it


routes = Routes(tag="messages", auth=Auth.PUBLIC)


@routes.post(
    f"/auth{PATH}",
    "Report what became of an SMS, signed by Twilio",
    offered=lambda service: service.sms_reports.available,
    form=True,
    limit=Limit(bucket="auth_sms_status"),
    calls=(SmsReports.take,),
)
async def report_sms(call: Call[SmsReport, NoParams]) -> OkResponse:
    """Take a report."""
    signature = call.header(b"x-twilio-signature")
    await call.service.sms_reports.take(call.body.__pydantic_extra__, signature=signature)
    return OkResponse()
