"""The configuration of a service: one frozen value, checked when it is built.

Durations are seconds; a ``timedelta`` is accepted and converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Unpack

from authkit_issuer.config.checks import (
    MAX_ARGON2_LANES,
    MAX_ARGON2_MEMORY_KIB,
    MAX_ARGON2_TIME,
    check,
    check_urls,
)
from authkit_issuer.config.environment import (
    DEVELOPMENT,
    environment_name,
    is_dev_environment,
    process_environment,
)
from authkit_issuer.config.fields import ConfigFields
from authkit_issuer.config.normal_forms import normalized
from authkit_issuer.config.passkeys import default_origins, default_rp_name
from authkit_issuer.config.providers import ProviderConfig, issuer_of
from authkit_issuer.config.settings import REQUIRED, check_names, read
from authkit_issuer.errors import ConfigError
from authkit_issuer.identifiers import DEFAULT_RESERVED_USERNAMES
from authkit_issuer.keys import KeySource

if TYPE_CHECKING:
    from typing import Self

    from authkit_issuer.keys import KeySource

__all__ = [
    "DEFAULT_DELETED_RETENTION",
    "MAX_ARGON2_LANES",
    "MAX_ARGON2_MEMORY_KIB",
    "MAX_ARGON2_TIME",
    "Config",
    "Options",
    "OrgMode",
    "ProviderConfig",
    "environment_name",
    "is_dev_environment",
    "process_environment",
]

OrgMode = Literal["single", "multi"]
TwoFactorPolicy = Literal["off", "optional", "required"]
PasswordlessMode = Literal["off", "code", "link", "both"]
SameSite = Literal["lax", "strict", "none"]

_DAY = 86_400.0
DEFAULT_DELETED_RETENTION = 30 * _DAY
"""Seconds until a deleted account or organization is purged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of a ``Service``.

    Durations are seconds. ``ConfigError`` names the field, its value and the remedy.
    """

    issuer: str
    """The ``iss`` of every token (RFC 7519 section 4.1.1); compared byte for byte, never rewritten.
    An ``https`` URL without a slash at the end."""
    issued_audiences: tuple[str, ...]
    """The ``aud`` of every access token."""
    expected_audiences: tuple[str, ...] = ()
    """The audiences that this service's own routes accept; empty means the issued ones."""
    client_id: str = ""
    """The ``client_id`` claim (RFC 9068 section 2.2); empty means the first issued audience."""
    environment: str | None = None
    """The name of the environment, such as ``production``; None reads it from the process, once."""
    dev: bool = False
    """Opens the development inbox, writes codes to the log and loosens limits; refused in production, and for
    an ``issuer`` on the public Internet."""
    base_url: str | None = None
    """The public URL of this service: redirect URIs, metadata and cookie paths are built from it.
    Required with ``providers``."""
    route_prefix: str = "/auth"
    """The first part of the paths of routes; ``""`` if a host mounts the application at its own ``/auth``.
    ``/.well-known``, ``/docs`` and the like do not have it."""
    org_mode: OrgMode = "single"
    """``multi`` offers organizations; ``single`` has none."""
    providers: Mapping[str, ProviderConfig] = field(
        default_factory=dict[str, ProviderConfig], repr=False, hash=False
    )
    """External logins by name: ``google``, ``apple``, ``discord``, ``github``, or any with an ``issuer``.
    In the environment JSON, such as ``{"google": {"client_id": "...", "client_secret": "..."}}``."""
    login_callback_url: str | None = None
    """The app's page where external logins end; None is ``/login/callback`` of ``link_base_url``, else of
    ``base_url``."""
    oidc_fragment_tokens: bool = False
    """Gives that page the tokens themselves in place of a one-time code, as older apps expect."""

    database_url: str | None = field(default=None, repr=False)
    """The PostgreSQL database, as ``postgresql://user:password@host/database``; None opens none."""
    database_read_url: str | None = field(default=None, repr=False)
    """A replica for reads that may be a moment old: the directory of users and the audit trail; None reads
    everything from ``database_url``."""
    database_schema: str = "profiles"
    """The schema that holds every table; a lower-case identifier."""
    database_pool_size: int = 16
    """The most connections to the database that one process opens."""
    database_pool_min: int = 1
    """Connections that stay open without requests."""
    database_connect_timeout: float = 5.0
    """Seconds that one host of the database has to accept a connection; the next host is asked after half a
    second."""
    database_command_timeout: float = 10.0
    """Seconds that the process waits for one statement."""
    database_lock_timeout: float | None = 2.5
    """Seconds that a statement waits for a lock before the answer is ``database_unavailable``; None sets
    nothing for the session."""
    database_statement_timeout: float | None = 30.0
    """Seconds after which the server ends a statement, even of a process that is gone; None sets nothing."""
    database_statement_cache: bool = True
    """Turn it off behind a connection pooler in transaction mode that supports no prepared statements."""
    redis_url: str | None = field(default=None, repr=False)
    """The Redis for codes, counters and rate limits, with ``maxmemory-policy noeviction``; None keeps them in
    the memory of one process.

    Sentinel is ``redis+sentinel://host1,host2,host3/mymaster``, a Cluster ``redis+cluster://host1,host2``."""
    redis_timeout: float = 2.0
    """Seconds to connect to Redis, and to wait for its reply."""
    key_prefix: str = "auth:"
    """The prefix of every key in that Redis."""
    keys: KeySource | None = field(default=None, repr=False)
    """The source of signing keys, in code only; None reads the environment, then ``keys.json``, then
    generates keys."""
    keys_dir: str | None = None
    """The folder of ``keys.json``, the same file on every machine, and of generated development keys; None is
    ``/vault/auth`` in production."""
    key_reload_interval: float = 10.0
    """Seconds between two checks of ``keys.json`` for a change."""

    access_token_duration: float = 900.0
    """Seconds that an access token is valid, before jitter."""
    access_token_jitter: float = 0.05
    """The share of that time, from 0 to below 1, of which a random part is subtracted for each token, so that
    clients do not refresh at the same moment."""
    refresh_token_duration: float | None = 30 * _DAY
    """Seconds from sign-in to the end of a session; an explicit None sets no limit."""
    refresh_idle_duration: float | None = None
    """Seconds without a refresh after which a session ends; None sets no limit."""
    refresh_rotation_grace: float = 30.0
    """Seconds in which a replaced refresh token still works after its successor was used; 0 turns grace off.

    While the successor is unused, the replaced token works. This forgives three generations in a row."""
    session_max_per_user: int | None = 3
    """Sessions a user may have; a new one ends the least recently used, and names it. None sets no limit."""

    verification_required: bool = True
    """Creates an account only after its email address or phone number is verified."""
    private_registration: bool = True
    """Answers alike for free and taken addresses; guaranteed only with ``verification_required``."""
    reserved_usernames: frozenset[str] = DEFAULT_RESERVED_USERNAMES
    """User names that no user can choose."""
    rename_cooldown: float | None = None
    """Seconds between two changes of a user name; None sets no limit.

    Five former names are kept, each for 30 days at least, whatever this says.
    """
    code_ttl: float = 600.0
    """Seconds that a mailed or texted code is valid."""
    link_ttl: float = 1800.0
    """Seconds that a mailed link is valid."""
    pending_email_ttl: float = _DAY
    """Seconds that a registration or a change by email waits for its proof."""
    pending_phone_ttl: float = 900.0
    """Seconds that a registration or a change by phone waits for its proof."""
    max_code_attempts: int = 5
    """Wrong tries after which a code is void."""
    max_codes_per_hour: int = 5
    """Codes per hour that one client may request for one address."""
    max_codes_per_target_hour: int = 20
    """Codes per hour that all clients together may request for one address."""
    code_cooldown: float = 60.0
    """Seconds between two codes for the same address and client; 0 turns the pause off."""
    contact_change_ends_sessions: bool = False
    """Ends the user's other sessions when the email address or phone number changes."""
    factor_change_ends_sessions: bool = False
    """Ends the user's other sessions when a second factor is enabled or disabled, a login or wallet is
    linked, or a passkey is added or removed. A request that says ``end_other_sessions`` decides itself."""
    sms_countries: tuple[str, ...] = ()
    """Calling codes, such as ``49``, of the countries that SMS may go to; ``*`` is every country, and so is
    empty outside of production, where SMS need them. Premium and shared-cost numbers get none in any case."""
    sms_url: str | None = field(default=None, repr=False)
    """The provider of SMS when no sender is passed in: ``twilio://KEY:SECRET@ACCOUNT?from=+15550100200`` or
    ``webhook+https://host/path``."""
    sms_secret: str | None = field(default=None, repr=False)
    """The secret that signs: the messages to a webhook (``whsec_`` and base64), or the reports of Twilio, its
    auth token, where ``sms_url`` has an API key."""
    sms_max_per_number_hour: int = 40
    """SMS per hour to one number; ``max_codes_per_target_hour`` counts each purpose by itself."""
    sms_max_per_prefix_hour: int = 100
    """SMS per hour to the numbers with the same first seven digits."""
    sms_max_per_hour: int = 1000
    """SMS per hour in all."""
    sms_min_used_share: float = 0.25
    """The share of codes of SMS, from 0 to 1, that are usually used; below it the event ``sms_unused`` is
    recorded."""
    send_timeout: float = 15.0
    """Seconds that a sender has for one message."""
    smtp_url: str | None = field(default=None, repr=False)
    """The mail server when no sender is passed in: ``smtps://user:password@host``."""
    smtp_from: str = ""
    """The sender of those mails: an address, or ``Name <address>``."""
    smtp_allow_plain: bool = False
    """True lets ``smtp+plain://`` reach a relay in a private network, such as Mailpit in Compose; the network
    then reads the codes and links in mails."""
    link_base_url: str | None = None
    """The site with the pages ``/verify-email``, ``/reset-password``, ``/sign-in`` and ``/invite``, which
    read a token or the id of an invite from the fragment, and ``/account``; None sends codes alone."""
    mail_templates: str | None = None
    """A folder whose templates replace those of the package, or add languages."""
    mail_language: str = "en"
    """The language of mails to people whose own is unknown or has no templates."""
    brand_name: str = ""
    """The name that mails begin with; empty is the host of ``base_url`` or of the issuer."""
    brand_logo_url: str = ""
    """An https URL of an image that mails show in place of the name, 32 pixels high."""
    brand_color: str = "#3459d8"
    """The colour of buttons in mails, as ``#rrggbb``."""
    brand_support: str = ""
    """The email address or https URL for questions, at the end of mails."""
    brand_footer: str = ""
    """The last line of mails, such as a postal address."""

    two_factor_policy: TwoFactorPolicy = "optional"
    """``required`` opens no session without a second factor, and lets users add one; ``off`` lets no user add
    one, and those that users have stay required."""
    two_factor_required_roles: tuple[str, ...] = ()
    """Global roles, such as ``admin``, that count only while their user has a second factor, or in a session
    that a passkey opened."""
    two_factor_ttl: float = 600.0
    """Seconds that a sign-in waits for its second factor."""
    two_factor_exempt_methods: tuple[str, ...] = ()
    """Sign-in methods, such as ``solana_login``, that need no second factor."""
    two_factor_remember: float | None = None
    """Seconds for which a device may skip the second factor, if its user chose that; None is never."""
    recovery_delay: float | None = None
    """Seconds that a user who lost every second factor waits before a sign-in drops them; 72 hours are
    recommended. Every contact gets a notice at once and daily, and can cancel. None has operators recover."""
    totp_issuer: str = ""
    """The name of this service in authenticator apps; empty is the host of ``issuer``."""
    passwordless: PasswordlessMode = "off"
    """Signs in by a message alone: ``code`` by mail or SMS, ``link`` by mail, with a code for a mail that is
    read on another device, or ``both``."""
    passwordless_registration: bool = False
    """Makes an account at the first such sign-in of an address or number that has none."""
    solana_domains: tuple[str, ...] = ()
    """Domains that wallets sign in on, ports included; empty is ``localhost:<port>`` in development."""
    solana_network: str | None = None
    """The network of every wallet's identity; None is ``testnet`` in development, else ``mainnet``."""
    solana_challenge_ttl: float = 900.0
    """Seconds that a wallet has to sign a challenge."""

    webauthn_rp_id: str | None = None
    """The domain that passkeys belong to, such as ``example.com``; None turns passkeys off."""
    webauthn_rp_name: str = ""
    """The name that authenticators show; empty is the host of the issuer."""
    webauthn_origins: tuple[str, ...] = ()
    """Origins of sites and apps at or below that domain; empty is ``https://`` with the domain itself."""
    webauthn_related_origins: tuple[str, ...] = ()
    """Origins of other domains that use the same passkeys, served at ``/.well-known/webauthn``."""
    passkeys_max_per_user: int = 20
    """Passkeys that a user may have."""
    passkey_counts_as_two_factors: bool = True
    """Requires no second factor after a passkey, which verifies its user by itself."""

    verification_enforced_since: datetime | None = None
    """Accounts created before this moment may sign in with an unverified contact; None exempts none."""
    refuse_common_passwords: bool = True
    """Refuses the passwords that attackers try first."""
    login_failure_limit: int = 10
    """Wrong passwords for one identifier, and for one user, before logins are refused. From the fifth on,
    each adds a longer wait."""
    login_failure_window: float = 900.0
    """Seconds in which wrong passwords are counted, and for which logins are then refused."""

    device_cookie: bool = True
    """Recognizes a browser at its next sign-in by a cookie, which authorizes nothing."""
    device_duration: float = 180 * _DAY
    """Seconds that a device is recognized."""
    new_device_notices: bool = True
    """Notifies a user by mail of a sign-in from a new device or network."""

    argon2_memory_kib: int = 19_456
    """Memory of one hash, in KiB; ``authkit calibrate`` proposes this and the next ones."""
    argon2_time: int = 2
    """Passes of one hash."""
    argon2_lanes: int = 1
    """Lanes of one hash (RFC 9106's ``p``)."""
    hash_threads: int | None = None
    """Hashes computed at once; None leaves one core to the rest."""
    hash_queue: int = 64
    """Logins that may wait for a hash, and as many of known devices. Networks share a full queue evenly,
    known devices by user."""
    hash_deadline: float = 5.0
    """Seconds a caller waits for a hash before the answer is ``server_busy``."""
    hash_memory_mib: int = 256
    """Memory for all hashes at once, in MiB."""

    trusted_proxies: tuple[str, ...] = ()
    """Networks whose ``X-Forwarded-For`` is trusted, read from the right, and ``unix`` for a proxy on a unix
    socket; empty trusts none."""
    rate_limits: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """Other rates for named buckets, such as ``{"auth_password_login": "20/1h"}``."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call from a browser, such as ``https://app.example``, cookies included; with
    ``dev`` every loopback origin as well."""
    refresh_cookie: bool = False
    """Keeps refresh tokens in an ``HttpOnly`` cookie, and out of every response body."""
    refresh_cookie_same_site: SameSite = "lax"
    """The ``SameSite`` of the refresh and the device cookie: ``lax``, ``strict`` or ``none``."""
    languages: tuple[str, ...] = ()
    """Languages of your mails, such as ``de``; empty accepts any that a browser prefers."""
    introspection_clients: Mapping[str, str] = field(default_factory=dict[str, str], repr=False, hash=False)
    """Secrets of the services that may introspect tokens, by client id, such as ``{"orders": "..."}``; empty
    closes introspection."""
    step_up_max_age: float = 900.0
    """Seconds after a proof of identity in which sensitive operations are allowed."""
    webhook_networks: tuple[str, ...] = ()
    """Networks beside the public Internet that webhooks may go to, such as ``10.1.0.0/16``."""
    clickhouse_url: str | None = field(default=None, repr=False)
    """A ClickHouse that receives the audit trail as well: ``https://user:password@host:8443``, with special
    characters of the password escaped (``%40``). A sink of that name that is passed in replaces it."""
    clickhouse_table: str = "session_events"
    """The table there; ``database.table`` if its database is not ``default``."""
    event_retention: float = 365 * _DAY
    """Seconds that the audit trail keeps an event; longer while a sink or a webhook has yet to take it."""
    session_retention: float = 30 * _DAY
    """Seconds that the row of an ended session stays."""
    deleted_user_retention: float | None = DEFAULT_DELETED_RETENTION
    """Seconds until a deleted account or organization is purged; None leaves the purge to the host."""

    def __post_init__(self) -> None:
        """Normalize, then check."""
        for name, value in normalized(self).items():
            object.__setattr__(self, name, value)
        check_urls(self)
        object.__setattr__(self, "webauthn_origins", self.webauthn_origins or default_origins(self))
        object.__setattr__(self, "webauthn_rp_name", self.webauthn_rp_name or default_rp_name(self))
        check(self)

    @property
    def is_production(self) -> bool:
        """True if generated keys and the memory store are refused."""
        return not self.dev and self.environment not in DEVELOPMENT

    @property
    def solana_chain(self) -> str:
        """The network of this service's wallets."""
        return self.solana_network or ("testnet" if self.dev else "mainnet")

    @property
    def provider_issuers(self) -> dict[str, str]:
        """The issuer of each configured provider, by its name."""
        return {slug: issuer_of(slug, provider) for slug, provider in self.providers.items()}

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Unpack[ConfigFields]) -> Self:
        """Build a configuration from ``AUTHKIT_<FIELD>`` settings.

        Lists are separated by commas, maps are JSON, ``none`` is None. ``AUTHKIT_AUDIENCES`` is another name
        for ``AUTHKIT_ISSUED_AUDIENCES``, ``SOLANA_NETWORK`` for ``AUTHKIT_SOLANA_NETWORK``.

        Args:
            env: the settings; None reads the environment of the process.
            overrides: fields of ``Config`` that win over the settings.

        Raises:
            ConfigError: settings are missing, unreadable, unknown or cannot work. The message names all that
                are missing, unreadable or unknown, and the nearest name of an unknown one.
        """
        check_names(cls, overrides)
        source = process_environment() if env is None else env
        settings = read(source, cls, given=overrides, required=REQUIRED)
        if settings.problems:
            raise ConfigError(" ".join(settings.problems))
        fields: dict[str, Any] = {**settings.values, **overrides}
        return cls(**fields)


Options = Config
"""The normalized configuration a service runs with: ``Config`` normalizes itself when it is built."""
