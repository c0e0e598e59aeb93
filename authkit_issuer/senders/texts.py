"""The English texts of mails; ``{name}`` is empty, or a blank and the user name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Subject and body of a mail; ``{name}``, ``{code}``, ``{link}`` and ``{kind}`` are filled in.

    An invitation has ``{org}`` and ``{inviter}`` as well.
    """

    subject: str
    body: str


_IGNORE = "If you did not request this, ignore this mail.\n"
_NOT_YOURS = "If this was not you or another owner, look at its members now.\n"
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
    "test": Text("Test", "This mail was sent by `authkit mail test`. Mails of this service arrive.\n"),
    "welcome": Text("Welcome", "Hello{name},\n\nYour account is ready.\n"),
    "registration_attempt": Text(
        "You already have an account",
        "Hello,\n\nSomeone tried to register with this email address, which already has an account.\n"
        "If it was you, sign in or reset your password. Otherwise ignore this mail.\n",
    ),
    "registration_attempt_deleted": Text(
        "Your account is deleted",
        "Hello,\n\nSomeone tried to register with this email address, whose account is deleted.\n"
        "If you deleted it, you can still restore it: sign in with its password, or reset that first. After\n"
        "the account is erased, the address can register again. If it was not you, ignore this mail.\n",
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
    "password_changed": Text(
        "Your password was changed",
        "Hello{name},\n\nThe password of your account was changed.\n\n"
        "If this was not you, reset your password and end your other sessions.\n",
    ),
    "username_changed": Text(
        "Your user name was changed",
        f"Hello{{name}},\n\nThe user name of your account was changed.\n\n{_NOT_YOU}",
    ),
    "phone_verified": Text(
        "Your phone number was verified",
        "Hello{name},\n\nA phone number of your account was verified. It can now reset your password.\n\n"
        + _NOT_YOU,
    ),
    "provider_linked": Text(
        "A sign-in method was added to your account",
        f"Hello{{name}},\n\nAn external login or wallet now signs in to your account.\n\n{_NOT_YOU}",
    ),
    "provider_unlinked": Text(
        "A sign-in method was removed from your account",
        f"Hello{{name}},\n\nAn external login or wallet no longer signs in to your account.\n\n{_NOT_YOU}",
    ),
    "logins_frozen": Text(
        "Confirm the sign-in methods of your account",
        "Hello{name},\n\nYou proved for the first time that this contact is yours. External logins, wallets "
        "and the second factor that were in your account before no longer count, and another email address "
        "or phone number of the account is unverified.\n\n"
        "Sign in, then confirm those that are yours and remove the others.\n",
    ),
    "codes_guessed": Text(
        "Wrong codes were entered for your account",
        "Hello{name},\n\nMany wrong codes in a row were entered for your account.\n\n"
        "If this was not you, another person may know your password: change it.\n",
    ),
    "two_factor_enabled": Text(
        "Two-factor sign-in was turned on",
        f"Hello{{name}},\n\nYour account now asks for a second factor at sign-in.\n\n{_NOT_YOU}",
    ),
    "two_factor_disabled": Text(
        "Two-factor sign-in was turned off",
        f"Hello{{name}},\n\nYour account no longer asks for a second factor at sign-in.\n\n{_NOT_YOU}",
    ),
    "two_factor_backup_code_used": Text(
        "A backup code was used",
        f"Hello{{name}},\n\nA backup code of your account was used. It is no longer valid.\n\n{_NOT_YOU}",
    ),
    "two_factor_backup_codes_made": Text(
        "New backup codes were made",
        "Hello{name},\n\nNew backup codes were made for your account. The earlier ones are no longer valid."
        f"\n\n{_NOT_YOU}",
    ),
    "session_evicted": Text(
        "One of your sessions was ended",
        "Hello{name},\n\nYour account has reached its number of sessions. A new sign-in ended the session "
        f"that was unused for the longest time.\n\n{_NOT_YOU}",
    ),
    "session_replayed": Text(
        "One of your sessions was ended",
        "Hello{name},\n\nAn old token of one of your sessions was presented again. The session may have been "
        f"copied, so it was ended.\n\n{_NOT_YOU}",
    ),
    "session_shared": Text(
        "One of your sessions is used from two places",
        "Hello{name},\n\nOne of your sessions was renewed from another device or network at the same time."
        f"\n\n{_NOT_YOU}",
    ),
    "role_assigned": Text(
        "Your account has a new role", "Hello{name},\n\nYour account was given a new role.\n"
    ),
    "role_removed": Text(
        "Your account has lost a role", "Hello{name},\n\nA role of your account was removed.\n"
    ),
    "account_banned": Text(
        "Your account was suspended",
        "Hello{name},\n\nYour account was suspended and signed out everywhere.\n",
    ),
    "account_unbanned": Text(
        "Your account is no longer suspended", "Hello{name},\n\nYou can sign in to your account again.\n"
    ),
    "erasure_requested": Text(
        "Your account will be erased",
        "Hello{name},\n\nThe erasure of your deleted account was requested, and takes place shortly.\n\n"
        "If this was not you, contact the service at once.\n",
    ),
    "account_deleted": Text(
        "Your account was deleted",
        "Hello{name},\n\nYour account was deleted and signed out everywhere.\n\n"
        "If you deleted it, you can restore it with your password until it is erased.\n"
        "If this was not you, contact the service before that.\n",
    ),
    "account_restored": Text(
        "Your account was restored", "Hello{name},\n\nYour account was restored. You can sign in again.\n"
    ),
    "account_erased": Text(
        "Your account was erased", "Hello{name},\n\nYour account and its data were erased.\n"
    ),
    "org_invite": Text(
        "An invitation to join an organization",
        "Hello{name},\n\n{inviter} invites you to the organization {org}. Follow this link to answer:\n\n"
        "{link}\n\nIf you do not know the organization, ignore this mail.\n",
    ),
    "org_renamed": Text(
        "Your organization has a new name",
        f"Hello{{name}},\n\nAn organization that you own was renamed.\n\n{_NOT_YOURS}",
    ),
    "org_deleted": Text(
        "Your organization was deleted",
        f"Hello{{name}},\n\nAn organization that you own was deleted.\n\n{_NOT_YOURS}",
    ),
    "org_owner_added": Text(
        "Your organization has a new owner",
        f"Hello{{name}},\n\nAn organization that you own has a new owner.\n\n{_NOT_YOURS}",
    ),
    "org_owner_removed": Text(
        "An owner of your organization was removed",
        "Hello{name},\n\nAn owner of an organization of yours is an owner no more.\n\n" + _NOT_YOURS,
    ),
    "security_notice": Text(
        "A change to your account",
        f"Hello{{name}},\n\nYour account was changed: {{kind}}.\n\n{_NOT_YOU}",
    ),
}
"""Texts by kind of mail; a notice of another kind uses ``security_notice``."""
