"""Sign-ins that wait for their second factor, as they are stored, shown and redeemed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from authkit_issuer import errors
from authkit_issuer.domains.base.first_factor import FirstFactor, UseUp
from authkit_issuer.domains.codes.one_time import Record

BACKUP_CODE = "backup_code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenged:
    """A sign-in that waits for its second factor. ``destination`` is masked; ``""`` if nothing is sent."""

    user_id: str
    challenge: str = field(repr=False)
    method: str
    destination: str
    code_sent: bool = True
    """False beyond the sending limits: the code that was sent last still works, or a backup code. Also False
    for a factor whose codes are not sent."""
    factor_id: str | None = None
    """The factor that the challenge takes; None if none of the user's can be verified now."""
    methods: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """The factors that the user may choose from: ``id``, ``kind`` and ``hint``, the default first."""

    @property
    def metadata(self) -> dict[str, object]:
        """What the client needs to go on."""
        return {
            "user_id": self.user_id,
            "method": self.method,
            "destination": self.destination,
            "challenge": self.challenge,
            "code_sent": self.code_sent,
            "factor_id": self.factor_id,
            "methods": self.methods,
        }

    def required(self) -> errors.TwoFactorRequired:
        """Return the refusal that asks for the second factor."""
        return errors.TwoFactorRequired(metadata=self.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What waits for the second factor: the first one, and what the session is for."""

    first: FirstFactor
    org: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict[str, object])

    def to_data(self) -> dict[str, str]:
        """Return it as it is stored."""
        return {
            "method": self.first.method,
            "amr": " ".join(self.first.amr),
            "contact": self.first.contact,
            "authenticated_at": str(self.first.authenticated_at or ""),
            "org": self.org or "",
            "extra": msgspec.json.encode(dict(self.extra)).decode(),
        }

    @classmethod
    def of(cls, record: Record) -> SignIn:
        """Read it back."""
        data = record.data
        return cls(
            first=FirstFactor(
                user_id=record.user_id,
                auth_epoch=record.auth_epoch,
                two_factor=True,
                # A process of the release before wrote neither contact nor time.
                contact=data.get("contact", ""),
                authenticated_at=float(data.get("authenticated_at") or 0) or None,
                method=data["method"],
                amr=tuple(data["amr"].split()),
            ),
            org=data["org"] or None,
            extra=msgspec.json.decode(data["extra"], type=dict[str, object]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """A challenge that was just used up: the sign-in that waited, and how the challenge was met."""

    record: Record = field(repr=False)
    sign_in: SignIn
    factor: str
    """The kind of the factor, or ``backup_code``."""
    factor_amr: tuple[str, ...]
    """The authentication methods of the second factor."""
    use_up: UseUp = field(repr=False)
    """Raises ``InvalidOrExpiredCode`` for a code that another sign-in has used."""

    @property
    def amr(self) -> Sequence[str]:
        """Authentication methods (RFC 8176 section 2) of both factors.

        Two codes to one contact are no two factors, and say no ``mfa``.
        """
        contact = self.sign_in.first.contact
        asked = self.record.data["destination"] if self.factor == self.record.data["factor"] else ""
        both = (*self.sign_in.first.amr, *self.factor_amr)
        return tuple(dict.fromkeys(both if contact and asked == contact else (*both, "mfa")))
