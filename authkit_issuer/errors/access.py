"""Tokens, sessions, roles and organisations."""

from __future__ import annotations

from collections.abc import Mapping

from authkit_issuer.errors.base import Conflict, Invalid, NotFound, Unauthenticated


class ReservedClaim(Invalid):
    """The caller's extra claims name one that only this service may set."""

    code = "reserved_claim"
    default = "An extra claim has a reserved name."


class UnknownKid(NotFound):
    """No published key has this key id."""

    code = "unknown_kid"
    default = "There is no such key."


class DisallowedAlg(Invalid):
    """The token's algorithm does not fit the key."""

    code = "disallowed_alg"
    default = "The algorithm does not fit the key."


class InvalidRefreshToken(Unauthenticated):
    """Forged, truncated, foreign, expired or ended: the refresh token opens nothing."""

    code = "invalid_refresh_token"
    default = "The refresh token is not valid."


class RefreshTokenReuseDetected(InvalidRefreshToken):
    """An already rotated refresh token came back; its session has been ended (RFC 9700 section 4.14.2)."""

    code = "refresh_token_reuse_detected"
    default = "The refresh token was used before; the session has been ended."

    def __init__(self, message: str | None = None, *, evidence: Mapping[str, object] | None = None) -> None:
        """Keep the class (``recent`` or ``stale``), both generations and their distance, for the operator."""
        super().__init__(message)
        self.evidence = dict(evidence or {})


class SessionEnded(Unauthenticated):
    """The session behind an access token was ended, or has expired."""

    code = "session_ended"
    default = "The session has ended."


class SessionNotFound(NotFound):
    """The caller has no such session."""

    code = "session_not_found"
    default = "There is no such session."


class InvalidTarget(Invalid):
    """The requested organisation cannot be had; the refresh token stays good (RFC 8707 section 2)."""

    code = "invalid_target"
    default = "The requested organisation cannot be used."


class RoleNotFound(NotFound):
    """The role is not defined."""

    code = "role_not_found"
    default = "There is no such role."


class InvalidRoleSlug(Invalid):
    """The text cannot name a role."""

    code = "invalid_role_slug"
    default = "A role name has 1 to 64 of a-z, 0-9, blank, underscore, colon, dot and hyphen."


class ReservedRoleSlug(Invalid):
    """The name belongs to a role that organisations define."""

    code = "reserved_role_slug"
    default = "This role name is reserved."


class CannotRemoveLastAdminRole(Conflict):
    """Nobody could administer the service any more."""

    code = "cannot_remove_last_admin_role"
    default = "The last administrator keeps the role."


class ProviderAlreadyLinked(Conflict):
    """The login belongs to another account."""

    code = "provider_already_linked"
    default = "This login is linked to another account."


class ProviderNotLinked(NotFound):
    """The account has no login of this provider, or another one."""

    code = "provider_not_linked"
    default = "No such login of this provider is linked."


class CannotUnlinkLastLoginMethod(Conflict):
    """The account would have no way left to sign in."""

    code = "cannot_unlink_last_login_method"
    default = "This is the only way to sign in to the account."


class SearchTooSlow(Invalid):
    """A search inside of names took too long; one by their beginning would not."""

    code = "search_too_slow"
    default = "The search takes too long; search for the beginning instead."


class UnknownProvider(NotFound):
    """No such login provider is configured."""

    code = "unknown_provider"
    default = "There is no such login provider."


class InvalidState(Invalid):
    """The answer of a provider belongs to no login under way in this browser."""

    code = "invalid_state"
    default = "This login was not begun in this browser, or it has expired."


class ProviderRefused(Unauthenticated):
    """The provider did not vouch for anybody, or what it said does not hold."""

    code = "oidc_exchange_failed"
    default = "The login provider did not confirm the login."


class ProviderDenied(Unauthenticated):
    """The person or the provider said no; ``metadata.provider_error`` has the provider's code."""

    code = "provider_error"
    default = "The login was not completed at the provider."


class AccountExistsLinkRequired(Conflict):
    """The address belongs to an account that this login is not linked to; nothing is merged silently."""

    code = "account_exists_link_required"
    default = "An account with this address exists; sign in to it and link this login."
