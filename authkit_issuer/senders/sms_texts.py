"""The texts of SMS messages, one line in the language of the client."""

from __future__ import annotations

from typing import Literal

from authkit_issuer.ports import language, web_host

SmsKind = Literal["verification_code", "login_code"]

_TEXTS: dict[str, dict[SmsKind, str]] = {
    "en": {
        "verification_code": "{brand}: your verification code is {code}.",
        "login_code": "{brand}: your sign-in code is {code}.",
    },
    "de": {
        "verification_code": "{brand}: Ihr Bestätigungscode lautet {code}.",
        "login_code": "{brand}: Ihr Anmeldecode lautet {code}.",
    },
}


def sms_text(kind: SmsKind, code: str, *, brand: str, fallback: str = "en") -> str:
    """Return the text of a code, with the line that a browser fills in by if a page asked for it.

    That line (origin-bound one-time codes) names the host of the page, so that the browser offers the code
    to no other.
    """
    tag = language.get().lower().partition("-")[0]
    texts = _TEXTS.get(tag) or _TEXTS.get(fallback) or _TEXTS["en"]
    text = texts[kind].format(brand=brand, code=code)
    host = web_host.get()
    return f"{text}\n\n@{host} #{code}" if host else text
