"""The client that calls: facts about it, and its language."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

language: ContextVar[str] = ContextVar("authkit_language", default="")
"""The language of the client, as a tag such as ``de`` (RFC 5646); ``""`` when unknown.

A host sets it around its calls and a sender reads it: sending in the background inherits it.
"""

web_host: ContextVar[str] = ContextVar("authkit_web_host", default="")
"""The host of the page that calls, for an SMS whose code the browser fills in; ``""`` without a page.

The routes set it by the ``Origin`` of a page that may call. A host that calls for a page of its own sets it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Facts about the caller: the resolved network address and the user agent; either may be unknown.

    ``device`` is the ``TokenPair.device`` of an earlier sign-in, where the caller brings one.
    """

    ip: str | None = None
    user_agent: str | None = None
    device: str | None = field(default=None, repr=False)
