"""The end of a registration: a proof of the address, by somebody who is also the one who registered."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.base.codes import OneTimeCodes, Record
from authkit_issuer.domains.signup.accounts import make_account
from authkit_issuer.domains.signup.channels import BY_KIND, EMAIL, channel_of
from authkit_issuer.domains.signup.records import hash_of
from authkit_issuer.identifiers import ip_prefix
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Finishing:
    """Confirms registrations; each returns the spent record, for a caller who may have to put it back."""

    rt: Runtime

    async def by_code(self, identifier: str, code: str, registration_id: str | None) -> Record:
        """Redeem a code."""
        channel = channel_of(identifier)
        self.rt.refuse_joining(f"registration.confirm_{channel.name}")
        target = channel.target(identifier)
        if target is None:
            raise errors.InvalidOrExpiredCode
        record = await OneTimeCodes(self.rt).redeem_code(channel.kind, registration_id, target, code)
        if record.data["taken"]:
            raise errors.InvalidOrExpiredCode
        await self._make_account(record)
        return record

    async def by_link(
        self, token: str, registration_id: str | None, password: str | None, client: Client | None
    ) -> Record:
        """Redeem a link token.

        Whoever reads the mail need not be the one who registered: without the browser's id or the password
        they would open an account whose password is somebody else's. Passwords are tried as often as codes.
        """
        self.rt.refuse_joining("registration.confirm_email_link")
        found = await OneTimeCodes(self.rt).find_link(EMAIL.kind, token)
        if not await self._belongs(found, registration_id, password, client):
            raise errors.CurrentPasswordRequired(param="password")
        record = await OneTimeCodes(self.rt).redeem_link(EMAIL.kind, token)
        if record.data["taken"]:
            raise errors.InvalidOrExpiredToken
        await self._make_account(record)
        return record

    async def _belongs(
        self, record: Record, registration_id: str | None, password: str | None, client: Client | None
    ) -> bool:
        shown = (registration_id or "").encode("utf-8", "replace")
        if hmac.compare_digest(record.request_id.encode(), shown):
            return True
        if password is None:
            return False

        async def count() -> None:
            try:
                await OneTimeCodes(self.rt).count_try(record)
            except errors.InvalidOrExpiredCode as error:
                raise errors.InvalidOrExpiredToken from error

        caller = ip_prefix(client.ip if client else None)
        return (await self.rt.hasher.verify(hash_of(record), password, client=caller, before=count)).fits

    async def _make_account(self, record: Record) -> None:
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            await make_account(
                self.rt,
                BY_KIND[record.kind],
                record.user_id,
                record.target,
                record.data["username"],
                record.data["password_hash"],
                verified=True,
            )
