"""Failed logins: counted before a password is checked, so that parallel guesses stay under the limit.

Each identifier has its own counter, and every answer depends on that counter alone. A counter of the user
sums up the tries under all of the user's identifiers; beyond its limit, logins fail like wrong ones, because
any other answer would tell which identifiers belong together. A known device, in which the account was signed
in to before, has a counter of its own in place of both: guesses from elsewhere do not keep the owner out.
Open sessions are never touched. ``Config.login_failure_limit`` and ``login_failure_window`` are the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.base import stored_values
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.runtime import Runtime

LOGIN, USER, DEVICE, REAUTHENTICATION = "login", "login_user", "login_device", "reauth"
FIRST_DELAYED = 5
BUCKET = "auth_password_login"
"""The rate limit of the operations that check a password, which counts by identifier as well."""


@dataclass(frozen=True, slots=True)
class LoginAttempts:
    """The wrong passwords tried for one subject."""

    rt: Runtime
    kind: str
    subject: str

    async def check(self) -> None:
        """Raise ``TooManyRequests`` while the subject is locked."""
        wait = await self._locked_for()
        if wait:
            raise errors.TooManyRequests(retry_after=wait)

    async def retry_after(self) -> float:
        """Return the seconds for which the subject is refused, 0 if it is not; counts nothing.

        If the tries are used up without a lock, as a user's may be, it is the whole window at most.
        """
        wait = await self._locked_for()
        if wait:
            return wait
        tries = stored_values.count(await self.rt.ephemeral.get(self._tries))
        return self.rt.config.login_failure_window if tries >= self.rt.config.login_failure_limit else 0.0

    async def _locked_for(self) -> float:
        until = await self.rt.ephemeral.get(self._lock)
        return 0.0 if until is None else max(1.0, stored_values.moment(until) - self.rt.clock())

    async def increment(self) -> int:
        """Count a try and return how many there were."""
        return await self.rt.ephemeral.incr(self._tries, self.rt.config.login_failure_window)

    async def increment_or_refuse(self) -> int:
        """Count a try as ``increment`` does; raise ``TooManyRequests`` beyond the limit."""
        tries = await self.increment()
        if tries > self.rt.config.login_failure_limit:
            raise errors.TooManyRequests(retry_after=self.rt.config.login_failure_window)
        return tries

    async def lock(self, tries: int) -> None:
        """Lock the subject after its n-th wrong password: from the 5th on, twice as long each time.

        At the limit it is locked for the whole window.
        """
        delay = self._delay(tries)
        if delay:
            until = f"{self.rt.clock() + delay:.3f}"
            await self.rt.ephemeral.set(self._lock, until.encode(), delay)

    async def clear(self) -> None:
        """Forget the wrong passwords, after a right one."""
        await self.rt.ephemeral.delete(self._tries)
        await self.rt.ephemeral.delete(self._lock)

    def _delay(self, tries: int) -> float:
        if tries >= self.rt.config.login_failure_limit:
            return self.rt.config.login_failure_window
        if tries < FIRST_DELAYED:
            return 0.0
        return min(2.0 ** (tries - FIRST_DELAYED), self.rt.config.login_failure_window)

    @property
    def _tries(self) -> str:
        return f"{self.kind}:tries:{self._key}"

    @property
    def _lock(self) -> str:
        return f"{self.kind}:pause:{self._key}"

    @property
    def _key(self) -> str:
        return identifier_digest(self.rt, self.kind, self.subject)
