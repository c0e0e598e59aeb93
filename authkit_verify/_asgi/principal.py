"""The authenticated caller: the values behind ``scope["user"]`` and ``scope["auth"]``."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from authkit_verify._asgi.enrichment import Enrichment
from authkit_verify._asgi.lease import Lease
from authkit_verify._asgi.types import Scope
from authkit_verify._jose.keys import KeySet, KeyState
from authkit_verify._policy.verified_claims import Claims
from authkit_verify._verify.verifier import Verifier


class Principal:
    """The authenticated caller of one request, shaped as Starlette expects ``scope["user"]``.

    Attributes:
        claims: The claims of the token.
        keys: The source and age of the keys that admitted this request, at that moment.
        key_set: Those keys; None for a principal that no verifier made.
        verifier: The verifier that accepted the token; None for a principal that no verifier made.
        lease: The time left to a connection that ends with its token; None on every other request.
        enrichment: The answer of the host's own records; None if they were not asked.
        decided_roles: The global roles that the ``Enricher`` decided on; None without one: the token's count.

    """

    # A plain slotted class: a frozen dataclass sets its fields ten times slower; one is built per request.
    __slots__ = ("claims", "decided_roles", "enrichment", "key_set", "keys", "lease", "verifier")

    is_authenticated = True

    def __init__(
        self,
        claims: Claims,
        keys: KeyState,
        key_set: KeySet | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        self.claims = claims
        self.keys = keys
        self.key_set = key_set
        self.verifier = verifier
        self.lease: Lease | None = None
        self.enrichment: Enrichment | None = None
        self.decided_roles: tuple[str, ...] | None = None

    @property
    def identity(self) -> str:
        """The user id: the token's ``sub``."""
        return self.claims.user_id

    @property
    def display_name(self) -> str:
        """The username, or else the email address, or else the user id."""
        return self.claims.username or self.email or self.claims.user_id

    @property
    def roles(self) -> tuple[str, ...]:
        """The global roles, decided at admission: the token's, or those of the host's records."""
        return self.claims.roles if self.decided_roles is None else self.decided_roles

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of the token."""
        return self.claims.scopes

    @property
    def email(self) -> str | None:
        """The email address of the token, verified only if ``claims.email_verified``, else of the records."""
        return self.claims.email or (self.enrichment.email if self.enrichment is not None else None)

    @property
    def discord_username(self) -> str | None:
        """The Discord name of the host's records, else of the token: users rename themselves there."""
        recorded = self.enrichment.discord_username if self.enrichment is not None else None
        return recorded or self.claims.discord_username

    def __repr__(self) -> str:
        return f"Principal(identity={self.identity!r}, issuer={self.claims.issuer!r})"


class Anonymous:
    """The caller of a request without a token, where no token is required."""

    __slots__ = ()

    is_authenticated = False
    identity = ""
    display_name = ""


class Scopes:
    """The scopes of a token, shaped as Starlette expects ``scope["auth"]``.

    Besides the token's own scopes it lists ``authenticated``, the name that Starlette's documentation
    uses for "any valid login". The guards of this package read the token's scopes and never that word.
    """

    __slots__ = ("scopes",)

    def __init__(self, scopes: tuple[str, ...] = ()) -> None:
        self.scopes = scopes


_AUTHENTICATED = ("authenticated",)
ANONYMOUS = Anonymous()
NO_SCOPES = Scopes()


def admit(scope: Scope, principal: Principal) -> None:
    """Write the caller into the scope, where frameworks and guards read it."""
    state = state_of(scope)
    scope["user"] = principal
    scope["auth"] = Scopes(principal.claims.scopes + _AUTHENTICATED)
    state["authkit"] = principal.claims
    state["authkit_keys"] = principal.keys


def admit_anonymous(scope: Scope) -> None:
    """Write an anonymous caller into the scope; a caller from an outer middleware stays."""
    state = state_of(scope)
    scope.setdefault("user", ANONYMOUS)
    scope.setdefault("auth", NO_SCOPES)
    state.setdefault("authkit", None)
    state.setdefault("authkit_keys", None)


def state_of(scope: Scope) -> MutableMapping[str, Any]:
    """Return the ``state`` of this request, without the caller of another one."""
    state: MutableMapping[str, Any] | None = scope.get("state")
    if state is None:
        state = scope["state"] = {}
    elif "authkit" in state and not isinstance(scope.get("user"), Principal | Anonymous):
        # Hypercorn 0.17 has one state for all requests of a connection, which a proxy shares among users.
        state = scope["state"] = {**state, "authkit": None, "authkit_keys": None}
    return state


def principal_of(scope: Mapping[str, Any]) -> Principal | None:
    """Return the authenticated caller of this request, or None."""
    user = scope.get("user")
    return user if isinstance(user, Principal) else None
