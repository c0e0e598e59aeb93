"""Webhooks."""

from __future__ import annotations

from authkit_issuer.errors.categories import NotFound


class WebhookNotFound(NotFound):
    """The endpoint does not exist."""

    code = "webhook_not_found"
    default = "Webhook not found."
