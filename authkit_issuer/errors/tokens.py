"""Access tokens and keys."""

from __future__ import annotations

from authkit_issuer.errors.categories import Invalid, NotConfigured, NotFound


class ReservedClaim(Invalid):
    """The caller's extra claims name one that only this service may set."""

    code = "reserved_claim"
    default = "An extra claim has a reserved name."


class UnknownKid(NotFound):
    """No published key has this key id."""

    code = "unknown_kid"
    default = "Key not found."


class DisallowedAlg(Invalid):
    """The token's algorithm does not fit the key."""

    code = "disallowed_alg"
    default = "The algorithm does not fit the key."


class MissingSigner(NotConfigured):
    """No signing key is configured, so no token can be minted."""

    code = "missing_signer"
    default = "No signing key is configured."
