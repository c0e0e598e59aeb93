"""The senders that the settings describe."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authkit_issuer.config import Config
from authkit_issuer.errors import ConfigError
from authkit_issuer.ports import Clock, RandomBytes, Senders
from authkit_issuer.senders.brand import Brand
from authkit_issuer.senders.inbox import Inbox
from authkit_issuer.senders.mails import Mails
from authkit_issuer.senders.twilio import TwilioAccount, TwilioSender, TwilioTextSender
from authkit_issuer.senders.webhook import SCHEMES, WebhookSender, WebhookTarget

if TYPE_CHECKING:
    from authkit_issuer.senders.smtp import SmtpSender


def brand_name(config: Config) -> str:
    """Return the name of the service in its messages."""
    return config.brand_name or urlsplit(config.base_url or config.issuer).hostname or config.issuer


def mails(config: Config) -> Mails:
    """Return the templates of mails, read from ``mail_templates`` where that is set; blocks for the disk."""
    brand = Brand(
        name=brand_name(config),
        logo_url=config.brand_logo_url,
        color=config.brand_color,
        support=config.brand_support,
        footer=config.brand_footer,
    )
    return Mails(brand, folder=config.mail_templates, language=config.mail_language)


def mail_sender(config: Config, templates: Mails, clock: Clock, random_bytes: RandomBytes) -> SmtpSender:
    """Return the sender of ``smtp_url``; raises ``ConfigError`` if it cannot be used or is not set."""
    if config.smtp_url is None:
        raise ConfigError("AUTHKIT_SMTP_URL is not set: set it, such as smtps://user:password@host.")
    # The client comes with an extra; who sends in another way need not have it.
    try:
        from authkit_issuer.senders.smtp import Mailing, SmtpLinkSender, SmtpSender  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError('smtp_url needs the SMTP client: install "asgi-authkit[server]".') from error
    mailing = Mailing(
        url=config.smtp_url,
        allow_plain=config.smtp_allow_plain,
        sender=config.smtp_from,
        mails=templates,
        timeout=config.send_timeout,
        clock=clock,
        random_bytes=random_bytes,
    )
    return SmtpLinkSender(mailing, config.link_base_url) if config.link_base_url else SmtpSender(mailing)


def sms_sender(config: Config, clock: Clock, random_bytes: RandomBytes) -> TwilioSender | WebhookSender:
    """Return the sender of ``sms_url``; raises ``ConfigError`` if it cannot be used or is not set."""
    if config.sms_url is None:
        raise ConfigError("AUTHKIT_SMS_URL is not set: set it, such as webhook+https://app.example.com/sms.")
    brand, scheme = brand_name(config), config.sms_url.partition("://")[0]
    if scheme == "twilio":
        account, tag = TwilioAccount.parse(config.sms_url, config.sms_secret or ""), config.mail_language
        if not (account.sender or account.messaging_service):
            return TwilioSender(account, brand=brand, language=tag)
        return TwilioTextSender(account, brand=brand, language=tag, base_url=config.link_base_url)
    if scheme in SCHEMES:
        loopback = not config.is_production
        target = WebhookTarget.parse(config.sms_url, config.sms_secret or "", http_loopback=loopback)
        return WebhookSender(
            target,
            brand=brand,
            language=config.mail_language,
            base_url=config.link_base_url,
            clock=clock,
            random_bytes=random_bytes,
        )
    raise ConfigError("sms_url must begin with twilio:// or webhook+https://.")


def require_sign_in_links(config: Config, senders: Senders) -> None:
    """Raise ``ConfigError`` where mails are to have sign-in links, and the sender of mails sends none."""
    if config.passwordless not in {"link", "both"} or senders.email is None or senders.sign_in_link:
        return
    raise ConfigError(
        f"passwordless is {config.passwordless!r} and the mail sender has no links: set link_base_url, the "
        "site of the links, give your sender send_sign_in_link, or set passwordless to code."
    )


def development_inbox(config: Config, templates: Mails, clock: Clock) -> Inbox:
    """Return the inbox that takes every message in place of senders."""
    address = config.link_base_url or config.base_url or config.issuer
    return Inbox(clock, templates, address, brand=brand_name(config))
