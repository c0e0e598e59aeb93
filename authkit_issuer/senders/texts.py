"""What the mails say, in English. ``{name}`` is empty or a blank and the user name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Subject and body of one kind of mail; ``{name}``, ``{code}``, ``{link}``, ``{kind}`` are filled in."""

    subject: str
    body: str


_IGNORE = "If you did not ask for this, you can ignore this mail.\n"
_NOT_YOU = "If this was not you, change your password and end your other sessions.\n"

ENGLISH = {
    "email_verification_code": Text(
        "Your verification code", f"Hello{{name}},\n\nyour verification code is {{code}}.\n\n{_IGNORE}"
    ),
    "email_verification_link": Text(
        "Confirm your email address",
        f"Hello{{name}},\n\nfollow this link to confirm your email address:\n\n{{link}}\n\n{_IGNORE}",
    ),
    "email_verification": Text(
        "Confirm your email address",
        "Hello{name},\n\nyour verification code is {code}. You can also follow this link:\n\n{link}\n\n"
        + _IGNORE,
    ),
    "password_reset_code": Text(
        "Reset your password", f"Hello{{name}},\n\nyour password reset code is {{code}}.\n\n{_IGNORE}"
    ),
    "password_reset_link": Text(
        "Reset your password",
        f"Hello{{name}},\n\nfollow this link to choose a new password:\n\n{{link}}\n\n{_IGNORE}",
    ),
    "login_code": Text(
        "Your sign-in code",
        "Hello{name},\n\nyour sign-in code is {code}.\n\n"
        "If you are not signing in right now, somebody knows your password: change it.\n",
    ),
    "welcome": Text("Welcome", "Hello{name},\n\nyour account is ready.\n"),
    "registration_attempt": Text(
        "You already have an account",
        "Hello,\n\nsomebody tried to register with this email address, which has an account already.\n"
        "If it was you, sign in or reset your password. Otherwise you can ignore this mail.\n",
    ),
    "email_change_requested": Text(
        "Your email address is to be changed",
        f"Hello{{name}},\n\na change of your account's email address was requested.\n\n{_NOT_YOU}",
    ),
    "email_changed": Text(
        "Your email address was changed",
        f"Hello{{name}},\n\nyour account now has another email address.\n\n{_NOT_YOU}",
    ),
    "phone_change_requested": Text(
        "Your phone number is to be changed",
        f"Hello{{name}},\n\na change of your account's phone number was requested.\n\n{_NOT_YOU}",
    ),
    "phone_changed": Text(
        "Your phone number was changed",
        f"Hello{{name}},\n\nyour account now has another phone number.\n\n{_NOT_YOU}",
    ),
    "two_factor_email_changed": Text(
        "Your sign-in codes come here now",
        "Hello{name},\n\nthe sign-in codes of your account are sent to this address from now on.\n",
    ),
    "new_device": Text(
        "A new sign-in to your account",
        f"Hello{{name}},\n\nsomebody signed in to your account on a device that is new to us.\n\n{_NOT_YOU}",
    ),
    "security_notice": Text(
        "A change to your account",
        f"Hello{{name}},\n\nthis happened to your account: {{kind}}.\n\n{_NOT_YOU}",
    ),
}
"""By kind of mail; a notice of another kind is worded as ``security_notice``."""
