"""The development inbox: every mail and SMS this service would have sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.http.operations import Auth, Call, NoBody, Params, Plain
from authkit_issuer.http.pages import html
from authkit_issuer.http.raw_response import RawResponse
from authkit_issuer.http.route_groups import Routes
from authkit_issuer.identifiers import displayed_email


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxMessage:
    """One message; ``code`` and ``token`` are the secrets it carries, ``text`` what the user would read.

    A mail also has its ``subject`` and ``html``.
    """

    id: str
    at: datetime
    channel: Literal["email", "sms"]
    to: str
    kind: str
    code: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    text: str = field(repr=False)
    subject: str | None = None
    html: str | None = field(default=None, repr=False)

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
        return html.inbox(messages=messages, to=call.params.to, displayed_email=displayed_email)
    return InboxPage(messages=[InboxMessage.of(message) for message in messages])


@routes.get(
    "/dev/inbox/{id}",
    "Show a mail as its recipient sees it",
    returns=InboxMessage,
    errors=(errors.NotConfigured, errors.NotFound),
    media_types=("text/html",),
)
async def read_mail(call: Plain) -> RawResponse:
    """Show the HTML of one mail, for the frame of the inbox."""
    inbox = call.service.inbox
    if inbox is None:
        raise errors.NotConfigured
    shown = next((message.html for message in inbox.messages() if message.id == call.path["id"]), None)
    if shown is None:
        raise errors.NotFound("The inbox has no mail of this number.")
    return html.mail(shown)
