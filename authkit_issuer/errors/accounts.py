"""Users, their names, contacts, roles and external identities."""

from __future__ import annotations

from authkit_issuer.errors.categories import Conflict, Invalid, NotFound, Unauthenticated


class UserNotFound(NotFound):
    """No such user; a malformed id counts as no such user."""

    code = "user_not_found"
    default = "User not found."


class UserBanned(Unauthenticated):
    """The account is banned or deleted."""

    code = "user_banned"
    default = "This account may not sign in."


class UserDeleted(UserBanned):
    """The password was right, and the account is deleted; ``metadata`` says since when and the way back."""

    code = "user_deleted"
    default = "This account is deleted."
    auth_epoch: int = 0
    """The epoch of the account as read with the password; the refused client never learns it."""


class UserDisabled(Unauthenticated):
    """The account behind the credential is gone or may no longer act."""

    code = "user_disabled"
    default = "This account is disabled."


class InvalidEmail(Invalid):
    """The text is not an email address this service accepts; the message says which rule it breaks."""

    code = "invalid_email"
    default = "This is not an email address; write one like ada@example.com."


class InvalidPhoneNumber(Invalid):
    """The text is not a phone number in international form; the message says which rule it breaks."""

    code = "invalid_phone_number"
    default = "The phone number must start with + and the country code, as in +4915112345678."


class InvalidIdentifier(Invalid):
    """The text is neither an email address nor an E.164 number nor, where allowed, a user name."""

    code = "invalid_identifier"
    default = "The identifier must be an email address or a phone number."


class UsernameTooShort(Invalid):
    """The user name has fewer than 4 characters."""

    code = "username_too_short"
    default = "The user name must have at least 4 characters."


class UsernameTooLong(Invalid):
    """The user name has more than 30 characters."""

    code = "username_too_long"
    default = "The user name must have at most 30 characters."


class UsernameMustStartWithLetter(Invalid):
    """The first character is not an ASCII letter."""

    code = "username_must_start_with_letter"
    default = "The user name must start with a letter."


class UsernameCannotContainAt(Invalid):
    """The user name holds an ``@`` and could be taken for an email address."""

    code = "username_cannot_contain_at"
    default = "The user name must not contain @."


class UsernameInvalidCharacters(Invalid):
    """The user name holds something else than ASCII letters, digits and underscores."""

    code = "username_invalid_characters"
    default = "The user name may contain only letters, digits and underscores."


class UsernameReserved(Invalid):
    """The user name is kept for the operators."""

    code = "username_reserved"
    default = "This user name is reserved."


class AlreadyConfirmed(Conflict):
    """The code is right and has confirmed its contact before; nothing changed and nothing was opened."""

    code = "already_confirmed"
    default = "This code has been used: the contact is confirmed. Sign in."


class EmailInUse(Invalid):
    """Another account has this email address."""

    code = "email_in_use"
    default = "This email address is in use."


class PhoneInUse(Invalid):
    """Another account has this phone number."""

    code = "phone_in_use"
    default = "This phone number is in use."


class UsernameInUse(Invalid):
    """Another account has, or once had, this user name."""

    code = "username_in_use"
    default = "This user name is in use."


class OwnerSlugTaken(Invalid):
    """The name is taken in the namespace that users and organizations share."""

    code = "owner_slug_taken"
    default = "This name is taken."


class OwnerSlugReserved(Invalid):
    """The name is reserved in the namespace that users and organizations share."""

    code = "owner_slug_reserved"
    default = "This name is reserved."


class InvalidUsernameForOwnerNamespace(Invalid):
    """The user name has no form that could be an owner slug."""

    code = "invalid_username_for_owner_namespace"
    default = "This user name cannot be used as an owner name."


class BiographyTooLong(Invalid):
    """The biography has more than 2000 characters."""

    code = "biography_too_long"
    default = "The biography may have at most 2000 characters."


class InvalidSlug(Invalid):
    """The text cannot be anybody's name."""

    code = "invalid_slug"
    default = "This name cannot be used."


class RoleNotFound(NotFound):
    """The role is not defined."""

    code = "role_not_found"
    default = "Role not found."


class InvalidRoleSlug(Invalid):
    """The text cannot name a role."""

    code = "invalid_role_slug"
    default = "A role name has 1 to 64 of a-z, 0-9, blank, underscore, colon, dot and hyphen."


class ReservedRoleSlug(Invalid):
    """The name belongs to a role that organizations define."""

    code = "reserved_role_slug"
    default = "This role name is reserved."


class CannotRemoveLastAdminRole(Conflict):
    """The service would have no administrator left."""

    code = "cannot_remove_last_admin_role"
    default = "The last administrator keeps the role: give it to another user first."


class OwnAccount(Conflict):
    """An operator named their own account in an operation that closes one."""

    code = "own_account"
    default = "An administrator cannot ban or delete their own account here; another administrator can."


class ProviderAlreadyLinked(Conflict):
    """The login belongs to another account."""

    code = "provider_already_linked"
    default = "This login is linked to another account."


class ProviderNotLinked(NotFound):
    """The account has no login of this provider, or another one."""

    code = "provider_not_linked"
    default = "This login is not linked to the account."


class CannotUnlinkLastLoginMethod(Conflict):
    """The account would have no way left to sign in."""

    code = "cannot_unlink_last_login_method"
    default = "This is the only way to sign in to the account."
