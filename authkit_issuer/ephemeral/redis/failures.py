"""What a command can end with instead of a value."""

from __future__ import annotations

_CAUSES = (
    "READONLY", "OOM", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "BUSY", "NOPERM",
    "NOAUTH", "WRONGPASS", "NOSCRIPT", "MOVED", "ASK", "TRYAGAIN",
)  # fmt: skip


class RedisFailure(Exception):
    """The command has no result; whether it ran is unknown unless this is a ``Refusal``."""


class Disconnected(RedisFailure):
    """The server cannot be reached, or the connection ended before the reply."""


class UnknownMaster(RedisFailure):
    """A sentinel does not know the name of the master."""


class Refusal(RedisFailure):
    """The server replied with an error: the command changed nothing."""

    @property
    def cause(self) -> str:
        """The word for the cause, such as ``READONLY``.

        Redis 6 puts the error of a command inside a script behind ``ERR``, with the word in the sentence.
        """
        words = str(self).replace("-", " ").split()
        return next((word for word in words if word in _CAUSES), words[0] if words else "")

    @property
    def moved_to(self) -> tuple[str, int] | None:
        """The host and port that serve the key, for ``MOVED`` and ``ASK``; the host may be empty."""
        words = str(self).split()
        if len(words) != 3 or words[0] not in {"MOVED", "ASK"}:
            return None
        host, _, port = words[2].rpartition(":")
        return (host, int(port)) if port.isascii() and port.isdigit() else None
