"""Authenticator apps (TOTP, RFC 6238): enrollment, and the sealing of their secrets under a newer key.

The database has a secret only after a code of it was right, and only sealed. ``totp_codes`` verifies codes.
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from authkit_issuer import errors, identifiers
from authkit_issuer.config import Config
from authkit_issuer.domains.codes.guesses import Guesses
from authkit_issuer.domains.codes.one_time import TRIES, OneTimeCodes, Record
from authkit_issuer.domains.factors import changes, owners
from authkit_issuer.domains.factors.changes import AddedFactor, NewFactor
from authkit_issuer.domains.factors.kinds import TOTP
from authkit_issuer.domains.factors.queries import UserFactors
from authkit_issuer.domains.factors.second_factors import factor_name
from authkit_issuer.domains.sessions.service import OtherSessions
from authkit_issuer.errors.declared import raises
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import sealed_secret, totp
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """The sealed secret of an app."""

    id: str
    user_id: str
    secret: bytes
    secret_key_id: int


SEALED_BEFORE = Query(
    SealedSecret,
    """
    select id::text, user_id::text, secret, secret_key_id from profiles.second_factors
    where secret is not null and secret_key_id = any($1::int4[]) and id > $3::uuid order by id limit $2
    for update skip locked
    """,
)

RESEAL = Statement("update profiles.second_factors set secret_key_id = $2, secret = $3 where id = $1::uuid")


ENROLLMENT = "2fa_app"
ENROLLMENT_TTL = 600.0
"""Seconds in which the first code must be right."""
_RESEAL_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEnrollment:
    """What an authenticator app needs, shown once: the QR code, the URI in it, or the secret to type."""

    secret: str = field(repr=False)
    otpauth_uri: str = field(repr=False)
    qr_svg: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True)
class Totp:
    """Enrolls authenticator apps."""

    rt: Runtime

    @property
    def available(self) -> bool:
        """True if there is a sealing key: without one there are no authenticator apps."""
        return TOTP.available(self.rt)

    @raises(errors.TwoFactorMethodUnavailable, errors.EphemeralStoreUnavailable)
    async def begin(self, user_id: str) -> AppEnrollment:
        """Return a new secret for an app; it replaces the one before, and ``complete`` puts it into force.

        Raises:
            TwoFactorMethodUnavailable: The service has no sealing key.
            UserNotFound: The user does not exist.
            UserBanned: The user is banned or deleted.
        """
        owners.require_offered(self.rt)
        if not self.available:
            raise errors.TwoFactorMethodUnavailable
        user = await owners.allowed(self.rt, user_id)
        secret, factor_id = self.rt.random_bytes(totp.SECRET_BYTES), identifiers.new_id(self.rt.random_bytes)
        key_id, sealed = self._seal(secret, factor_id, user.user_id)
        record = Record(
            kind=ENROLLMENT,
            request_id=user.user_id,
            target=user.user_id,
            user_id=user.user_id,
            auth_epoch=user.auth_epoch,
            data={
                "factor_id": factor_id,
                "secret": sealed.hex(),
                "secret_key_id": str(key_id),
                # The records of one user share a key; each secret has its own tries.
                TRIES: factor_id,
            },
        )
        await OneTimeCodes(self.rt).store_without_code(record, ENROLLMENT_TTL)
        account = user.email or user.username or user.user_id
        uri = totp.otpauth_uri(secret, issuer=_issuer(self.rt.config), account=account)
        return AppEnrollment(
            secret=totp.base32(secret),
            otpauth_uri=uri,
            qr_svg=_qr_svg(uri),
            expires_in=int(ENROLLMENT_TTL),
        )

    @raises(
        errors.InvalidOrExpiredCode,
        errors.InvalidFactorName,
        errors.TooManySecondFactors,
        errors.EphemeralStoreUnavailable,
    )
    async def complete(
        self,
        user_id: str,
        code: str,
        *,
        name: str = "",
        keep_session_id: str | None = None,
        end_other_sessions: bool | None = None,
        client: Client | None = None,
    ) -> AddedFactor:
        """Add the app of ``begin`` as a second factor; of concurrent calls one does.

        That code is then used. Sign-ins in progress end. When storage fails, the secret stays valid.

        Args:
            user_id: The user.
            code: A code that the app shows.
            name: What the user calls the app, up to 60 characters.
            keep_session_id: The session that asks. It must be live, and stays where the others end.
            end_other_sessions: Whether they end; None leaves it to ``factor_change_ends_sessions``.
            client: The client, for the event.

        Returns:
            The id; and ten backup codes, shown once, if it is the first factor.

        Raises:
            InvalidOrExpiredCode: The code is wrong, no app waits for one, or the account changed meanwhile.
            TooManySecondFactors: The user has five apps.
            UserNotFound: The user does not exist.
            SessionEnded: The session that asks has ended.
            UserBanned: The user is banned or deleted.
        """
        self.rt.refuse_joining("totp.complete")
        name = factor_name(name)
        user = await owners.allowed(self.rt, user_id)
        one_time = OneTimeCodes(self.rt)
        record = await one_time.peek(ENROLLMENT, user.user_id)
        if record is None or record.auth_epoch != user.auth_epoch:
            raise errors.InvalidOrExpiredCode
        await Guesses(self.rt).count_try(record)
        new = self._new_factor(record, user, code, name)
        if not await one_time.spend(record):
            raise errors.InvalidOrExpiredCode
        async with one_time.restore_on_outage(record):
            others = OtherSessions(keep=keep_session_id, end=end_other_sessions)
            return await changes.add(self.rt, user, new, client=client, others=others)

    def _new_factor(self, record: Record, user: UserFactors, code: str, name: str) -> NewFactor:
        factor_id, sealed = record.data["factor_id"], bytes.fromhex(record.data["secret"])
        key_id = int(record.data["secret_key_id"])
        secret = self._unseal(key_id, sealed, factor_id, user.user_id)
        present = int(user.now // totp.PERIOD)
        steps = totp.matching_steps(secret, code, user.now) if secret else []
        steps = [step for step in steps if abs(step - present) <= 1]
        if not steps:
            raise errors.InvalidOrExpiredCode
        return NewFactor(
            id=factor_id,
            kind=TOTP,
            name=name,
            secret=sealed,
            secret_key_id=key_id,
            last_step=max(steps),
        )

    async def reseal(self) -> int:
        """Seal the secrets of former sealing keys under the newest one; return how many were.

        Safe to run from any number of processes. A secret whose key is gone is left as it is.
        """
        former = sorted(self.rt.keys.current().sealing_keys)[:-1]
        total, after, more = 0, str(uuid.UUID(int=0)), bool(former)
        while more:
            async with self.rt.transaction() as tx:
                rows = await tx.all(SEALED_BEFORE, former, _RESEAL_BATCH, after)
                for row in rows:
                    total += await self._reseal(tx, row)
            more = len(rows) == _RESEAL_BATCH
            after = rows[-1].id if rows else after
        return total

    async def _reseal(self, tx: Runtime, row: SealedSecret) -> int:
        secret = self._unseal(row.secret_key_id, row.secret, row.id, row.user_id)
        if secret is None:
            return 0
        return await tx.execute(RESEAL, row.id, *self._seal(secret, row.id, row.user_id))

    def _seal(self, secret: bytes, factor_id: str, user_id: str) -> tuple[int, bytes]:
        keys, random = self.rt.keys.current(), self.rt.random_bytes
        return sealed_secret.seal(keys, secret, factor_id=factor_id, user_id=user_id, random_bytes=random)

    def _unseal(self, key_id: int, sealed: bytes, factor_id: str, user_id: str) -> bytes | None:
        keys = self.rt.keys.current()
        return sealed_secret.unseal(keys, key_id, sealed, factor_id=factor_id, user_id=user_id)


def _issuer(config: Config) -> str:
    """The service as an app shows it."""
    return config.totp_issuer or urlsplit(config.issuer).hostname or config.issuer


def _qr_svg(uri: str) -> str:
    """Return the QR code of a URI as one SVG element, without a declaration."""
    import segno  # noqa: PLC0415 - for enrollments alone

    written = io.BytesIO()
    segno.make(uri, error="m", micro=False).save(
        written, kind="svg", scale=4, xmldecl=False, svgns=True, nl=False, light="white"
    )
    return written.getvalue().decode()
