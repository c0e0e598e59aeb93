"""What routes need of a ``Service``: a protocol, for routes of a host that are tested with a stand-in."""

from __future__ import annotations

from typing import Protocol

from authkit_issuer.config import Config
from authkit_issuer.domains.accounts.external_identities import Providers
from authkit_issuer.domains.accounts.roles import Roles
from authkit_issuer.domains.accounts.service import Users
from authkit_issuer.domains.accounts.usernames import Usernames
from authkit_issuer.domains.admin.service import Admin
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.factors.service import TwoFactor
from authkit_issuer.domains.lifecycle.service import Lifecycle
from authkit_issuer.domains.login.external.service import OidcLogin
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.domains.login.solana.service import Solana
from authkit_issuer.domains.orgs.invites import OrgInvites
from authkit_issuer.domains.orgs.members import OrgMembers
from authkit_issuer.domains.orgs.service import Orgs
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.domains.signup.contact_changes import ContactChanges
from authkit_issuer.domains.signup.service import Registration
from authkit_issuer.domains.signup.verification import Verification
from authkit_issuer.domains.tokens.service import Tokens


class Provider(Protocol):
    """The capabilities that an HTTP layer calls. Every ``Service`` is one, inside a transaction as well."""

    @property
    def config(self) -> Config:
        """The configuration, normalized."""
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
        """Organizations and their roles."""
        ...

    @property
    def org_members(self) -> OrgMembers:
        """Who belongs to which organization."""
        ...

    @property
    def org_invites(self) -> OrgInvites:
        """Invites into organizations."""
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
        """Tell whether SMS messages can be sent."""
        ...
