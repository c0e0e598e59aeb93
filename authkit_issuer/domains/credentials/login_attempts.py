"""Failed logins: counted before a password is looked at, so that parallel guesses stay under the limit.

An identifier has its own counter, and every answer depends on that one alone. The counter of the user behind
it sums up what is tried under all identifiers; when it trips, logins fail like wrong ones, since anything
else would tell which identifiers belong together. A device in which the account was signed in to before has a
counter of its own in place of both: strangers who guess do not keep its owner out. Sessions that are open are
never touched.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.base.code_records import identifier_digest
from authkit_issuer.runtime import Runtime

LOGIN, USER, DEVICE, REAUTHENTICATION = "login", "login_user", "login_device", "reauth"
FIRST_DELAYED = 5


@dataclass(frozen=True, slots=True)
class LoginAttempts:
    """The wrong passwords tried for one subject."""

    rt: Runtime
    kind: str
    subject: str

    async def check(self) -> None:
        """Raise ``TooManyRequests`` while the subject has to wait."""
        wait = await self._paused()
        if wait:
            raise errors.TooManyRequests(retry_after=wait)

    async def left(self) -> float:
        """Return the seconds for which the subject is refused, 0 for none; nothing is counted.

        Where its tries are used up without a pause, as a user's may be, that is the whole window at most.
        """
        wait = await self._paused()
        if wait:
            return wait
        tries = int(await self.rt.ephemeral.get(self._tries) or 0)
        return self.rt.config.login_failure_window if tries >= self.rt.config.login_failure_limit else 0.0

    async def _paused(self) -> float:
        pause = await self.rt.ephemeral.get(self._pause)
        return 0.0 if pause is None else max(1.0, float(pause) - self.rt.clock())

    async def count(self) -> int:
        """Count a try that is about to be looked at and return how many there were.

        Raises ``TooManyRequests`` beyond the limit, where nothing is looked at any more.
        """
        tries = await self.tally()
        if tries > self.rt.config.login_failure_limit:
            raise errors.TooManyRequests(retry_after=self.rt.config.login_failure_window)
        return tries

    async def tally(self) -> int:
        """Count a try and return how many there were, whatever the limit is."""
        return await self.rt.ephemeral.incr(self._tries, self.rt.config.login_failure_window)

    async def failed(self, tries: int) -> None:
        """Make the subject wait after its n-th wrong password: from the 5th on twice as long each time.

        At the limit for the whole window.
        """
        delay = self._delay(tries)
        if delay:
            until = f"{self.rt.clock() + delay:.3f}"
            await self.rt.ephemeral.set(self._pause, until.encode(), delay)

    async def clear(self) -> None:
        """Forget the wrong passwords: a right one came."""
        await self.rt.ephemeral.delete(self._tries)
        await self.rt.ephemeral.delete(self._pause)

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
    def _pause(self) -> str:
        return f"{self.kind}:pause:{self._key}"

    @property
    def _key(self) -> str:
        return identifier_digest(self.rt, self.kind, self.subject)
