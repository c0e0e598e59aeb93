"""Access tokens: the claims of RFC 9068 section 2.2, then our own, signed with the key in force.

A token is a snapshot: user, roles and entitlements as they were when it was minted.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.capabilities.entitlements import Entitlements
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.keys import PublicKey, algorithm
from authkit_issuer.store.query import Query
from authkit_verify import Claims, Enrichment

RESERVED_CLAIMS = frozenset(
    {
        "iss", "sub", "aud", "iat", "exp", "nbf", "jti", "sid", "client_id", "auth_time", "amr", "acr",
        "email", "email_verified", "username", "discord_username", "entitlements", "roles", "org",
        "permissions", "scope", "scp", "azp", "act", "may_act", "cnf", "token_use", "nonce", "events",
    }
)  # fmt: skip
"""Claims that a caller's ``extra`` may not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """What a token says about its user, read in one statement."""

    user_id: str
    email: str | None
    email_verified: bool
    username: str | None
    discord_username: str
    roles: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A signed token and the moment its ``exp`` names."""

    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JwksDocument:
    """The JWK set as it is served, with its strong validator."""

    body: bytes
    etag: str


ALLOWED = "(u.deleted_at is null and (u.banned_at is null or coalesce(u.banned_until <= now(), false)))"
"""SQL that tells whether the user ``u`` may act now; a lapsed ban does not count."""

FACT_COLUMNS = """
    u.id::text as user_id, u.email, u.email_verified, u.username,
    coalesce(u.discord_username, (
        select p.profile ->> 'username' from profiles.user_providers p
        where p.user_id = u.id and p.provider_slug = 'discord' order by p.created_at desc limit 1
    ), '') as discord_username,
    array(
        select r.slug from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id
        where ur.user_id = u.id and r.deleted_at is null order by r.slug
    ) as roles
"""
"""The columns of ``TokenFacts`` for the user ``u``; scalars, so that a join can never multiply the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gated(TokenFacts):
    allowed: bool


GATED_FACTS = Query(
    _Gated, f"select {FACT_COLUMNS}, {ALLOWED} as allowed from profiles.users u where u.id = $1::uuid"
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Mints, publishes keys, and verifies what it minted."""

    rt: Runtime

    async def issue_access(
        self,
        user_id: str,
        email: str = "",
        extra: Mapping[str, object] | None = None,
        *,
        session_id: str | None = None,
    ) -> AccessToken:
        """Return an access token for a user who may act now.

        ``email`` counts only for a service without a database, which cannot ask. Raises ``UserNotFound``,
        ``UserBanned``, ``ReservedClaim`` when ``extra`` names a claim of ours, ``MissingSigner``.
        """
        check_extra(extra)
        if not self.rt.has_storage:
            facts = TokenFacts(
                user_id=user_id,
                email=email or None,
                email_verified=False,
                username=None,
                discord_username="",
                roles=[],
            )
        else:
            facts = await self._facts(user_id)
        entitlements = await Entitlements(self.rt).for_token(user_id)
        return self.mint(facts, entitlements, session_id=session_id, extra=extra)

    async def enrich(self, user_id: str) -> Enrichment:
        """Return what a resource server may want to know of the user now; an unknown one is not allowed."""
        found = await self._gated(user_id)
        if found is None:
            return Enrichment(allowed=False)
        return Enrichment(
            allowed=found.allowed,
            roles=tuple(found.roles),
            email=found.email,
            discord_username=found.discord_username or None,
        )

    async def _gated(self, user_id: str) -> _Gated | None:
        known = identifiers.user_id(user_id)
        return await self.rt.maybe(GATED_FACTS, known) if known else None

    async def _facts(self, user_id: str) -> TokenFacts:
        found = await self._gated(user_id)
        if found is None:
            raise errors.UserNotFound
        if not found.allowed:
            raise errors.UserBanned
        return found

    def mint(
        self,
        facts: TokenFacts,
        entitlements: list[str],
        *,
        session_id: str | None = None,
        auth_time: datetime | None = None,
        amr: Sequence[str] = (),
        not_after: datetime | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> AccessToken:
        """Sign the claims; ``sid``, ``auth_time`` and ``amr`` (RFC 9068 section 2.2.1) when they are known.

        The life is the configured one less a random share, and never ends after ``not_after``.
        """
        issued_at = int(self.rt.clock())
        expires = self._expiry(issued_at, not_after)
        claims = self._claims(facts, entitlements, issued_at, expires)
        if session_id is not None:
            claims["sid"] = session_id
        if auth_time is not None:
            claims["auth_time"] = int(auth_time.timestamp())
            claims["amr"] = list(amr)
        claims.update(extra or {})
        return AccessToken(token=self.rt.minter.mint(claims), expires_at=datetime.fromtimestamp(expires, UTC))

    def _expiry(self, issued_at: int, not_after: datetime | None) -> int:
        config = self.rt.config
        share = config.access_token_jitter * int.from_bytes(self.rt.random_bytes(2), "big") / 65536
        expires = issued_at + max(1, int(config.access_token_duration * (1 - share)))
        return expires if not_after is None else min(expires, int(not_after.timestamp()))

    def _claims(
        self, facts: TokenFacts, entitlements: list[str], issued_at: int, expires: int
    ) -> dict[str, object]:
        config = self.rt.config
        audiences = config.issued_audiences
        claims: dict[str, object] = {
            "iss": config.issuer,
            "sub": facts.user_id,
            # Some verifiers in the field refuse a list of one; RFC 7519 section 4.1.3 allows both forms.
            "aud": audiences[0] if len(audiences) == 1 else list(audiences),
            "iat": issued_at,
            "exp": expires,
            "jti": base64.urlsafe_b64encode(self.rt.random_bytes(16)).rstrip(b"=").decode(),
            "client_id": config.client_id,
            "email": facts.email,
            "email_verified": facts.email_verified,
            "username": facts.username,
            "discord_username": facts.discord_username,
            "entitlements": entitlements,
        }
        if config.org_mode == "single":
            claims["roles"] = facts.roles
        return claims

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the published keys as a JWK set (RFC 7517 section 5), the signing one first."""
        return self.rt.keys.current().jwks

    def jwks_document(self) -> JwksDocument:
        """Return the JWK set as the bytes to serve, with its ``ETag``."""
        keys = self.rt.keys.current()
        return JwksDocument(body=keys.jwks_body, etag=keys.jwks_etag)

    def key_for(self, header: Mapping[str, object]) -> PublicKey:
        """Return the published key that fits a JWS header.

        A header without ``kid`` fits when there is exactly one key. Raises ``UnknownKid``, and
        ``DisallowedAlg`` when ``alg`` is not the key's.
        """
        public, kid = self.rt.keys.current().public, header.get("kid")
        if kid is None and len(public) == 1:
            (kid,) = public
        key = public.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise errors.UnknownKid
        if header.get("alg") != algorithm(key):
            raise errors.DisallowedAlg
        return key

    async def verify(self, token: str) -> Claims:
        """Return the claims of an access token of this service, or raise ``authkit_verify.TokenError``.

        Says nothing about the session: ``sessions.authenticate`` does.
        """
        return await self.rt.own_tokens.verify(token)


def check_extra(extra: Mapping[str, object] | None) -> None:
    """Raise ``ReservedClaim`` when a caller's claims name one that only this service may set."""
    for name in extra or ():
        if name in RESERVED_CLAIMS:
            raise errors.ReservedClaim(f"The claim {name} is set by this service alone.", param=name)
