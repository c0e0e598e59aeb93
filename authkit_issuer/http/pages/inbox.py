"""The development inbox: every mail and SMS this service would have sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.http.operations import Answer, AnyOperation, Auth, Call, NoBody, Operation, Params
from authkit_issuer.http.pages import html
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


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxPage:
    """The messages, newest first."""

    messages: list[InboxMessage]


class Whose(Params):
    """Whose messages are shown."""

    to: Annotated[str | None, Field(description="Only messages to this address or number")] = None


async def read_inbox(call: Call[NoBody, Whose]) -> InboxPage | Answer:
    """Show the messages, as a page to a browser."""
    inbox = call.service.inbox
    if inbox is None:
        raise errors.NotConfigured
    messages = inbox.messages(call.params.to)
    if html.wanted(call.header(b"accept")):
        return html.render(
            "inbox.html", messages=messages, to=call.params.to, displayed_email=displayed_email
        )
    return InboxPage(
        messages=[InboxMessage(**{name: getattr(m, name) for name in _FIELDS}) for m in messages]
    )


_FIELDS = tuple(InboxMessage.__dataclass_fields__)

OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path="/dev/inbox",
        summary="Read the development inbox",
        tag="development",
        handler=read_inbox,
        params=Whose,
        returns=InboxPage,
        auth=Auth.LOOPBACK,
        offered=lambda service: service.inbox is not None,
        limit=None,
        omit_none=True,
        errors=(errors.NotConfigured,),
        media_types=("application/json", "text/html"),
    ),
)
