"""The methods of an ``EmailSender``, each as the content of one kind of mail."""

from __future__ import annotations

from abc import ABC, abstractmethod

from authkit_issuer.ports import Circumstances, RecoveryNotice
from authkit_issuer.senders.content import Content


class MailKinds(ABC):
    """An ``EmailSender`` with security notices; a subclass sends the mail."""

    base_url: str | None = None
    """The site whose pages the links of a mail open."""

    @abstractmethod
    async def _mail(self, email: str, content: Content) -> None:
        """Send one mail."""

    async def send_password_reset_code(self, email: str, username: str, code: str) -> None:
        """See ``EmailSender``."""
        await self._mail(email, Content(kind="password_reset_code", username=username, code=code))

    async def send_email_verification_code(self, email: str, username: str, code: str) -> None:
        """See ``EmailSender``."""
        await self._mail(email, Content(kind="email_verification_code", username=username, code=code))

    async def send_login_code(self, email: str, username: str, code: str) -> None:
        """See ``EmailSender``."""
        await self._mail(email, Content(kind="login_code", username=username, code=code))

    async def send_sign_in_code(self, email: str, username: str, code: str) -> None:
        """See ``EmailSenderWithSignInCode``."""
        await self._mail(email, Content(kind="sign_in_code", username=username, code=code))

    async def send_welcome(self, email: str, username: str) -> None:
        """See ``EmailSender``."""
        await self._mail(email, Content(kind="welcome", username=username, account_url=self._page("account")))

    async def send_security_notice(self, email: str, username: str, kind: str) -> None:
        """See ``EmailSenderWithSecurityNotice``."""
        await self._mail(email, Content(kind=kind, username=username, account_url=self._page("account")))

    async def send_event_notice(
        self, email: str, username: str, kind: str, circumstances: Circumstances
    ) -> None:
        """See ``EmailSenderWithEventNotice``."""
        page = self._page("account")
        await self._mail(
            email, Content(kind=kind, username=username, circumstances=circumstances, account_url=page)
        )

    def _page(self, page: str) -> str:
        return f"{self.base_url.rstrip('/')}/{page}" if self.base_url else ""


class LinkKinds(MailKinds):
    """A ``MailKinds`` that also mails links to pages of your site, which post the token to the API.

    The token is in the fragment (``/verify-email#token=...``, ``/reset-password#token=...``,
    ``/cancel-recovery#token=...``, ``/sign-in#token=...``), and so is the id of an invite
    (``/invite#invite=...``): a browser sends that to no server and in no ``Referer``.
    """

    async def send_password_reset_link(self, email: str, username: str, token: str) -> None:
        """See ``EmailSenderWithPasswordResetLink``."""
        link = f"{self._page('reset-password')}#token={token}"
        await self._mail(email, Content(kind="password_reset_link", username=username, link=link))

    async def send_email_verification_link(self, email: str, username: str, token: str) -> None:
        """See ``EmailSenderWithVerificationLink``."""
        link = f"{self._page('verify-email')}#token={token}"
        await self._mail(email, Content(kind="email_verification_link", username=username, link=link))

    async def send_email_verification(self, email: str, username: str, code: str, token: str) -> None:
        """See ``EmailSenderWithCodeAndLink``."""
        link = f"{self._page('verify-email')}#token={token}"
        await self._mail(email, Content(kind="email_verification", username=username, code=code, link=link))

    async def send_recovery_notice(self, email: str, username: str, notice: RecoveryNotice) -> None:
        """See ``EmailSenderWithRecoveryNotice``."""
        content = Content(
            kind=notice.kind,
            username=username,
            link=f"{self._page('cancel-recovery')}#token={notice.token}" if notice.token else "",
            completes_at=notice.completes_at,
            circumstances=notice.circumstances,
            account_url=self._page("account"),
        )
        await self._mail(email, content)

    async def send_sign_in_link(self, email: str, username: str, code: str, token: str) -> None:
        """See ``EmailSenderWithSignInLink``."""
        link = f"{self._page('sign-in')}#token={token}"
        await self._mail(email, Content(kind="sign_in_link", username=username, code=code, link=link))

    async def send_org_invite(
        self, email: str, username: str, org: str, inviter: str, invite_id: str
    ) -> None:
        """See ``EmailSenderWithOrgInvite``."""
        link = f"{self._page('invite')}#invite={invite_id}"
        content = Content(kind="org_invite", username=username, link=link, org=org, inviter=inviter)
        await self._mail(email, content)
