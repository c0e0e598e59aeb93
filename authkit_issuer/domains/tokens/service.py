"""Access tokens: the claims of RFC 9068 section 2.2, then our own, signed with the key in force.

A token is a snapshot: user, roles and entitlements as they were when it was minted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.namespace import Namespace, OrgName
from authkit_issuer.domains.tokens.queries import (
    FACT_COLUMNS,
    GATED_FACTS,
    MEMBERSHIP,
    Gated,
    OrgGrant,
    TokenFacts,
)
from authkit_issuer.errors.declared import raises
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.keys import PublicKey, algorithm
from authkit_issuer.security.token_codec import random_text
from authkit_verify import Claims, Enrichment

__all__ = [
    "FACT_COLUMNS",
    "AccessToken",
    "JwksDocument",
    "OrgGrant",
    "TokenFacts",
    "Tokens",
    "check_extra",
]

RESERVED_CLAIMS = frozenset(
    {
        "iss", "sub", "aud", "iat", "exp", "nbf", "jti", "sid", "client_id", "auth_time", "amr", "acr",
        "email", "email_verified", "username", "discord_username", "entitlements", "roles", "org",
        "permissions", "scope", "scp", "azp", "act", "may_act", "cnf", "token_use", "nonce", "events",
    }
)  # fmt: skip
"""Claims that a caller's ``extra`` may not name."""


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

    @raises(
        errors.InvalidOrgSlug,
        errors.OrgNotFound,
        errors.NotOrgMember,
        errors.UserBanned,
        errors.UserNotFound,
        errors.MissingSigner,
    )
    async def issue_org_access(
        self,
        user_id: str,
        email: str,  # noqa: ARG002 - the contract; the stored address is what counts
        org_slug: str,
        extra: Mapping[str, object] | None = None,
        *,
        session_id: str | None = None,
        auth_time: datetime | None = None,
        amr: Sequence[str] = (),
    ) -> AccessToken:
        """Return an access token with ``org`` and the roles held there, and without any global role.

        ``org_slug`` may be a former name; the token carries the current one. ``email`` is not used: the
        stored address is. Raises as ``issue_access`` does, and ``OrgModeNotMulti``, ``InvalidOrgSlug``,
        ``OrgNotFound``, ``NotOrgMember``.
        """
        check_extra(extra)
        facts = await self._facts(user_id)
        org = await self.org_grant(user_id, org_slug)
        entitlements = await Entitlements(self.rt).for_token(user_id)
        return self.mint(
            facts,
            entitlements,
            session_id=session_id,
            auth_time=auth_time,
            amr=amr,
            org=org,
            extra=extra,
        )

    async def org_grant(self, user_id: str, org_slug: str) -> OrgGrant:
        """Return what a token may say of a member; raises as ``issue_org_access`` does."""
        org = await self.find_org(org_slug)
        known = identifiers.user_id(user_id)
        standing = await self.rt.maybe(MEMBERSHIP, known, org.id) if known else None
        if standing is None or not standing.is_member:
            raise errors.NotOrgMember
        return OrgGrant(slug=org.slug, roles=standing.roles)

    async def find_org(self, org_slug: str) -> OrgName:
        """Return the organization a token is asked for; raises as ``issue_org_access`` does."""
        if self.rt.config.org_mode != "multi":
            raise errors.OrgModeNotMulti
        return await Namespace(self.rt).find_org(org_slug)

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

    async def _gated(self, user_id: str) -> Gated | None:
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
        org: OrgGrant | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> AccessToken:
        """Sign the claims; ``sid``, ``auth_time`` and ``amr`` (RFC 9068 section 2.2.1) when they are known.

        With ``org`` the roles are those held there, which nobody may take for global ones.

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
        if org is not None:
            claims["org"], claims["roles"] = org.slug, org.roles
        claims.update(extra or {})
        return AccessToken(
            token=self.rt.access_tokens.sign(claims), expires_at=datetime.fromtimestamp(expires, UTC)
        )

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
            "jti": random_text(self.rt.random_bytes, 16),
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
    """Raise ``ReservedClaim`` when a caller's claims name one that only this service may set.

    ``Invalid`` for a name that is no text: an enumeration's member is written as its value, whatever that is.
    And for what no JSON can say, before a session is opened that would get no token.
    """
    if not extra:
        return
    for name in extra:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are not all typed
            raise errors.Invalid("An extra claim is named by a text.", param="extra")
        if name in RESERVED_CLAIMS:
            raise errors.ReservedClaim(f"The claim {name} is set by this service alone.", param=name)
    try:
        msgspec.json.encode(dict(extra))
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.Invalid("The extra claims are not JSON.", param="extra") from error
