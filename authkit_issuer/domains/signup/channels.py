"""What differs between a registration by mail and one by SMS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.config import Config
from authkit_issuer.domains.base import messages
from authkit_issuer.domains.base.codes import Lives


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One way to prove an address or number."""

    name: messages.Channel
    kind: str
    """The kind of its one-time records."""
    limit: str
    """What its sendings are counted under, together with those of a verification."""
    normal: Callable[[str], str]
    """Returns the normal form, or raises ``InvalidEmail``, ``InvalidPhoneNumber``."""
    in_use: type[errors.AuthError]
    param: str

    def target(self, text: str) -> str | None:
        """Return the normal form, None when the text is no address or number."""
        try:
            return self.normal(text)
        except errors.Invalid:
            return None

    def lives(self, config: Config, ttl: float | None, *, links: bool) -> Lives:
        """Return how long the parts of a pending registration live; ``ttl`` is in seconds."""
        record = ttl or (config.pending_email_ttl if self is EMAIL else config.pending_phone_ttl)
        link = min(config.link_ttl, record) if links and self is EMAIL else 0.0
        return Lives(code=min(config.code_ttl, record), record=record, link=link)


EMAIL = Channel(
    name="email",
    kind="reg_email",
    limit="email_code",
    normal=identifiers.email,
    in_use=errors.EmailInUse,
    param="email",
)
PHONE = Channel(
    name="phone",
    kind="reg_phone",
    limit="phone_code",
    normal=identifiers.phone,
    in_use=errors.PhoneInUse,
    param="phone_number",
)
BY_KIND = {channel.kind: channel for channel in (EMAIL, PHONE)}


def channel_of(identifier: str) -> Channel:
    """Return the channel of an address or number: a number starts with a plus sign."""
    return PHONE if identifier.strip().startswith("+") else EMAIL
