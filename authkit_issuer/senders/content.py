"""What a mail is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from authkit_issuer.ports import Circumstances


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a mail is about; ``""`` where it has no such part."""

    kind: str
    username: str = ""
    code: str = field(default="", repr=False)
    link: str = field(default="", repr=False)
    org: str = ""
    inviter: str = ""
    circumstances: Circumstances | None = None
    account_url: str = ""
    completes_at: datetime | None = None
    """When the wait of a recovery ends."""
