"""Passwordless sign-in: a code by mail or SMS, or a link by mail, is the first factor.

A start does the same for every address and number: one look-up, the same counters, a new flow id and a
record. Everything that only some of them cause happens in the background. The flow id stays with the client
that began. A code counts only together with it, and a link opens a session only where it is: a forwarded
mail, a scanner that follows links and a second device sign no user in and use nothing up.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from hmac import compare_digest

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base import stored_values
from authkit_issuer.domains.base.contacts import CONTACT_KINDS, EMAIL, PHONE, ContactKind, kind_of, signs_in
from authkit_issuer.domains.base.devices import Device, Devices
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import NO_RECORD, Issued, Lives, OneTimeCodes, Record
from authkit_issuer.domains.factors.kinds import EMAIL_CODE, SMS_CODE
from authkit_issuer.domains.login.external.redirect_urls import checked_return_to
from authkit_issuer.domains.login.passwordless import queries as sql
from authkit_issuer.domains.login.passwordless.accounts import METHOD, NEW, account_of
from authkit_issuer.domains.login.passwordless.queries import Holder
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.domains.sessions.service import TokenPair
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, STORES, raises
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

KIND = "passwordless"
"""The kind of the records, and the sending limit."""
# RFC 8176 has no value for a link: its token is a password for one time, which the browser types.
_AMR = {EMAIL: EMAIL_CODE.amr, PHONE: SMS_CODE.amr}

_ENTERING = (
    errors.AccountProofRequired,
    errors.UserBanned,
    errors.UserDeleted,
    errors.InvalidCredentials,
    errors.TwoFactorRequired,
    errors.TwoFactorEnrollmentRequired,
    errors.TwoFactorMethodUnavailable,
    *EMAIL_SENDING,
    *SMS_SENDING,
    errors.UsernameInUse,
    errors.OrgModeNotMulti,
    errors.InvalidOrgSlug,
    errors.OrgNotFound,
    errors.NotOrgMember,
    errors.TwoFactorRequiredByOrg,
    errors.MissingSigner,
    errors.EntitlementsUnavailable,
    *STORES,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordlessFlow:
    """A sign-in that has begun, for ``expires_in`` seconds. The id is a secret of the client that began."""

    flow_id: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordlessLogin(TokenPair):
    """The tokens of a sign-in. ``created`` is true for a new account, ``return_to`` is what began it."""

    created: bool
    return_to: str


@dataclass(frozen=True, slots=True)
class Passwordless:
    """Signs users in by a message to their address or number."""

    rt: Runtime

    @property
    def available(self) -> bool:
        """True if any message signs in."""
        return any(self.offers(contact) for contact in CONTACT_KINDS)

    @property
    def has_links(self) -> bool:
        """True if the mails have links."""
        return self.rt.config.passwordless in {"link", "both"} and self.rt.senders.sign_in_link is not None

    def offers(self, contact: ContactKind) -> bool:
        """True if a message to a contact of this kind signs in."""
        return signs_in(self.rt, contact)

    @raises(
        errors.PasswordlessNotConfigured,
        errors.InvalidIdentifier,
        errors.InvalidEmail,
        errors.InvalidPhoneNumber,
        errors.OrgModeNotMulti,
        errors.InvalidOrgSlug,
        *STORES,
    )
    async def start(
        self,
        identifier: str,
        *,
        org: str | None = None,
        return_to: str | None = None,
        client: Client | None = None,
    ) -> PasswordlessFlow:
        """Send a code, and a link where those are on, to the address or number of an account.

        One without an account gets a flow id too, after the same work, and no message; with
        ``passwordless_registration`` it gets the message, and the account is made at the confirmation. Beyond
        the sending limits nothing is sent, and the code that was sent last works with the new id. A message
        ends the flow that the same client began before for the same contact.

        Args:
            identifier: An email address or an E.164 number.
            org: The slug of the organization that the access token is to name.
            return_to: A path of the app, which comes back with the tokens.
            client: Where the request came from; the sending limits count by it.

        Raises:
            PasswordlessNotConfigured: ``passwordless`` is off, or the service has no sender for this kind.
        """
        self.rt.refuse_joining("passwordless.start")
        contact = kind_of(identifier)
        if not self.offers(contact):
            raise errors.PasswordlessNotConfigured
        if contact is EMAIL and "@" not in identifier:
            raise errors.InvalidIdentifier(param="identifier")
        target = contact.normalize(identifier)
        Messages(self.rt).require_reachable(contact, target)
        slug = self._slug(org)
        found = await self.rt.maybe(sql.HOLDER[contact], target)
        record = self._record(target, found, slug, checked_return_to(return_to))
        device = Devices(self.rt).trusted(client, found.user_id, found.auth_epoch) if found else None
        lives = self._lives(contact)
        issued = await OneTimeCodes(self.rt).offer(record, lives, limit=KIND, client=client, device=device)
        if issued.to_be_sent:
            await self._end_earlier(issued.record, lives, client, device)
        username = found.username if found else ""
        await Messages(self.rt).send_in_background(
            lambda: self._message(contact, issued, username), name="sign-in message", life=lives.code
        )
        return PasswordlessFlow(flow_id=record.request_id, expires_in=int(lives.record))

    @raises(errors.InvalidOrExpiredCode, *_ENTERING)
    async def confirm_code(
        self, flow_id: str, code: str, *, client: Client | None = None
    ) -> PasswordlessLogin:
        """Sign in by the code of a message; of concurrent calls one succeeds.

        Args:
            flow_id: What ``start`` returned.
            code: The code of the message.
            client: The client that signs in.

        Raises:
            InvalidOrExpiredCode: The code is wrong, used, expired, replaced or another flow's, or the account
                has changed since.
            AccountProofRequired: The contact is not verified, and the account is in use.
            UserBanned, UserDeleted: The code is right, and the user may not act.
            Unavailable: Storage failed. The code is still good.
            AuthError: Any other refusal of ``logins.finish``.
        """
        self.rt.refuse_joining("passwordless.confirm_code")
        try:
            record = await OneTimeCodes(self.rt).redeem_code(KIND, flow_id, None, code)
            return await self._enter(record, errors.InvalidOrExpiredCode, client)
        except (errors.InvalidOrExpiredCode, errors.Unauthenticated) as refusal:
            await Logins(self.rt).note_failure(refusal, client)
            raise

    @raises(errors.InvalidOrExpiredToken, errors.SignInBeganElsewhere, *_ENTERING)
    async def confirm_link(
        self, token: str, *, flow_ids: Collection[str], client: Client | None = None
    ) -> PasswordlessLogin:
        """Sign in by the token of a mailed link, in the browser in which the sign-in began.

        Args:
            token: The token of the link.
            flow_ids: The flow ids that this browser has, from its cookie or the storage of the app. None may
                come from the link or another page.
            client: The client that signs in.

        Raises:
            SignInBeganElsewhere: None of the ids belongs to the link, which stays unused.
            InvalidOrExpiredToken: The token is wrong, used, expired or replaced, or the account has changed.
            AuthError: Any other refusal of ``confirm_code``.
        """
        self.rt.refuse_joining("passwordless.confirm_link")
        try:
            found = await OneTimeCodes(self.rt).find_link(KIND, token)
            if not _is_among(found.request_id, flow_ids):
                raise errors.SignInBeganElsewhere
            record = await OneTimeCodes(self.rt).redeem_link(KIND, token, with_code=True)
            return await self._enter(record, errors.InvalidOrExpiredToken, client)
        except (errors.InvalidOrExpiredToken, errors.Unauthenticated) as refusal:
            await Logins(self.rt).note_failure(refusal, client)
            raise

    def _slug(self, org: str | None) -> str:
        """Return an organization's slug in its normal form: the store keeps no text of any length."""
        if org is None:
            return ""
        if self.rt.config.org_mode != "multi":
            raise errors.OrgModeNotMulti
        return identifiers.org_slug(org)

    def _record(self, target: str, found: Holder | None, org: str, return_to: str) -> Record:
        """Return the record of a flow; one without a user id is never redeemed and never sent."""
        registers = self.rt.config.passwordless_registration
        new_id = identifiers.new_id(self.rt.random_bytes)
        return Record(
            kind=KIND,
            request_id=OneTimeCodes(self.rt).new_request_id(),
            target=target,
            user_id=found.user_id if found else new_id if registers else "",
            auth_epoch=found.auth_epoch if found else 0,
            data={
                NEW: "" if found or not registers else "yes",
                "org": org,
                "return_to": return_to,
            },
        )

    def _lives(self, contact: ContactKind) -> Lives:
        # The link ends with the code of the same message: it is no less a key to the account.
        life = self.rt.config.code_ttl
        return Lives(code=life, record=life, link=life if contact is EMAIL and self.has_links else 0.0)

    async def _end_earlier(
        self, record: Record, lives: Lives, client: Client | None, device: Device | None
    ) -> None:
        """End the flow that this client began before for this contact: no other client can end it."""
        caller = f"device:{device.id}" if device else identifiers.ip_prefix(client.ip if client else None)
        pointer = f"flow:{identifier_digest(self.rt, KIND, record.target)}:{caller}"
        earlier = await self.rt.ephemeral.get(pointer)
        await OneTimeCodes(self.rt).void(KIND, stored_values.text(earlier) or NO_RECORD)
        await self.rt.ephemeral.set(pointer, record.request_id.encode(), lives.record)

    async def _message(self, contact: ContactKind, issued: Issued, username: str) -> None:
        if issued.to_be_sent and issued.record.user_id:
            await Messages(self.rt).sign_in(contact, issued.record.target, username, issued.code, issued.link)

    async def _enter(
        self, record: Record, void: type[errors.AuthError], client: Client | None
    ) -> PasswordlessLogin:
        """Open the session of a redeemed record, which storage failures make valid again."""
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            opened = await account_of(self.rt, record, client) if record.user_id else None
            if opened is None:
                raise void
            holder, created = opened
            await self._forget_limits(record, holder, client)
            first = FirstFactor(
                user_id=holder.user_id,
                auth_epoch=holder.auth_epoch,
                two_factor=holder.two_factor,
                contact=record.target,
            )
            return_to = record.data["return_to"]
            try:
                pair = await Logins(self.rt).finish(
                    first,
                    method=METHOD,
                    amr=_AMR[kind_of(record.target)],
                    org=record.data["org"] or None,
                    client=client,
                )
            except errors.TwoFactorRequired as refusal:
                refusal.metadata.update({"return_to": return_to} if return_to else {})
                raise
        opening = {entry.name: getattr(pair, entry.name) for entry in fields(pair)}
        return PasswordlessLogin(**opening, created=created, return_to=return_to)

    async def _forget_limits(self, record: Record, holder: Holder, client: Client | None) -> None:
        """Let the owner begin again at once, for another session."""
        device = Devices(self.rt).trusted(client, holder.user_id, holder.auth_epoch)
        await SendingLimits(self.rt).forget(KIND, record.target, client, device=device)


def _is_among(flow_id: str, flow_ids: Collection[str]) -> bool:
    wanted = flow_id.encode()
    return any(compare_digest(wanted, shown.encode("utf-8", "replace")) for shown in flow_ids)
