"""Taking a browser back from a provider, and trading what it brought."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from authkit_issuer import errors
from authkit_issuer.domains.credentials.service import Proof
from authkit_issuer.domains.login.external import queries as sql
from authkit_issuer.domains.login.external.accounts import Accounts
from authkit_issuer.domains.login.external.records import RESULT_LIFE, Flows, Result, State
from authkit_issuer.domains.login.external.result import Opened
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.federation import Exchange, IdentityProvider, Profile
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

AMR = ("fed",)
"""How the person was proved: by somebody else."""
MAX_CODE = 4096
_ERROR = re.compile(r"[a-z0-9_.-]{1,64}")

logger = logging.getLogger("authkit.providers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What a browser brings back, unjudged.

    ``cookies`` are those of the request as name and value, repeats included. ``user`` is in Apple's form
    alone.
    """

    state: str = field(default="", repr=False)
    code: str = field(default="", repr=False)
    error: str = ""
    iss: str | None = None
    user: str = field(default="", repr=False)
    cookies: Iterable[tuple[str, str]] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Returning:
    """One login that has come back, its state already used up."""

    rt: Runtime
    idp: IdentityProvider
    method: str
    record: State
    client: Client | None = None

    async def prove(self, returned: Returned) -> Result:
        """Judge the answer, trade its code, and find, make or link the account."""
        await self._check_issuer(returned.iss)
        if returned.error:
            raise _denied(self.record.provider, returned.error)
        if not 0 < len(returned.code) <= MAX_CODE:
            raise errors.Invalid("The answer has no code.", param="code")
        record = self.record
        profile = await self.idp.profile(
            Exchange(
                code=returned.code,
                verifier=record.verifier,
                nonce=record.nonce,
                redirect_uri=record.redirect_uri,
                proved_since=record.begun if record.flow == "step_up" else None,
                user=returned.user,
            )
        )
        user_id, epoch, created = await self._account(profile)
        return Result(
            provider=record.provider,
            flow=record.flow,
            cookie=record.cookie,
            cookie_name=Flows(self.rt).cookie_name(returned.state),
            expires=self.rt.clock() + RESULT_LIFE,
            issuer=profile.issuer,
            subject=profile.subject,
            user_id=user_id,
            auth_epoch=epoch,
            session_id=record.session_id,
            return_to=record.return_to,
            created=created,
        )

    async def _account(self, profile: Profile) -> tuple[str, int, bool]:
        """Return user, epoch and whether the account is new."""
        record = self.record
        accounts = Accounts(rt=self.rt, slug=record.provider, method=self.method, client=self.client)
        if record.flow == "link":
            await accounts.link(record, profile)
            return record.user_id, record.auth_epoch, False
        if record.flow == "step_up":
            linked = await self.rt.maybe(sql.LINKED, profile.issuer, profile.subject)
            if linked is None or linked.user_id != record.user_id:
                raise errors.ProviderNotLinked
            return record.user_id, record.auth_epoch, False
        linked, created = await accounts.resolve(profile)
        if not linked.allowed:
            raise errors.UserBanned
        return linked.user_id, linked.auth_epoch, created

    async def _check_issuer(self, given: str | None) -> None:
        """Refuse the answer of another provider (RFC 9207 section 2.4)."""
        if given is None:
            if await self.idp.promises_issuer():
                raise errors.ProviderRefused
        elif given != self.idp.issuer:
            raise errors.ProviderRefused


async def open_result(
    rt: Runtime, result: Result, method: str, client: Client | None, *, org: str | None = None
) -> Opened:
    """Open what a result stands for: a session, a fresh proof for one, or nothing for a link.

    The link is read again, so that one that is gone meanwhile opens nothing.
    """
    if org is not None and result.flow != "login":
        raise errors.Invalid("Only a login is for an organization.", param="org")
    opened = Opened(
        provider=result.provider,
        flow=result.flow,
        return_to=result.return_to,
        cookie_name=result.cookie_name,
        created=result.created,
    )
    if result.flow == "link":
        return opened
    linked = await rt.maybe(sql.LINKED, result.issuer, result.subject)
    if linked is None or linked.user_id != result.user_id:
        raise errors.InvalidCredentials
    logins = Logins(rt)
    if result.flow == "step_up":
        access = await logins.step_up_vouched(
            result.user_id,
            result.session_id,
            auth_epoch=result.auth_epoch,
            method=method,
            amr=AMR,
            client=client,
        )
        return dataclasses.replace(opened, access=access)
    if not linked.allowed:
        raise errors.UserBanned
    proof = Proof(user_id=result.user_id, auth_epoch=result.auth_epoch, two_factor=linked.two_factor)
    extra = {"provider": result.provider}
    pair = await logins.finish(proof, method=method, amr=AMR, org=org, client=client, extra=extra)
    return dataclasses.replace(opened, pair=pair)


def _denied(provider: str, error: str) -> errors.ProviderDenied:
    """Return the refusal for what a provider answered; its own words go no further than the log."""
    logger.info("provider %s answered %r", provider, error[:200])
    code = error if _ERROR.fullmatch(error) else errors.ProviderDenied.code
    return errors.ProviderDenied(metadata={"provider_error": code})
