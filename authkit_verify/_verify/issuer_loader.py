"""Issuers that the host's ``issuer_loader`` returns for the ``iss`` of a token.

``_policy.lookup`` limits how often, and for how long, the host is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from authkit_verify._jwks.key_set_cache import Clock
from authkit_verify._policy.issuer_policy import IssuerPolicy
from authkit_verify._policy.lookup import Lookup
from authkit_verify.config import IssuerAccept
from authkit_verify.config.allowed_urls import is_issuer_url
from authkit_verify.config.values import check_seconds

log = logging.getLogger("authkit_verify")

IssuerLoader = Callable[[str], Awaitable[IssuerAccept | None]]
"""Returns the record of an issuer, whose ``issuer`` equals what was asked; None refuses its tokens."""
MakePolicy = Callable[[IssuerAccept], IssuerPolicy]


class LoadedIssuers:
    """The issuers that a loader has returned: each is kept for ``ttl`` seconds, and asked about again.

    An issuer whose record has not changed keeps its keys. At most ``most`` are kept; the least recently used
    ones go, and what was cached of them is out of use.

    Raises:
        ValueError: ``loader`` is no coroutine function, or a limit is invalid.
    """

    def __init__(
        self, loader: IssuerLoader, make_policy: MakePolicy, *, ttl: float, most: int, clock: Clock
    ) -> None:
        if not callable(loader):
            raise ValueError(f"issuer_loader must be a coroutine function, not {loader!r}")  # noqa: TRY004 - every mistake in a configuration is a ValueError
        check_seconds("loader_ttl", ttl)
        if type(most) is not int or most < 1:
            raise ValueError(f"max_loaded must be a whole number of issuers, 1 or more, not {most!r}")
        self._loader = loader
        self._make_policy = make_policy
        self._has_warned = False
        self._lookup: Lookup[IssuerPolicy] = Lookup(
            self._load, setting="issuer_loader", clock=clock, ttl=ttl, most=most, most_setting="max_loaded",
            same=_is_unchanged, drop=_retire,
        )  # fmt: skip

    async def find(self, issuer: str | None) -> IssuerPolicy | None:
        """Return the policy of an issuer that the loader accepts, else None.

        The loader is not asked about what cannot be an issuer. Raises TokenError
        ``issuer_check_unavailable`` if it fails.
        """
        if issuer is None or not is_issuer_url(issuer):
            return None
        answer = await self._lookup.find(issuer)
        if answer is None:
            return None
        answer.value.holds_until = answer.until
        return answer.value

    def policies(self) -> Mapping[str, IssuerPolicy]:
        """Return the policies of the issuers that are loaded at the moment."""
        return self._lookup.held()

    def pop(self, issuer: str) -> IssuerPolicy | None:
        """Forget an issuer and return its policy; the next token of it asks the loader."""
        return self._lookup.pop(issuer)

    async def _load(self, issuer: str) -> IssuerPolicy | None:
        accept = await self._loader(issuer)
        if accept is None:
            return None
        if not isinstance(accept, IssuerAccept):
            raise TypeError(f"issuer_loader must return an IssuerAccept or None, not {accept!r:.60}")
        if accept.issuer != issuer:  # clients choose what is asked, so this is their fault as well
            if not self._has_warned:
                self._has_warned = True
                log.warning("issuer_loader returned another issuer than it was asked for; this is refused")
            return None
        return self._make_policy(accept)


def _is_unchanged(known: IssuerPolicy, new: IssuerPolicy) -> bool:
    return known.accept == new.accept


async def _retire(policy: IssuerPolicy) -> None:
    await policy.retire(may_return=True)
