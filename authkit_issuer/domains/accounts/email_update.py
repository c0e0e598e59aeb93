"""An operator's change of a user's email address."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.domains.accounts.locking import held_user
from authkit_issuer.domains.accounts.queries import SET_EMAIL, Held
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.codes import OneTimeCodes
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

KIND = "verify_email"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailUpdate:
    """Stores the address and tells both.

    Whatever was under way for the old address (changes, verifications, resets) dies by itself: its records
    carry the address they were made for.
    """

    rt: Runtime
    email: str
    """In normal form."""
    actor: str | None
    client: Client | None

    async def run(self, user_id: str) -> None:
        """Write address and event in one transaction; mails wait for its commit."""
        async with held_user(self.rt, user_id) as (tx, known, held):
            if held.email == self.email:
                return
            await tx.execute(SET_EMAIL, known, self.email)
            await Events(tx).record(
                SessionEventType.USER_EMAIL_CHANGED,
                user_id=known,
                actor=self.actor,
                client=self.client,
                data={"before": held.email, "after": self.email},
            )
            messages = Messages(tx)
            await messages.notify(held.email, held.username, "email_changed")
            if self.rt.senders.verification_links:
                await messages.send_in_background(lambda: self._verify(known, held), name="verification mail")

    async def _verify(self, user_id: str, held: Held) -> None:
        """Send what proves the address: a link, for a code wants the id of a request the user never made."""
        config = self.rt.config
        issued = await OneTimeCodes(self.rt).issue(
            KIND,
            target=self.email,
            code_ttl=config.code_ttl,
            link_ttl=config.link_ttl,
            record_ttl=config.link_ttl,
            user_id=user_id,
            auth_epoch=held.auth_epoch,
        )
        name, senders = held.username or "", self.rt.senders
        if senders.verification_link is not None:
            await senders.verification_link.send_email_verification_link(self.email, name, issued.link)
        elif senders.code_and_link is not None:
            await senders.code_and_link.send_email_verification(self.email, name, issued.code, issued.link)
