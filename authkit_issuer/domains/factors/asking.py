"""Asking for the second factor of a sign-in that has proved the first one."""

from __future__ import annotations

from dataclasses import dataclass, field

from authkit_issuer import errors
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.factors.challenges import Challenges, FirstFactor
from authkit_issuer.domains.factors.delivery import Delivery, masked
from authkit_issuer.domains.factors.queries import Factor
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenged:
    """A sign-in that waits for its second factor. ``destination`` is masked."""

    user_id: str
    challenge: str = field(repr=False)
    method: str
    destination: str

    @property
    def metadata(self) -> dict[str, object]:
        """What the client needs to go on."""
        return {
            "user_id": self.user_id,
            "method": self.method,
            "destination": self.destination,
            "challenge": self.challenge,
        }

    def required(self) -> errors.TwoFactorRequired:
        """Return the refusal that asks for the second factor."""
        return errors.TwoFactorRequired(metadata=self.metadata)


@dataclass(frozen=True, slots=True)
class Asking:
    """Stores a challenge, then sends its code."""

    rt: Runtime

    async def ask(self, factor: Factor, first: FirstFactor, client: Client | None) -> Challenged:
        """Store and send; a failed sending carries the challenge, so that a backup code still helps."""
        # No cool-down: a second sign-in must not have to wait for the first.
        await SendingLimits(self.rt).check("2fa_login", factor.user_id, client, cooldown=False)
        destination = factor.destination or ""
        challenge, issued = await Challenges(self.rt).create(factor, first, destination)
        challenged = Challenged(
            user_id=factor.user_id,
            challenge=challenge,
            method=factor.method,
            destination=masked(destination) if destination else "",
        )
        try:
            if not destination:
                raise errors.TwoFactorMethodUnavailable
            await Delivery(self.rt).login_code(factor.method, destination, factor.username, issued.code)
        except (errors.Conflict, errors.NotConfigured, errors.DeliveryFailed) as refusal:
            refusal.metadata.update(challenged.metadata)
            raise
        return challenged
