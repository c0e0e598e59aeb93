"""Exchanging a refresh token for its successor."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.namespace import OrgName
from authkit_issuer.domains.sessions import queries as sql
from authkit_issuer.domains.sessions.revocation import Ending
from authkit_issuer.domains.sessions.rows import Diagnosis, Rotated
from authkit_issuer.domains.sessions.token_pair import TokenPair, pair
from authkit_issuer.domains.tokens.service import OrgGrant, Tokens
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import refresh_token
from authkit_issuer.security.refresh_token import RefreshToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One presented token, on its way to a successor or to a refusal."""

    rt: Runtime
    token: RefreshToken
    client: Client
    org: OrgName | None = None

    async def run(self) -> TokenPair:
        """Rotate in one statement; only when that moved no row, read why."""
        if self.rt.keys.current().signing is None:
            # Before anything is rotated: a service that cannot mint must not use tokens up.
            raise errors.MissingSigner
        if self.token.generation >= refresh_token.MAX_GENERATION:
            raise errors.InvalidRefreshToken
        if not self.rt.config.refresh_rotation_grace:
            return await self._mint_first()
        rotated = await self._rotate()
        if rotated is None:
            return await self._explain(await self._diagnose())
        return await self._answer(rotated, self.token.generation + 1)

    async def _mint_first(self) -> TokenPair:
        """Rotate last: without grace nothing heals a caller whose token is used up and who has no other."""
        found = await self._diagnose()
        if not (found and found.opens and self.token.generation >= found.generation):
            return await self._explain(found)
        answer = await self._answer(found, self.token.generation + 1)
        if await self._rotate() is None:
            return await self._explain(await self._diagnose())
        return answer

    async def _rotate(self) -> Rotated | None:
        config = self.rt.config
        own = (
            self.token.session_id,
            self.token.generation,
            self.token.key,
            identifiers.user_agent(self.client.user_agent),
            identifiers.ip_address(self.client.ip),
        )
        common = (config.issuer, config.refresh_idle_duration, config.refresh_rotation_grace)
        if self.org is None:
            return await self.rt.shared.maybe(sql.ROTATE, own, common)
        return await self.rt.maybe(sql.ROTATE_ORG, *own, *common, self.org.id)

    async def _answer(self, facts: Rotated, generation: int) -> TokenPair:
        """Mint; whatever fails from here on is healed by asking again within the grace window."""
        entitlements = await Entitlements(self.rt).for_token(facts.user_id)
        access = Tokens(self.rt).mint(
            facts,
            entitlements,
            session_id=facts.session_id,
            auth_time=facts.auth_time,
            amr=facts.amr,
            not_after=facts.expires_at,
            org=None if self.org is None else OrgGrant(slug=self.org.slug, roles=facts.org_roles),
        )
        refresh = refresh_token.encode(
            self.rt.keys.current(),
            self.rt.config.issuer,
            session_id=facts.session_id,
            generation=generation,
            nonce=self.token.nonce,
        )
        return pair(self.rt, access, refresh, session_id=facts.session_id, user_id=facts.user_id)

    async def _diagnose(self) -> Diagnosis | None:
        config = self.rt.config
        org = () if self.org is None else (self.org.id,)
        return await self.rt.maybe(
            sql.DIAGNOSE_ORG if org else sql.DIAGNOSE,
            self.token.session_id,
            self.token.key,
            config.issuer,
            self.token.generation,
            config.refresh_idle_duration,
            config.refresh_rotation_grace,
            *org,
        )

    async def _explain(self, found: Diagnosis | None) -> TokenPair:
        """Say why nothing rotated; nothing has been changed so far."""
        if found is None:
            raise errors.InvalidRefreshToken
        if not found.key_fits:
            await self._alarm(found)
            raise errors.InvalidRefreshToken
        if not found.allowed:
            reason = SessionRevokeReason.SOFT_DELETED if found.deleted else SessionRevokeReason.BANNED
            await Ending(self.rt).all_of(found.user_id, None, reason=reason, client=self.client)
            raise errors.UserBanned
        if not found.live:
            raise errors.InvalidRefreshToken
        if not found.is_member:
            raise errors.NotOrgMember
        if found.forgiven:
            await self._note_sharing(found)
            return await self._answer(found, found.generation)
        if self.token.generation >= found.generation:
            # The user was let in (or into the organization) between the two statements; the next try rotates.
            raise errors.DatabaseUnavailable
        raise await self._end_replayed(found)

    async def _end_replayed(self, found: Diagnosis) -> errors.AuthError:
        distance = found.generation - self.token.generation
        data = {
            "class": "recent" if distance == 1 else "stale",
            "presented": self.token.generation,
            "current": found.generation,
            "distance": distance,
        }
        ended = await Ending(self.rt).replayed(
            found.session_id, self.token.generation, client=self.client, data=data
        )
        if not ended:
            return errors.InvalidRefreshToken()
        return errors.RefreshTokenReuseDetected(evidence=data)

    async def _alarm(self, found: Diagnosis) -> None:
        await Events(self.rt).record(
            SessionEventType.REFRESH_TOKEN_FORGED,
            user_id=found.user_id,
            session_id=found.session_id,
            client=self.client,
        )

    async def _note_sharing(self, found: Diagnosis) -> None:
        """Leave a trace when a forgiven token comes from elsewhere than the one that rotated."""
        agent = identifiers.user_agent(self.client.user_agent)
        moved = identifiers.ip_prefix(self.client.ip) != identifiers.ip_prefix(found.ip)
        if (self.client.ip and moved) or (agent and agent != found.user_agent):
            await Events(self.rt).record(
                SessionEventType.SESSION_REFRESH_SHARED,
                user_id=found.user_id,
                session_id=found.session_id,
                client=self.client,
            )
