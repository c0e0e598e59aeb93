"""Administration: the URLs that receive events, as ``authkit webhooks`` manages them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.webhooks.service import NewWebhook, WebhookEndpoint, Webhooks
from authkit_issuer.http.operations import Auth, Body, Call, Limit, NoParams, Plain, Text
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.rfc3339 import Moment
from authkit_issuer.http.route_groups import Routes


class NewEndpoint(Body):
    """A URL that receives events from now on."""

    url: Text
    events: Annotated[list[Text], Field(description="Types of events; empty for every type")] = []
    personal: Annotated[
        bool, Field(description="Send IP addresses, user agents, details and operators' reasons, too")
    ] = False


class ReplayRequest(Body):
    """What is sent again."""

    since: Annotated[
        Moment | None, Field(description="Every event since then; left out, what was given up")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookList:
    """Every endpoint, the oldest one first."""

    data: list[WebhookEndpoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSecret:
    """An endpoint and its secret, which is shown this once."""

    id: str
    secret: str = field(repr=False)

    @classmethod
    def of(cls, made: NewWebhook) -> WebhookSecret:
        """Return what an operator keeps."""
        return cls(id=made.id, secret=made.secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReplay:
    """How many events are sent again."""

    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTest:
    """What the receiver answered, or why there was no answer."""

    ok: bool
    outcome: str


_PATH = "/auth/admin/webhooks"
_ONE = f"{_PATH}/{{webhook_id}}"
_READ = Limit(bucket="auth_admin_user_sessions_list", by_user=True)
_CHANGE = Limit(bucket="auth_admin_webhooks", by_user=True)
routes = Routes(tag="administration", auth=Auth.ADMIN, limit=_CHANGE)


@routes.get(_PATH, "List the webhooks", limit=_READ)
async def admin_list_webhooks(call: Plain) -> WebhookList:
    """List the endpoints with what waits, what was given up and the last outcome."""
    return WebhookList(data=await call.service.webhooks.list())


@routes.post(_PATH, "Add a webhook", fresh=True, calls=(Webhooks.add,))
async def admin_add_webhook(call: Call[NewEndpoint, NoParams]) -> WebhookSecret:
    """Send events to a URL from now on."""
    body = call.body
    made = await call.service.webhooks.add(
        body.url, body.events, personal=body.personal, actor=call.account.id
    )
    return WebhookSecret.of(made)


@routes.get(_ONE, "Show a webhook", limit=_READ, calls=(Webhooks.get,))
async def admin_get_webhook(call: Plain) -> WebhookEndpoint:
    """Show one endpoint."""
    return await call.service.webhooks.get(call.path["webhook_id"])


@routes.delete(_ONE, "Remove a webhook", fresh=True, calls=(Webhooks.remove,))
async def admin_remove_webhook(call: Plain) -> OkResponse:
    """Forget an endpoint and what waits for it."""
    await call.service.webhooks.remove(call.path["webhook_id"], actor=call.account.id)
    return OkResponse()


@routes.post(f"{_ONE}/disable", "Pause a webhook", fresh=True, errors=(errors.WebhookNotFound,))
async def admin_disable_webhook(call: Plain) -> OkResponse:
    """Send nothing more; what waits is kept, new events are not."""
    await call.service.webhooks.disable(call.path["webhook_id"], actor=call.account.id)
    return OkResponse()


@routes.post(f"{_ONE}/enable", "Send to a webhook again", fresh=True, calls=(Webhooks.enable,))
async def admin_enable_webhook(call: Plain) -> OkResponse:
    """Send again; a replay sends what happened meanwhile."""
    await call.service.webhooks.enable(call.path["webhook_id"], actor=call.account.id)
    return OkResponse()


@routes.post(f"{_ONE}/rotate", "Give a webhook a new secret", fresh=True, calls=(Webhooks.rotate,))
async def admin_rotate_webhook(call: Plain) -> WebhookSecret:
    """Return a new secret; for a day the former one signs as well."""
    return WebhookSecret.of(
        await call.service.webhooks.rotate(call.path["webhook_id"], actor=call.account.id)
    )


@routes.post(f"{_ONE}/replay", "Send events to a webhook again", fresh=True, calls=(Webhooks.replay,))
async def admin_replay_webhook(call: Call[ReplayRequest, NoParams]) -> WebhookReplay:
    """Send again what was given up, or every event since a time."""
    count = await call.service.webhooks.replay(
        call.path["webhook_id"], since=call.body.since, actor=call.account.id
    )
    return WebhookReplay(events=count)


@routes.post(f"{_ONE}/test", "Send a test message to a webhook", fresh=True, calls=(Webhooks.test,))
async def admin_test_webhook(call: Plain) -> WebhookTest:
    """Send a message of the type ``test`` now, once."""
    outcome = await call.service.webhooks.test(call.path["webhook_id"])
    return WebhookTest(ok=outcome.ok, outcome=outcome.text)
