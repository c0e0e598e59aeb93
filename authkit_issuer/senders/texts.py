"""The English texts of mails; ``{name}`` is empty, or a blank and the user name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Subject and body of a mail; ``{name}``, ``{code}``, ``{link}`` and ``{kind}`` are filled in."""

    subject: str
    body: str


_IGNORE = "If you did not request this, ignore this mail.\n"
_NOT_YOU = "If this was not you, change your password and end your other sessions.\n"

ENGLISH = {
    "email_verification_code": Text(
        "Your verification code", f"Hello{{name}},\n\nYour verification code is {{code}}.\n\n{_IGNORE}"
    ),
    "email_verification_link": Text(
        "Confirm your email address",
        f"Hello{{name}},\n\nFollow this link to confirm your email address:\n\n{{link}}\n\n{_IGNORE}",
    ),
    "email_verification": Text(
        "Confirm your email address",
        "Hello{name},\n\nYour verification code is {code}. You can also follow this link:\n\n{link}\n\n"
        + _IGNORE,
    ),
    "password_reset_code": Text(
        "Reset your password", f"Hello{{name}},\n\nYour password reset code is {{code}}.\n\n{_IGNORE}"
    ),
    "password_reset_link": Text(
        "Reset your password",
        f"Hello{{name}},\n\nFollow this link to choose a new password:\n\n{{link}}\n\n{_IGNORE}",
    ),
    "login_code": Text(
        "Your sign-in code",
        "Hello{name},\n\nYour sign-in code is {code}.\n\n"
        "If you are not signing in right now, someone else knows your password: change it.\n",
    ),
    "welcome": Text("Welcome", "Hello{name},\n\nYour account is ready.\n"),
    "registration_attempt": Text(
        "You already have an account",
        "Hello,\n\nSomeone tried to register with this email address, which already has an account.\n"
        "If it was you, sign in or reset your password. Otherwise ignore this mail.\n",
    ),
    "email_change_requested": Text(
        "Change of your email address requested",
        f"Hello{{name}},\n\nA change of your account's email address was requested.\n\n{_NOT_YOU}",
    ),
    "email_changed": Text(
        "Your email address was changed",
        f"Hello{{name}},\n\nYour account now has a new email address.\n\n{_NOT_YOU}",
    ),
    "phone_change_requested": Text(
        "Change of your phone number requested",
        f"Hello{{name}},\n\nA change of your account's phone number was requested.\n\n{_NOT_YOU}",
    ),
    "phone_changed": Text(
        "Your phone number was changed",
        f"Hello{{name}},\n\nYour account now has a new phone number.\n\n{_NOT_YOU}",
    ),
    "two_factor_email_changed": Text(
        "Sign-in codes now come to this address",
        "Hello{name},\n\nFrom now on, sign-in codes for your account are sent to this address.\n",
    ),
    "new_device": Text(
        "A new sign-in to your account",
        f"Hello{{name}},\n\nThere was a sign-in to your account from a new device.\n\n{_NOT_YOU}",
    ),
    "security_notice": Text(
        "A change to your account",
        f"Hello{{name}},\n\nYour account was changed: {{kind}}.\n\n{_NOT_YOU}",
    ),
}
"""Texts by kind of mail; a notice of another kind uses ``security_notice``."""
