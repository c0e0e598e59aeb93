"""What routes need of a ``Service``: a protocol, for routes of a host that are tested with a stand-in."""

from __future__ import annotations

from typing import Protocol

from authkit_issuer.capabilities.admin import Admin
from authkit_issuer.capabilities.contact_changes import ContactChanges
from authkit_issuer.capabilities.devices import Devices
from authkit_issuer.capabilities.entitlements import Entitlements
from authkit_issuer.capabilities.events import Events
from authkit_issuer.capabilities.lifecycle import Lifecycle
from authkit_issuer.capabilities.logins import Logins
from authkit_issuer.capabilities.oidc_login import OidcLogin
from authkit_issuer.capabilities.org_invites import OrgInvites
from authkit_issuer.capabilities.org_members import OrgMembers
from authkit_issuer.capabilities.orgs import Orgs
from authkit_issuer.capabilities.passwords import Passwords
from authkit_issuer.capabilities.providers import Providers
from authkit_issuer.capabilities.registration import Registration
from authkit_issuer.capabilities.roles import Roles
from authkit_issuer.capabilities.sessions import Sessions
from authkit_issuer.capabilities.solana import Solana
from authkit_issuer.capabilities.tokens import Tokens
from authkit_issuer.capabilities.two_factor import TwoFactor
from authkit_issuer.capabilities.usernames import Usernames
from authkit_issuer.capabilities.users import Users
from authkit_issuer.capabilities.verification import Verification
from authkit_issuer.config import Config


class Provider(Protocol):
    """The capabilities that an HTTP layer calls. Every ``Service`` is one, inside a transaction as well."""

    @property
    def config(self) -> Config:
        """The configuration, normalised."""
        ...

    @property
    def users(self) -> Users:
        """Accounts: create, look up, rename, profile."""
        ...

    @property
    def usernames(self) -> Usernames:
        """Names: whose they are, and free ones."""
        ...

    @property
    def lifecycle(self) -> Lifecycle:
        """Bans and deletions."""
        ...

    @property
    def registration(self) -> Registration:
        """Accounts that are being proved."""
        ...

    @property
    def verification(self) -> Verification:
        """Proving an address or number of an account."""
        ...

    @property
    def contact_changes(self) -> ContactChanges:
        """A new address or number."""
        ...

    @property
    def passwords(self) -> Passwords:
        """Setting, proving and resetting passwords."""
        ...

    @property
    def two_factor(self) -> TwoFactor:
        """The second factor."""
        ...

    @property
    def logins(self) -> Logins:
        """Finished and half-finished logins."""
        ...

    @property
    def devices(self) -> Devices:
        """Browsers in which somebody signed in before."""
        ...

    @property
    def oidc_login(self) -> OidcLogin:
        """Logins at external providers."""
        ...

    @property
    def solana(self) -> Solana:
        """Logins by a wallet."""
        ...

    @property
    def providers(self) -> Providers:
        """Which external logins belong to whom."""
        ...

    @property
    def sessions(self) -> Sessions:
        """Refresh sessions."""
        ...

    @property
    def tokens(self) -> Tokens:
        """Access tokens and the published keys."""
        ...

    @property
    def roles(self) -> Roles:
        """Global roles."""
        ...

    @property
    def orgs(self) -> Orgs:
        """Organisations and their roles."""
        ...

    @property
    def org_members(self) -> OrgMembers:
        """Who belongs to which organisation."""
        ...

    @property
    def org_invites(self) -> OrgInvites:
        """Invites into organisations."""
        ...

    @property
    def entitlements(self) -> Entitlements:
        """What users may use, asked of the host."""
        ...

    @property
    def events(self) -> Events:
        """The audit trail."""
        ...

    @property
    def admin(self) -> Admin:
        """What operators do and see."""
        ...

    @property
    def has_email_sender(self) -> bool:
        """Tell whether mails can be sent."""
        ...

    @property
    def has_sms_sender(self) -> bool:
        """Tell whether text messages can be sent."""
        ...
