"""Signs the message of an endpoint and sends it once.

``webhooks.delivery`` has the pauses between the tries, and when it gives an event up.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.domains.webhooks import queries as sql
from authkit_issuer.domains.webhooks.client import Outcome, WebhookClient
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.sealing import seal, unseal
from authkit_issuer.security.standard_webhooks import headers
from authkit_issuer.store.query import Statement

RESEAL = Statement(
    "update profiles.webhook_endpoints set secret = $3 where id = $1::uuid and secret = $2::bytea"
)


def seal_secret(rt: Runtime, endpoint_id: str, secret: bytes) -> bytes:
    """Return the stored form of a secret."""
    keys = rt.keys.current()
    return seal(keys, keys.active_secret, _place(endpoint_id), secret)


def _place(endpoint_id: str) -> str:
    return f"webhook:{endpoint_id}"


@dataclass(frozen=True, slots=True)
class Sending:
    """One endpoint, with its secrets as they were read."""

    rt: Runtime
    client: WebhookClient
    endpoint: sql.Secrets

    async def send(self, message_id: str, body: bytes) -> Outcome:
        """Send a message and return what became of it."""
        sealed = [found for found in (self.endpoint.secret, self.endpoint.former_secret) if found is not None]
        keys = self.rt.keys.current()
        known = [unseal(keys, _place(self.endpoint.id), stored) for stored in sealed]
        if known[0] is None:
            return Outcome(reason="the secret cannot be read, its refresh secret is gone: rotate it")
        if sealed[0][0] != keys.active_secret:
            # Its refresh secret may be removed soon.
            fresh = seal_secret(self.rt, self.endpoint.id, known[0])
            await self.rt.execute(RESEAL, self.endpoint.id, sealed[0], fresh)
        secrets = [secret for secret in known if secret is not None]
        signed = headers(secrets, message_id, int(self.rt.clock()), body)
        return await self.client.post(self.endpoint.url, signed, body)
