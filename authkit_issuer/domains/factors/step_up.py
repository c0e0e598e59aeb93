"""Which factor a user proves when a live session authenticates again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from authkit_issuer import errors
from authkit_issuer.domains.base.contacts import EMAIL, ContactKind
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.factors import queries as sql
from authkit_issuer.domains.factors.delivery import masked
from authkit_issuer.domains.factors.kinds import (
    EMAIL_CODE,
    SMS_CODE,
    TOTP,
    kind_of,
    methods_of,
    usable_factors,
)
from authkit_issuer.domains.factors.queries import Factor, UserFactors
from authkit_issuer.domains.factors.totp_codes import App
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpCode:
    """The code that a session asks for: where it is sent, or the app that shows it."""

    kind: str
    """The kind of the factor: ``email``, ``sms`` or ``totp``."""
    amr: tuple[str, ...]
    contact: ContactKind | None = None
    destination: str = ""
    app: App | None = None
    methods: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """The factors that the user may choose from, as at a sign-in."""

    @classmethod
    def to_contact(cls, contact: ContactKind, destination: str) -> StepUpCode:
        """Return the code for the verified contact of a user without second factors."""
        kind = EMAIL_CODE if contact is EMAIL else SMS_CODE
        return cls(kind=kind.name, amr=kind.amr, contact=contact, destination=destination)

    @property
    def method(self) -> str:
        """The method of the event."""
        return f"{self.kind}_code"

    @property
    def masked_destination(self) -> str:
        """The destination, masked; ``""`` for an app."""
        return masked(self.destination) if self.destination else ""


@dataclass(frozen=True, slots=True)
class StepUpFactors:
    """Finds the factor of a step-up among those of the user."""

    rt: Runtime
    proved_contact: str = ""
    """The contact whose codes are all that the session has proved: another one adds nothing."""

    async def choose(self, user_id: str, factor_id: str | None) -> StepUpCode:
        """Return the factor of this id, or the default; raises ``TwoFactorMethodUnavailable``."""
        user, factors = await self._find(user_id)
        codes = [factor for factor in factors if _has_code(factor)]
        chosen = codes[0] if codes and factor_id is None else _by_id(codes, factor_id)
        if user is None or chosen is None:
            raise errors.TwoFactorMethodUnavailable
        return self._code(user, chosen)

    async def of_code(
        self, user_id: str, factor_id: str | None, was_sent: Callable[[StepUpCode], bool]
    ) -> StepUpCode | None:
        """Return the factor of a code: the one of this id, else the one it was sent to, else the app."""
        user, factors = await self._find(user_id)
        if user is None:
            return None
        offered = [self._code(user, factor) for factor in factors if _has_code(factor)]
        if factor_id is not None:
            chosen = _by_id(factors, factor_id)
            return self._code(user, chosen) if chosen is not None and _has_code(chosen) else None
        sent = [code for code in offered if code.contact is not None and was_sent(code)]
        apps = [code for code in offered if code.app is not None]
        return next(iter([*sent, *apps]), None)

    async def _find(self, user_id: str) -> tuple[UserFactors | None, list[Factor]]:
        user = await self.rt.maybe(sql.USER_FACTORS, user_id)
        return user, usable_factors(self.rt, user, after=self._first(user)) if user else []

    def _first(self, user: UserFactors) -> FirstFactor:
        return FirstFactor(user_id=user.user_id, auth_epoch=user.auth_epoch, contact=self.proved_contact)

    def _code(self, user: UserFactors, factor: Factor) -> StepUpCode:
        kind = kind_of(factor.kind)
        return StepUpCode(
            kind=kind.name,
            amr=kind.amr,
            contact=kind.contact,
            destination=kind.destination(user, factor) if kind.contact else "",
            app=App.of(user, factor, self.rt.clock) if kind is TOTP else None,
            methods=methods_of(self.rt, user, after=self._first(user)),
        )


def _has_code(factor: Factor) -> bool:
    """True for a factor that is proved by a code; a passkey is proved elsewhere."""
    return kind_of(factor.kind) in {EMAIL_CODE, SMS_CODE, TOTP}


def _by_id(factors: list[Factor], factor_id: str | None) -> Factor | None:
    return next((factor for factor in factors if factor.id == factor_id), None)
