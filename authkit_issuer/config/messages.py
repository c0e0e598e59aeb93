"""The checks of the settings of mails and SMS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from authkit_issuer.errors import ConfigError, InvalidEmail
from authkit_issuer.identifiers import email, is_calling_code

if TYPE_CHECKING:
    from authkit_issuer.config import Config

ANY_COUNTRY = "*"
_COLOR = re.compile(r"#[0-9a-f]{6}")


def check_messages(config: Config) -> None:
    """Raise ``ConfigError`` for the first setting that cannot work."""
    if config.smtp_url is not None and not config.smtp_from:
        raise ConfigError("smtp_from is empty although smtp_url is set: set the sender of the mails.")
    for code in config.sms_countries:
        if code != ANY_COUNTRY and not is_calling_code(code):
            raise ConfigError(f"sms_countries: {code!r} is not a country calling code; write one such as 49.")
    if not 0 <= config.sms_min_used_share <= 1:
        raise ConfigError(f"sms_min_used_share is {config.sms_min_used_share}: it must be from 0 to 1.")
    _check_sms_url(config.sms_url or "")
    if config.sms_url is not None:
        require_countries(config)
    _check_brand(config)


def require_countries(config: Config) -> None:
    """Raise ``ConfigError`` where SMS may go to every country without that having been said."""
    if config.is_production and not config.sms_countries:
        raise ConfigError(
            "sms_countries is empty although SMS are sent: set the calling codes of your users' countries, "
            "such as 49,43, because bots request SMS to expensive numbers; * allows every country."
        )


def _check_sms_url(url: str) -> None:
    try:
        urlsplit(url)
    except ValueError:  # not quoted: it holds the secret of the account
        raise ConfigError(
            "sms_url cannot be read: write twilio://KEY:SECRET@ACCOUNT or webhook+https://host/path."
        ) from None


def sends_by_verify_alone(config: Config) -> bool:
    """True if the SMS of ``sms_url`` can hold no code of more than ten characters."""
    parts = urlsplit(config.sms_url or "")
    options = {name for name, _ in parse_qsl(parts.query)}
    return parts.scheme == "twilio" and "verify" in options and not options & {"from", "messaging_service"}


def _check_brand(config: Config) -> None:
    if not _COLOR.fullmatch(config.brand_color):
        raise ConfigError(f"brand_color is {config.brand_color!r}: write six hex digits, such as #3459d8.")
    if config.brand_logo_url and not _is_https(config.brand_logo_url):
        raise ConfigError(
            f"brand_logo_url is {config.brand_logo_url!r}: set an https URL, as mail programs load no other."
        )
    if config.brand_support and not (_is_https(config.brand_support) or _is_email(config.brand_support)):
        raise ConfigError(f"brand_support is {config.brand_support!r}: set an email address or an https URL.")
    for name in ("brand_name", "brand_footer"):
        if not getattr(config, name).isprintable():
            raise ConfigError(f"{name} has a line break or control character: write it on one line.")


def _is_https(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme == "https" and bool(parts.hostname) and text.isprintable() and " " not in text


def _is_email(text: str) -> bool:
    try:
        return email(text) == text.lower()
    except InvalidEmail:
        return False
