"""The issuers of a verifier: those that it was made with or that were added, and those that are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from authkit_verify._jwks.key_set_cache import changing
from authkit_verify._policy.accepted_issuers import AcceptedIssuers
from authkit_verify._policy.issuer_policy import IssuerPolicy
from authkit_verify._verify.issuer_loader import LoadedIssuers
from authkit_verify.config import SUPPORTED_ALGORITHMS, AcceptConfig, IssuerAccept
from authkit_verify.config.accept_config import check_opaque

MakePolicy = Callable[[IssuerAccept], IssuerPolicy]


class Issuers:
    """The issuers whose tokens a verifier accepts. ``loaded`` belongs to its ``issuer_loader``.

    Raises:
        ValueError: There is neither an issuer nor a loader.
    """

    def __init__(self, config: AcceptConfig, make_policy: MakePolicy, loaded: LoadedIssuers | None) -> None:
        if not config.issuers and loaded is None:
            raise ValueError(
                "AcceptConfig.issuers is empty: list at least one IssuerAccept, or pass issuer_loader"
            )
        self._usual = frozenset(config.algorithms)
        self._loaded = loaded
        self.accepted = self._accepting({accept.issuer: make_policy(accept) for accept in config.issuers})
        """Those of this moment, without the loaded ones."""

    @property
    def can_load(self) -> bool:
        """True if there is a loader."""
        return self._loaded is not None

    def policies(self) -> Mapping[str, IssuerPolicy]:
        """Return the policies of all issuers of this moment, with the loaded ones."""
        return self.accepted if self._loaded is None else {**self._loaded.policies(), **self.accepted}

    def find(self, issuer: str) -> IssuerPolicy | None:
        """Return the policy of an issuer of this moment."""
        return self.accepted.find(issuer) or self.policies().get(issuer)

    async def load(self, payload: Mapping[str, Any]) -> IssuerPolicy:
        """Return the policy of a token's ``iss`` that is not accepted yet, if the loader accepts it.

        Raises TokenError ``bad_issuer`` or ``issuer_check_unavailable``.
        """
        issuer = payload.get("iss")
        loaded = None if self._loaded is None else await self._loaded.find(issuer)
        policy = self.accepted.find(issuer) or loaded  # it may have been added meanwhile
        if policy is None:
            raise self.accepted.refusal(issuer)
        return policy

    def add(self, policy: IssuerPolicy) -> None:
        """Accept one more issuer. Raises ValueError as ``Verifier.add_issuer`` does."""
        accept = policy.accept
        with changing:
            if accept.issuer in self.accepted:
                raise ValueError(
                    f"issuer {accept.issuer!r} is accepted already; call remove_issuer first to change it"
                )
            check_opaque([*(one.accept for one in self.accepted.values()), accept])
            self.accepted = self._accepting({**self.accepted, accept.issuer: policy})
        if self._loaded is not None and (loaded := self._loaded.pop(accept.issuer)) is not None:
            loaded.keys.withdraw(may_return=True)

    def remove(self, issuer: str) -> IssuerPolicy:
        """Accept an issuer no more and return its policy. Raises ValueError if it is not accepted."""
        with changing:
            policies = dict(self.accepted)
            policy = policies.pop(issuer, None)
            if policy is not None:
                self.accepted = self._accepting(policies)
        if self._loaded is not None:
            # One that the loader was asked about while the issuer was added must not take its place now.
            loaded = self._loaded.pop(issuer)
            if policy is not None and loaded is not None:
                loaded.keys.withdraw(may_return=True)
            policy = policy or loaded
        if policy is None:
            raise ValueError(f"issuer {issuer!r} is not accepted, so not removed; see Verifier.issuers")
        return policy

    def _accepting(self, policies: Mapping[str, IssuerPolicy]) -> AcceptedIssuers:
        further = SUPPORTED_ALGORITHMS if self._loaded is not None else ()
        return AcceptedIssuers(policies, self._usual, frozenset(further))
