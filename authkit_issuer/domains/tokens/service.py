"""Access tokens: the claims of RFC 9068 section 2.2 and of this service, signed with the current key.

A token is a snapshot of the user, the roles and the entitlements at the time of its issue. ``claims`` has the
claims, and ``security.access_token_signer`` signs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.namespace import Namespace, OrgName
from authkit_issuer.domains.tokens.claims import check_extra, claims_of
from authkit_issuer.domains.tokens.queries import (
    MEMBERSHIP,
    USER_FACTS,
    OrgGrant,
    TokenFacts,
    UserFacts,
    fact_columns,
)
from authkit_issuer.errors.declared import raises
from authkit_issuer.keys import PublicKey, algorithm
from authkit_issuer.runtime import Runtime
from authkit_verify import Claims, Enrichment

__all__ = [
    "AccessToken",
    "JwksDocument",
    "OrgGrant",
    "TokenFacts",
    "Tokens",
    "fact_columns",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A signed token and the time of its ``exp``."""

    token: str = field(repr=False)
    expires_at: datetime
    expires_in: int
    """Seconds from the signature to ``expires_at`` (RFC 6749 section 5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwksDocument:
    """The JWK set as bytes, with its strong ``ETag``."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Issues and verifies access tokens, and publishes the keys."""

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

        Args:
            user_id: The user.
            email: The email address, for a service without a database; otherwise the stored one counts.
            extra: Further claims.
            session_id: The session of the token, its ``sid``.

        Raises:
            UserNotFound: No such user.
            UserBanned: The user may not act.
            ReservedClaim: ``extra`` names a claim that only this service sets.
            Invalid: ``extra`` is not JSON.
            MissingSigner: The service has no signing key.
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
        errors.TwoFactorRequiredByOrg,
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
        not_after: datetime | None = None,
    ) -> AccessToken:
        """Return an access token with ``org`` and the user's roles there, and without any global role.

        Args:
            user_id: The user.
            email: Ignored; the token has the stored address.
            org_slug: The organization. For a former slug the token has the current one.
            extra: Further claims.
            session_id: The session of the token, its ``sid``.
            auth_time: The time of the last authentication.
            amr: The authentication methods of the session (RFC 8176). Without ``mfa`` a passkey does not
                count as a second factor.
            not_after: The end of the session, which the token does not outlive.

        Raises:
            OrgModeNotMulti: The service runs in single-organization mode.
            InvalidOrgSlug, OrgNotFound, NotOrgMember: ``org_slug`` was refused.
            TwoFactorRequiredByOrg: The organization requires a second factor, and the user has none.
            AuthError: Any refusal of ``issue_access``.
        """
        check_extra(extra)
        facts = await self._facts(user_id)
        org = await self.org_grant(user_id, org_slug, amr)
        entitlements = await Entitlements(self.rt).for_token(user_id)
        return self.mint(
            facts,
            entitlements,
            session_id=session_id,
            auth_time=auth_time,
            amr=amr,
            not_after=not_after,
            org=org,
            extra=extra,
        )

    async def org_grant(self, user_id: str, org_slug: str, amr: Sequence[str] = ()) -> OrgGrant:
        """Return the current slug and the member's roles; raises as ``issue_org_access`` does.

        ``amr`` are the authentication methods of the session: a passkey counts as the second factor that an
        organization requires only where it was used.
        """
        org = await self.find_org(org_slug)
        canonical_id = identifiers.uuid_or_none(user_id)
        membership = (
            await self.rt.maybe(MEMBERSHIP, canonical_id, org.id, list(amr)) if canonical_id else None
        )
        if membership is None or not membership.is_member:
            raise errors.NotOrgMember
        if membership.lacks_factor:
            raise errors.TwoFactorRequiredByOrg
        return OrgGrant(id=org.id, slug=org.slug, roles=membership.roles)

    async def find_org(self, org_slug: str) -> OrgName:
        """Return the organization of a slug; raises as ``issue_org_access`` does."""
        if self.rt.config.org_mode != "multi":
            raise errors.OrgModeNotMulti
        return await Namespace(self.rt).find_org(org_slug)

    async def enrich(self, user_id: str) -> Enrichment:
        """Return the user's present data for a resource server; an unknown user is not allowed.

        It is about no session, so a passkey does not count as the second factor that a role requires.
        """
        user = await self._user_facts(user_id)
        if user is None:
            return Enrichment(allowed=False)
        return Enrichment(
            allowed=user.allowed,
            roles=tuple(user.counted_roles(self.rt.config.two_factor_required_roles)),
            email=user.email,
            discord_username=user.discord_username or None,
        )

    async def _user_facts(self, user_id: str) -> UserFacts | None:
        canonical_id = identifiers.uuid_or_none(user_id)
        return await self.rt.maybe(USER_FACTS, canonical_id) if canonical_id else None

    async def _facts(self, user_id: str) -> TokenFacts:
        """Return the facts of a user who may act; raises ``UserNotFound`` or ``UserBanned``."""
        user = await self._user_facts(user_id)
        if user is None:
            raise errors.UserNotFound
        if not user.allowed:
            raise errors.UserBanned
        return user

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
        """Return a signed access token.

        The token expires after ``access_token_duration`` seconds, less a random share of at most
        ``access_token_jitter``.

        Args:
            facts: The user.
            entitlements: The names of the user's entitlements.
            session_id: The ``sid``, if there is a session.
            auth_time: The time of the last authentication; without it the token has no ``amr`` either.
            amr: The authentication methods (RFC 9068 section 2.2.1).
            not_after: The end of the session, which the token does not outlive.
            org: The organization. ``roles`` then holds the roles there, and no global role.
            extra: Further claims, checked by ``check_extra``.
        """
        issued_at = int(self.rt.clock())
        expires = self._expiry(issued_at, not_after)
        claims = claims_of(self.rt, facts, entitlements, issued_at, expires)
        if session_id is not None:
            claims["sid"] = session_id
        if auth_time is not None:
            claims["auth_time"] = int(auth_time.timestamp())
            claims["amr"] = list(amr)
        if org is not None:
            claims["org"], claims["org_id"], claims["roles"] = org.slug, org.id, org.roles
        claims.update(extra or {})
        return AccessToken(
            token=self.rt.access_tokens.sign(claims),
            expires_at=datetime.fromtimestamp(expires, UTC),
            expires_in=max(0, int(expires - self.rt.clock())),
        )

    def _expiry(self, issued_at: int, not_after: datetime | None) -> int:
        config = self.rt.config
        share = config.access_token_jitter * int.from_bytes(self.rt.random_bytes(2), "big") / 65536
        expires = issued_at + max(1, int(config.access_token_duration * (1 - share)))
        return expires if not_after is None else min(expires, int(not_after.timestamp()))

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the published keys as a JWK set (RFC 7517 section 5), the signing key first."""
        return self.rt.keys.current().jwks

    def jwks_document(self) -> JwksDocument:
        """Return the JWK set as bytes, with its ``ETag``."""
        keys = self.rt.keys.current()
        return JwksDocument(body=keys.jwks_body, etag=keys.jwks_etag)

    def key_for(self, header: Mapping[str, object]) -> PublicKey:
        """Return the published key of a JWS header; without ``kid``, the only key if there is just one.

        Raises:
            UnknownKid: No published key has this ``kid``.
            DisallowedAlg: ``alg`` is not the algorithm of the key.
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

        It does not check the session: ``sessions.authenticate`` does.
        """
        return await self.rt.own_tokens.verify(token)
