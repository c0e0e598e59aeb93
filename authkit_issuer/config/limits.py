"""Rate limits: the buckets, their default rates, and the syntax of others.

A rate is ``<calls>/<window>``: ``20/1h``, ``3/10m``, ``120/1min``. A bucket counts per client address (IPv6
by /64, and by /48 at a multiple), per signed-in user, or per session of a refresh token. A call that names an
account also counts for that account, over all clients (``<bucket>:account``), at a default of its own or at
three times the rate. What checks a proof counts wrong ones only (``Limit.gives_back``). An office, a school
or a mobile network has one address, so the rates of an address are for many people.
``domains.base.rate_limits`` counts. ``domains.base.sending_limits`` limits messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from authkit_issuer.errors import ConfigError

if TYPE_CHECKING:
    from authkit_issuer.config import Config

DEV_FACTOR = 100
"""The factor of every rate per address or user with ``Config(dev=True)``."""
ACCOUNT_FACTOR = 3
ACCOUNT = ":account"

MAX_CALLS = 10**9
MAX_WINDOW = 7 * 86_400

_RATES: dict[str, tuple[str, ...]] = {
    "120/1m": (
        "auth_user_me", "auth_user_bootstrap", "auth_user_events", "auth_sessions_list", "auth_org_read",
        "auth_passkey_begin",
    ),
    # Of probes: one load balancer, or one IPv6 /64 of them, looks at every process. A refusal would take a
    # healthy one out of service, and in a fixed order always the same one.
    "6000/1m": ("default",),
    "30/1m": ("auth_token",),
    "1200/1m": ("auth_introspect", "auth_sms_status"),
    "60/10m": (
        "auth_password_login", "auth_register", "auth_logout", "auth_sessions_current",
        "auth_sessions_revoke", "auth_revoke", "auth_oidc_callback", "auth_oidc_result",
        "auth_passkey_login",
    ),
    "20/10m": ("auth_solana_login", "auth_sms_request"),
    "10/10m": (
        "auth_user_email_change_confirm", "auth_user_phone_change_confirm", "auth_step_up",
    ),
    "30/10m": (
        "auth_oidc_start", "auth_solana_challenge", "auth_register_resend_email",
        "auth_register_resend_phone", "auth_pwd_reset_request", "auth_pwd_reset_confirm",
        "auth_email_verify_request", "auth_email_verify_confirm", "auth_2fa_verify", "auth_2fa_challenge",
        "auth_passwordless_start", "auth_passwordless_confirm", "auth_recovery",
    ),
    "6/10m": ("auth_user_email_change_resend",),
    "3/10m": (
        "auth_phone_verify_request", "auth_user_phone_change_request", "auth_user_phone_change_resend",
        "auth_2fa_start_phone", "auth_2fa_start_email",
    ),
    "600/1h": ("auth_admin_user_sessions_list",),
    "60/1h": (
        "auth_org_write", "auth_2fa_change", "auth_passkey_change", "auth_user_update_biography",
        "auth_user_change_cancel",
    ),
    "30/1h": (
        "auth_2fa_totp",
        "auth_admin_roles_grant", "auth_admin_roles_revoke", "auth_admin_user_sessions_revoke_all",
        "auth_admin_webhooks",
        "auth_passkey_register",
    ),
    "20/1h": ("auth_sessions_revoke_all",),
    "12/1h": ("auth_user_update_username", "auth_user_unlink_provider", "auth_solana_link"),
    "6/1h": (
        "auth_user_password_change", "auth_user_email_change_request", "auth_user_delete", "auth_2fa_enable",
        "auth_2fa_disable", "auth_user_export",
    ),
    "3/1h": ("auth_2fa_regenerate_codes",),
}  # fmt: skip
BUCKETS = {bucket: rate for rate, buckets in _RATES.items() for bucket in buckets}
"""The default rate of every bucket."""

ACCOUNT_RATES = {
    "auth_password_login": "60/1h",
    "auth_register_resend_email": "18/10m",
    "auth_register_resend_phone": "18/10m",
    "auth_pwd_reset_confirm": "30/10m",
    "auth_email_verify_confirm": "30/10m",
    "auth_2fa_verify": "30/10m",
    "auth_2fa_challenge": "10/10m",
    "auth_passwordless_confirm": "30/10m",
}
"""The default rates of one account over all clients, where they are not three times those of an address."""

_FORM = re.compile(r"(?P<calls>\d{1,10})/(?P<number>\d{0,6})(?P<unit>s|m|min|h|d)")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Rate:
    """``calls`` at once, and as many again over each ``window`` of seconds."""

    calls: int
    window: int

    def times(self, factor: int) -> Rate:
        """Return a rate that allows ``factor`` times the calls."""
        return Rate(self.calls * factor, self.window)


def parse_rate(text: str) -> Rate:
    """Return the rate that a text such as ``20/1h`` means, or raise ``ConfigError``."""
    found = _FORM.fullmatch(text.replace(" ", ""))
    if found is None:
        raise ConfigError(f"rate_limits: {text!r} is not a rate; write calls and window, such as 20/1h.")
    rate = Rate(int(found["calls"]), int(found["number"] or 1) * _UNITS[found["unit"]])
    if not (1 <= rate.calls <= MAX_CALLS and 1 <= rate.window <= MAX_WINDOW):
        raise ConfigError(
            f"rate_limits: {text!r} must allow 1 or more calls, in a window of at most seven days."
        )
    return rate


def caller_rate(config: Config, bucket: str) -> Rate:
    """Return the rate of one client address, or one signed-in user."""
    rate = parse_rate(config.rate_limits.get(bucket, BUCKETS[bucket]))
    return rate.times(DEV_FACTOR) if config.dev else rate


def account_rate(config: Config, bucket: str) -> Rate:
    """Return the rate at which all clients together may name one account, in development too."""
    given = config.rate_limits.get(f"{bucket}{ACCOUNT}")
    of_address = config.rate_limits.get(bucket)
    if given is None and of_address is None:
        given = ACCOUNT_RATES.get(bucket)
    if given is not None:
        return parse_rate(given)
    return parse_rate(of_address or BUCKETS[bucket]).times(ACCOUNT_FACTOR)


def check_rate_limits(config: Config) -> None:
    """Raise ``ConfigError`` for an unknown bucket or an unreadable rate."""
    for name, text in config.rate_limits.items():
        if name.removesuffix(ACCOUNT) not in BUCKETS:
            raise ConfigError(
                f"rate_limits: there is no bucket {name!r}; the buckets are {', '.join(sorted(BUCKETS))}."
            )
        parse_rate(text)
