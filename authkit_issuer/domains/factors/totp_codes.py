"""The codes of authenticator apps (RFC 6238): which one is right, and that it is right once.

The clock is the database's. ``check`` compares a code with those of some steps around the present one, as
this process reckons it from the last time that it read. ``accept`` then takes the newest of the matching
steps, if it is at most one from the database's and newer than the last one that was accepted, in one
statement (``ACCEPT``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.codes.guesses import REPORTED
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Clock
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import sealed_secret, totp
from authkit_issuer.store.predicates import ALLOWED, FACTOR_ON
from authkit_issuer.store.query import Query, Statement

if TYPE_CHECKING:
    from authkit_issuer.domains.codes.one_time import Record
    from authkit_issuer.domains.factors.queries import Factor, UserFactors

MAX_MISSES = 100
"""Wrong codes in a row after which an app is refused until another factor or a backup code is right (NIST SP
800-63B-4 section 3.2.2)."""

# The step only rises, in the statement that accepts it: of parallel uses the later ones wait for the row.
ACCEPT = Statement(
    f"""
    with fitting as (
        select max(step) as step from unnest($4::int8[]) as step
        where abs(step - floor(extract(epoch from statement_timestamp()) / $5::int8)) <= 1
    )
    update profiles.second_factors f set last_step = fitting.step, tries = 0, last_used_at = now()
    from fitting, profiles.users u join profiles.two_factor_settings t on t.user_id = u.id
    where f.id = $1::uuid and f.user_id = $2::uuid and f.kind = 'totp' and f.last_step < fitting.step
      and f.tries < {MAX_MISSES}
      and u.id = f.user_id and u.auth_epoch = $3 and {ALLOWED} and {FACTOR_ON}
    """
)

COUNT_MISS = Query(
    int,
    """
    update profiles.second_factors set tries = tries + 1
    where id = $1::uuid and user_id = $2::uuid and kind = 'totp' returning tries
    """,
)

# The owner has proved a second factor: authenticator apps take codes again.
RESET_TRIES = Statement("update profiles.second_factors set tries = 0 where user_id = $1::uuid and tries > 0")


MAX_TRIES = 10
"""Wrong codes of a user in ``WINDOW`` seconds, over all challenges."""
WINDOW = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An authenticator app of a user at one epoch of the account."""

    user_id: str
    auth_epoch: int
    factor_id: str
    secret: bytes = field(repr=False)
    """The sealed secret."""
    secret_key_id: int
    ahead: float
    """Seconds that the clock of the database is ahead of this process's."""

    @classmethod
    def of(cls, user: UserFactors, factor: Factor, clock: Clock) -> App:
        """Return the app of a factor of the kind ``totp``."""
        assert factor.secret is not None and factor.secret_key_id is not None  # noqa: S101, PT018 - by a constraint
        return cls(
            user_id=user.user_id,
            auth_epoch=user.auth_epoch,
            factor_id=factor.id,
            secret=bytes.fromhex(factor.secret),
            secret_key_id=factor.secret_key_id,
            ahead=user.now - clock(),
        )

    @classmethod
    def of_record(cls, record: Record) -> App | None:
        """Read the app back from a challenge; None for a challenge of another factor."""
        data: Mapping[str, str] = record.data
        if not data.get("secret"):
            return None
        return cls(
            user_id=record.user_id,
            auth_epoch=record.auth_epoch,
            factor_id=data["factor_id"],
            secret=bytes.fromhex(data["secret"]),
            secret_key_id=int(data["secret_key_id"]),
            ahead=float(data["ahead"]),
        )

    def to_data(self) -> dict[str, str]:
        """Return the secret, sealed, as a challenge stores it."""
        return {
            "secret": self.secret.hex(),
            "secret_key_id": str(self.secret_key_id),
            "ahead": str(self.ahead),
        }


async def check(rt: Runtime, app: App, code: str) -> list[int]:
    """Count a try, and return the steps near now at which the code is right, for ``accept``.

    Raises ``TooManyRequests``, ``InvalidOrExpiredCode``; ``TwoFactorMethodUnavailable`` without the key that
    sealed the secret.
    """
    rt.refuse_joining("a try of a code")
    if await rt.ephemeral.incr(_tries_key(app), WINDOW) > MAX_TRIES:
        raise errors.TooManyRequests(retry_after=WINDOW)
    secret = sealed_secret.unseal(
        rt.keys.current(), app.secret_key_id, app.secret, factor_id=app.factor_id, user_id=app.user_id
    )
    if secret is None:
        raise errors.TwoFactorMethodUnavailable
    steps = totp.matching_steps(secret, code, rt.clock() + app.ahead)
    if not steps:
        await _count_miss(rt, app)
        raise errors.InvalidOrExpiredCode
    return steps


async def accept(rt: Runtime, app: App, steps: list[int]) -> None:
    """Accept the code of a step in the caller's transaction; of parallel callers one succeeds.

    Raises ``InvalidOrExpiredCode`` for a code that was used, is too old, or of an account that changed.
    """
    if not await rt.execute(ACCEPT, app.factor_id, app.user_id, app.auth_epoch, steps, totp.PERIOD):
        raise errors.InvalidOrExpiredCode

    async def forget() -> None:
        await rt.ephemeral.delete(_tries_key(app))

    await rt.after_commit(forget)


async def forget_misses(rt: Runtime, user_id: str) -> None:
    """Let apps take codes again, in the caller's transaction: the owner has proved another second factor."""
    await rt.execute(RESET_TRIES, user_id)


async def _count_miss(rt: Runtime, app: App) -> None:
    async with rt.transaction() as tx:
        tries = await tx.maybe(COUNT_MISS, app.factor_id, app.user_id)
        if tries in REPORTED:
            await Events(tx).record(
                SessionEventType.CODES_GUESSED,
                actor=None,
                user_id=app.user_id,
                method="totp",
                data={"tries": tries},
            )


def _tries_key(app: App) -> str:
    return f"totp_tries:{app.user_id}"
