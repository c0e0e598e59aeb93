"""What happened to one's own account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from authkit_issuer.event_types import PLACE, AuthSessionEvent, event_place
from authkit_issuer.http.operations import Auth, Call, Limit, NoBody, Params
from authkit_issuer.http.response_models import AccountEvent
from authkit_issuer.http.route_groups import Routes


class EventsPage(Params):
    """Which events are listed."""

    limit: Annotated[int, Field(ge=1, le=100, description="How many at most")] = 50
    before: Annotated[
        str,
        Field(pattern=PLACE, description="The `next` of the page before"),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEvents:
    """Events, newest first; ``next`` leads to the page after, null on the last one."""

    data: list[AccountEvent]
    next: str | None


routes = Routes(tag="account", auth=Auth.USER, limit=Limit(bucket="auth_user_events", by_user=True))


@routes.get("/auth/user/events", "What happened to your account")
async def list_account_events(call: Call[NoBody, EventsPage]) -> OwnEvents:
    """List what happened to the caller's account."""
    account, page = call.account, call.params
    found = await call.service.events.list_session_events(
        account.id, limit=page.limit, before=_read(page.before)
    )
    last = found[-1].place if len(found) == page.limit else None
    return OwnEvents(data=[AccountEvent.of(event) for event in found], next=last)


def _read(text: str) -> AuthSessionEvent | None:
    """Return the last event of the page before, as far as its place among the others goes."""
    if not text:
        return None
    moment, number = event_place(text)
    return AuthSessionEvent(id=number, occurred_at=moment, issuer="", user_id="", session_id="", event="")
