"""The beginning of a registration: a pending record, and a message that says how to go on."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.service import Users
from authkit_issuer.domains.base.codes import Issued, Lives, OneTimeCodes, Record
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.namespace import Namespace
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.signup.accounts import make_account
from authkit_issuer.domains.signup.channels import EMAIL, Channel
from authkit_issuer.domains.signup.records import Pending, PendingCode
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import StoredHash, acceptable


@dataclass(frozen=True, slots=True)
class Starting:
    """Starts registrations over one channel.

    A record is written whatever the address is and whether or not anything is sent, so neither the answer nor
    the work tells who has an account, and every id that was answered can be used: with the code that the
    address got last, or after a resend.
    """

    rt: Runtime
    channel: Channel

    def require_sender(self) -> None:
        """Refuse where a proof is needed and nothing could be sent."""
        if self.rt.config.verification_required:
            Messages(self.rt).require(self.channel.name)

    async def create(
        self, target: str, username: str, password_hash: str, ttl: float | None, client: Client | None
    ) -> PendingCode:
        """Write the record and send the code, or make the account where no proof is required."""
        target = self.channel.normal(target)
        username = identifiers.username(username, reserved=self.rt.config.reserved_usernames)
        if not acceptable(StoredHash(text=password_hash, algo="argon2id")):
            raise errors.InvalidPasswordHash
        if not self.rt.config.verification_required:
            await make_account(self.rt, self.channel, None, target, username, password_hash, verified=False)
            return PendingCode("", registration_id="")
        self.require_sender()
        if not self.rt.config.private_registration:
            # The message is waited for, and leaves before a host's transaction could commit.
            self.rt.refuse_joining(f"registration.create_pending_{self.channel.name}")
        taken, username_taken = await self.conflict(target, username)
        if username_taken:
            raise errors.UsernameInUse(param="username")
        if taken and not self.rt.config.private_registration:
            raise self.channel.in_use(param=self.channel.param)
        data = {"username": username, "password_hash": password_hash, "taken": "yes" if taken else ""}
        issued = await self._issue(target, data, ttl, client)
        await self._send(issued)
        return PendingCode("" if taken else issued.code, registration_id=issued.record.request_id)

    async def conflict(self, target: str, username: str) -> tuple[bool, bool]:
        """Tell whether an account has the address, and whether the name is held by somebody else."""
        target = self.channel.normal(target)
        users = Users(self.rt)
        find = users.get_by_email if self.channel is EMAIL else users.get_by_phone
        taken = await find(target) is not None
        name = username.strip()
        if not identifiers.storable(name):
            return taken, False
        # With organizations a name needs its owner slug as well.
        slugs = [identifiers.owner_slug(name)] if self.rt.config.org_mode == "multi" else []
        if await Namespace(self.rt).is_taken(name.lower(), *slugs):
            return taken, True
        holder = await Pending(self.rt).of_name(name)
        return taken, holder is not None and (holder.kind, holder.target) != (self.channel.kind, target)

    async def resend(self, registration_id: str, client: Client | None) -> None:
        """Give a pending registration a new code, link and life; nothing beyond the limits."""
        self.rt.refuse_joining("registration.resend")
        self.require_sender()
        record = await OneTimeCodes(self.rt).peek(self.channel.kind, registration_id)
        if record is not None:
            await self.renew(record, client)

    async def renew(self, record: Record, client: Client | None) -> None:
        """Send a fresh code for a record that was just read."""
        wait = await SendingLimits(self.rt).count(self.channel.limit, record.target, client)
        if wait:
            if not self.rt.config.private_registration:
                raise errors.TooManyRequests(retry_after=wait)
            return
        lives = self._lives(None)
        issued = await OneTimeCodes(self.rt).renew(record, lives)
        if issued is not None:
            await Pending(self.rt).remember(issued.record, lives.record)
            await self._send(issued)

    async def _issue(
        self, target: str, data: dict[str, str], ttl: float | None, client: Client | None
    ) -> Issued:
        one_time, lives = OneTimeCodes(self.rt), self._lives(ttl)
        record = Record(
            kind=self.channel.kind,
            request_id=one_time.new_request_id(),
            target=target,
            user_id=identifiers.new_id(self.rt.random_bytes),
            data=data,
        )
        issued = await one_time.offer(record, lives, limit=self.channel.limit, client=client)
        if not issued.to_be_sent and not self.rt.config.private_registration:
            raise errors.TooManyRequests(retry_after=self.rt.config.code_cooldown)
        await Pending(self.rt).remember(issued.record, lives.record)
        return issued

    def _lives(self, ttl: float | None) -> Lives:
        return self.channel.lives(self.rt.config, ttl, links=self.rt.senders.verification_links)

    async def _send(self, issued: Issued) -> None:
        """Send the code, or a notice to the owner of a taken address; unseen where it must not show."""
        if not self.rt.config.private_registration:
            await Messages(self.rt).insist(self.channel.name, self._hand_over(issued))
        elif issued.to_be_sent:
            await Messages(self.rt).unseen(lambda: self._hand_over(issued), name="registration message")

    async def _hand_over(self, issued: Issued) -> None:
        record, notices = issued.record, self.rt.senders.security_notice
        if not record.data["taken"]:
            await Messages(self.rt).verification(
                self.channel.name, record.target, record.data["username"], issued.code, issued.link
            )
        elif self.channel is EMAIL and notices is not None:
            await notices.send_security_notice(record.target, "", "registration_attempt")
