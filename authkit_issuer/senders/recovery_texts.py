"""The texts of SMS messages about a recovery, one line in the language of the client."""

from __future__ import annotations

from authkit_issuer.ports import RecoveryNotice, language

_TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "recovery_requested": "account recovery without your second factors was requested.",
        "recovery_waiting": "account recovery without your second factors is still open.",
        "recovery_cancelled": "account recovery was cancelled. Not you who asked? Change your password.",
        "recovery_completed": "account recovery removed your second factors. Not you? Reset your password.",
        "account_recovered": "support gave your account to a new contact. Not you? Contact us at once.",
        "until": "It completes on {moment} UTC.",
        "cancel": "Not you? Cancel: {link}",
        "no link": "Not you? Change your password, which ends it.",
    },
    "de": {
        "recovery_requested": "Kontowiederherstellung ohne Ihre zweiten Faktoren wurde angefordert.",
        "recovery_waiting": "Kontowiederherstellung ohne Ihre zweiten Faktoren ist noch offen.",
        "recovery_cancelled": "Kontowiederherstellung abgebrochen. Nicht angefordert? Passwort ändern.",
        "recovery_completed": "Ihre zweiten Faktoren wurden entfernt. Nicht Sie? Passwort zurücksetzen.",
        "account_recovered": "Ihr Konto ging an einen neuen Kontakt. Nicht Sie? Melden Sie sich bei uns.",
        "until": "Ab {moment} UTC möglich.",
        "cancel": "Nicht Sie? Abbrechen: {link}",
        "no link": "Nicht Sie? Ein neues Passwort beendet sie.",
    },
}


def recovery_text(
    notice: RecoveryNotice, *, brand: str, base_url: str | None = None, fallback: str = "en"
) -> str:
    """Return the text of a notice, with the link that cancels if there is a site that it can lead to."""
    tag = language.get().lower().partition("-")[0]
    texts = _TEXTS.get(tag) or _TEXTS.get(fallback) or _TEXTS["en"]
    parts = [f"{brand}: {texts[notice.kind]}"]
    if notice.completes_at is not None:
        parts.append(texts["until"].format(moment=f"{notice.completes_at:%Y-%m-%d %H:%M}"))
        link = f"{base_url.rstrip('/')}/cancel-recovery#token={notice.token}" if base_url else ""
        parts.append(texts["cancel"].format(link=link) if link and notice.token else texts["no link"])
    return " ".join(parts)
