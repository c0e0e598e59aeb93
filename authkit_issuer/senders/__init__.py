"""Senders of mails and SMS."""

from __future__ import annotations

from authkit_issuer.senders.inbox import Inbox, InboxMessage

__all__ = ["Inbox", "InboxMessage"]
