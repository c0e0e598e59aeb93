"""The kinds of second factors: what differs between them.

A kind whose factors are in a table of their own, such as passkeys, joins the view ``profiles.user_factors``
and has its constant here. It is then among the methods of a sign-in, counts where a policy requires a second
factor, and keeps two-factor sign-in on when other factors are removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.base.contacts import EMAIL, PHONE, ContactKind
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.factors.delivery import masked
from authkit_issuer.domains.factors.queries import Factor, UserFactors
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FactorKind:
    """What differs between the kinds of second factors."""

    name: str
    most: int
    """Factors of this kind per user."""
    amr: tuple[str, ...]
    """Authentication methods (RFC 8176 section 2); a kind that is verified elsewhere brings its own."""
    contact: ContactKind | None = None
    """The contact that its codes are sent to; None if the user has the code already."""
    available: Callable[[Runtime], bool] = lambda _: True
    """True if this service can verify the kind now."""

    def destination(self, user: UserFactors, factor: Factor) -> str:
        """Where a code of the factor goes; ``""`` if none is sent, or the address is not verified."""
        if self.contact is EMAIL:
            return (user.email or "") if user.email_verified else ""
        return factor.phone_number or ""

    def is_usable(self, rt: Runtime, user: UserFactors, factor: Factor) -> bool:
        """True if the factor can be verified now."""
        if self.contact is None:
            return self.available(rt)
        return self.contact.sender(rt.senders) is not None and bool(self.destination(user, factor))

    def hint(self, user: UserFactors, factor: Factor) -> str:
        """What tells the owner which factor this is: a masked address or number, or its name."""
        if self.contact is None:
            return factor.name
        destination = self.destination(user, factor)
        return masked(destination) if destination else ""


EMAIL_CODE = FactorKind(name="email", most=1, amr=("otp",), contact=EMAIL)
SMS_CODE = FactorKind(name="sms", most=3, amr=("sms",), contact=PHONE)
TOTP = FactorKind(
    name="totp", most=5, amr=("otp",), available=lambda rt: bool(rt.keys.current().sealing_keys)
)
PASSKEY = FactorKind(
    name="passkey", most=20, amr=(), available=lambda rt: rt.config.webauthn_rp_id is not None
)
_KINDS = {kind.name: kind for kind in (EMAIL_CODE, SMS_CODE, TOTP, PASSKEY)}


def kind_of(name: str) -> FactorKind:
    """The kind of this name."""
    return _KINDS[name]


def sent_kind(name: str) -> FactorKind:
    """The kind of this name, whose codes are sent; raises ``TwoFactorMethodInvalid`` for any other."""
    kind = _KINDS.get(name.strip().lower())
    if kind is None or kind.contact is None:
        raise errors.TwoFactorMethodInvalid(param="method")
    return kind


def usable_factors(rt: Runtime, user: UserFactors, *, after: FirstFactor | None = None) -> list[Factor]:
    """The factors of a user that can be verified now, the default first.

    The first factor itself, such as a passkey, is left out. So is a code to the contact that the first factor
    has proved, which adds nothing, unless the user has no other factor.
    """
    usable = [
        factor
        for factor in user.factors
        if (after is None or factor.kind != after.method) and kind_of(factor.kind).is_usable(rt, user, factor)
    ]
    others = [factor for factor in usable if after is None or not goes_to(user, factor, after.contact)]
    return others or usable


def goes_to(user: UserFactors, factor: Factor, contact: str) -> bool:
    """True if the codes of a factor go to this address or number; ``""`` is none."""
    kind = kind_of(factor.kind)
    return bool(contact) and kind.contact is not None and kind.destination(user, factor) == contact


def methods_of(rt: Runtime, user: UserFactors, *, after: FirstFactor | None = None) -> list[dict[str, str]]:
    """The usable factors as a client sees them: ``id``, ``kind`` and ``hint``."""
    return [
        {"id": factor.id, "kind": factor.kind, "hint": kind_of(factor.kind).hint(user, factor)}
        for factor in usable_factors(rt, user, after=after)
    ]
