"""The issuers that are accepted at one moment, found by the ``iss`` of a token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from authkit_verify._policy.issuer_policy import IssuerPolicy
from authkit_verify._policy.opaque_tokens import OpaqueIssuers
from authkit_verify.errors import TokenError, shown


class AcceptedIssuers(Mapping[str, IssuerPolicy]):
    """The policies by the names of their issuers; never changed, since other threads may be reading it.

    ``algorithms`` are those accepted for some issuer, or ``usual`` without any issuer: the refusal is then to
    name the issuer and not the algorithm. ``further`` are accepted besides, for issuers that may be loaded.
    """

    __slots__ = ("_by_name", "_exact", "_templates", "algorithms", "opaque")

    def __init__(
        self,
        policies: Mapping[str, IssuerPolicy],
        usual: frozenset[str],
        further: frozenset[str] = frozenset(),
    ) -> None:
        self._by_name = dict(policies)
        self._exact: dict[str | None, IssuerPolicy] = {
            name: policy for name, policy in policies.items() if policy.tenancy is None
        }
        # A template is never compared as a name: no token may have the placeholder itself as its tenant.
        self._templates = tuple((one, one.tenancy) for one in policies.values() if one.tenancy is not None)
        accepted = [policy.algorithms for policy in policies.values()]
        self.opaque = OpaqueIssuers.among(policies.values())
        """Those that take opaque tokens; None if none does."""
        self.algorithms = further.union(*accepted or [usual])

    def __getitem__(self, name: str) -> IssuerPolicy:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def policy_for(self, payload: Mapping[str, Any]) -> IssuerPolicy | None:
        """Return the policy of the token's ``iss``, compared byte for byte; None if it is not accepted.

        Raises TokenError if it is not a string.
        """
        issuer = payload.get("iss")
        if issuer is not None and type(issuer) is not str:
            raise TokenError("invalid_token", "the token's iss is not a string")
        return self._exact.get(issuer) or self.find(issuer)

    def find(self, issuer: str | None) -> IssuerPolicy | None:
        """Return the policy of an issuer: its own, or that of a template whose form it has."""
        if issuer is None or issuer in self._exact:
            return self._exact.get(issuer)
        for policy, tenancy in self._templates:
            if tenancy.tenant_of(issuer) is not None:
                return policy
        return None

    def refusal(self, issuer: str | None) -> TokenError:
        """Return the refusal of a token whose issuer is not accepted."""
        detail = "it has no iss"
        if issuer is not None:
            other = issuer[:-1] if issuer.endswith("/") else f"{issuer}/"
            slash = ", which differs from an accepted one by the slash at its end" if self.find(other) else ""
            detail = f"iss is {shown(issuer)}{slash}; see IssuerAccept.issuer"
        return TokenError("bad_issuer", "the token's issuer is not accepted", detail=detail)
