"""Who is asking: the values behind ``scope["user"]`` and ``scope["auth"]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from authkit_verify._asgi.types import Scope

if TYPE_CHECKING:
    from authkit_verify._asgi.authenticator import Gate
    from authkit_verify._asgi.enrichment import Enrichment
    from authkit_verify._asgi.token_lifetime import Lease
    from authkit_verify._jose.keys import KeySet, KeyState
    from authkit_verify._policy.claims import Claims


class Principal:
    """The authenticated caller of one request, shaped as Starlette expects ``scope["user"]``.

    ``keys`` says where the keys that admitted this request came from and how old they were at that moment;
    ``key_set`` is those keys.
    ``lease`` is set on a connection that ends with its token, and None elsewhere. ``enrichment`` is what the
    host's own records said, or None when nobody was asked. ``gate`` is the one that let the caller in.
    """

    # A plain slotted class: a frozen dataclass sets its fields ten times slower; one is built per request.
    __slots__ = ("claims", "enrichment", "gate", "key_set", "keys", "lease")

    is_authenticated = True

    def __init__(
        self, claims: Claims, keys: KeyState, gate: Gate | None = None, key_set: KeySet | None = None
    ) -> None:
        self.claims = claims
        self.keys = keys
        self.gate = gate
        self.key_set = key_set
        self.lease: Lease | None = None
        self.enrichment: Enrichment | None = None

    @property
    def identity(self) -> str:
        """The user id: the token's ``sub``."""
        return self.claims.user_id

    @property
    def display_name(self) -> str:
        """The user name, else the email address, else the user id."""
        return self.claims.username or self.email or self.claims.user_id

    @property
    def roles(self) -> tuple[str, ...]:
        """The global roles that count here: the token's, or the records' where ``Enricher`` was told so."""
        enricher = self.gate.enricher if self.gate is not None else None
        return self.claims.roles if enricher is None else enricher.roles_of(self.claims, self.enrichment)

    @property
    def email(self) -> str | None:
        """The token's email address, else the records'."""
        return self.claims.email or (self.enrichment.email if self.enrichment is not None else None)

    @property
    def discord_username(self) -> str | None:
        """The records' Discord name, else the token's: people rename themselves there."""
        recorded = self.enrichment.discord_username if self.enrichment is not None else None
        return recorded or self.claims.discord_username

    def __repr__(self) -> str:
        return f"Principal(identity={self.identity!r}, issuer={self.claims.issuer!r})"


class Anonymous:
    """The caller of a request without a token where none is required."""

    __slots__ = ()

    is_authenticated = False
    identity = ""
    display_name = ""


class Scopes:
    """What a token may do, shaped as Starlette expects ``scope["auth"]``.

    Beside the token's own scopes it lists ``authenticated``, the name Starlette's documentation uses for
    "any valid login". Guards of this package read the token's scopes and never that word.
    """

    __slots__ = ("scopes",)

    def __init__(self, scopes: tuple[str, ...] = ()) -> None:
        self.scopes = scopes


_AUTHENTICATED = ("authenticated",)
ANONYMOUS = Anonymous()
NO_SCOPES = Scopes()


def admit(scope: Scope, principal: Principal) -> None:
    """Write the caller into the scope, where frameworks and guards look for it."""
    scope["user"] = principal
    scope["auth"] = Scopes(principal.claims.scopes + _AUTHENTICATED)
    state = scope.get("state")
    if state is None:
        state = scope["state"] = {}
    state["authkit"] = principal.claims
    state["authkit_keys"] = principal.keys


def admit_anonymous(scope: Scope) -> None:
    """Write into the scope that nobody is logged in; a caller named by an outer middleware stays."""
    scope.setdefault("user", ANONYMOUS)
    scope.setdefault("auth", NO_SCOPES)
    state = cast("dict[str, Any]", scope.setdefault("state", {}))
    state.setdefault("authkit", None)
    state.setdefault("authkit_keys", None)


def principal_of(scope: Mapping[str, Any]) -> Principal | None:
    """Return the authenticated caller of this request, or None."""
    user = scope.get("user")
    return user if isinstance(user, Principal) else None
