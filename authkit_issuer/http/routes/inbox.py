"""The development inbox: every mail and SMS this service would have sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.http.operations import Auth, Call, NoBody, Params
from authkit_issuer.http.pages import html
from authkit_issuer.http.raw_response import RawResponse
from authkit_issuer.http.route_groups import Routes
from authkit_issuer.identifiers import displayed_email


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxMessage:
    """One message; ``code`` and ``token`` are the secrets it carries, ``text`` what the user would read."""

    id: str
    at: datetime
    channel: Literal["email", "sms"]
    to: str
    kind: str
    code: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    text: str = field(repr=False)

    @classmethod
    def of(cls, message: object) -> InboxMessage:
        """Return what the page shows of a message."""
        return cls(**{name: getattr(message, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxPage:
    """The messages, newest first."""

    messages: list[InboxMessage]


class InboxParams(Params):
    """Whose messages are shown."""

    to: Annotated[str | None, Field(description="Only messages to this address or number")] = None


routes = Routes(
    tag="development", auth=Auth.LOOPBACK, offered=lambda service: service.inbox is not None, limit=None
)


@routes.get(
    "/dev/inbox",
    "Read the development inbox",
    errors=(errors.NotConfigured,),
    omit_none=True,
    media_types=("application/json", "text/html"),
)
async def read_inbox(call: Call[NoBody, InboxParams]) -> InboxPage | RawResponse:
    """Show the messages, as a page to a browser."""
    inbox = call.service.inbox
    if inbox is None:
        raise errors.NotConfigured
    messages = inbox.messages(call.params.to)
    if html.wanted(call.header(b"accept")):
        names = {"to": call.params.to, "displayed_email": displayed_email}
        return html.render("inbox.html", messages=messages, **names)
    return InboxPage(messages=[InboxMessage.of(message) for message in messages])
