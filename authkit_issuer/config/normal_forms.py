"""The normal forms of settings that may be written in several ways."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from authkit_issuer.config.environment import environment_name
from authkit_issuer.errors import ConfigError

if TYPE_CHECKING:
    from authkit_issuer.config import Config

_NETWORKS = {"mainnet-beta": "mainnet"}
"""Aliases of Solana's networks."""


def normalized(config: Config) -> dict[str, Any]:
    """Return the fields whose stored form differs from what a caller may write."""
    out: dict[str, Any] = {
        entry.name: getattr(config, entry.name).total_seconds()
        for entry in dataclasses.fields(config)
        if isinstance(getattr(config, entry.name), timedelta)
    }
    issued = _words("issued_audiences", config.issued_audiences)
    out["issuer"] = config.issuer.strip()
    out["issued_audiences"] = issued
    out["expected_audiences"] = _words("expected_audiences", config.expected_audiences) or issued
    out["client_id"] = config.client_id.strip() or (issued[0] if issued else "")
    named = environment_name() if config.environment is None else config.environment
    out["environment"] = named.strip().lower()
    out["org_mode"] = config.org_mode.strip().lower() or "single"
    out["reserved_usernames"] = frozenset(name.strip().lower() for name in config.reserved_usernames)
    out["providers"] = MappingProxyType(dict(config.providers))
    out["rate_limits"] = MappingProxyType(dict(config.rate_limits))
    out["introspection_clients"] = MappingProxyType(dict(config.introspection_clients))
    out["cors_origins"] = _words("cors_origins", config.cors_origins)
    out["sms_countries"] = tuple(
        code.removeprefix("+") for code in _words("sms_countries", config.sms_countries)
    )
    out["mail_language"] = config.mail_language.strip().lower()
    out["brand_color"] = config.brand_color.strip().lower()
    out["languages"] = tuple(tag.lower() for tag in _words("languages", config.languages))
    out["webhook_networks"] = _words("webhook_networks", config.webhook_networks)
    out["trusted_proxies"] = _words("trusted_proxies", config.trusted_proxies)
    out["two_factor_exempt_methods"] = _words("two_factor_exempt_methods", config.two_factor_exempt_methods)
    out["two_factor_policy"] = config.two_factor_policy.strip().lower()
    roles = _words("two_factor_required_roles", config.two_factor_required_roles)
    out["two_factor_required_roles"] = tuple(role.lower() for role in roles)
    domains = _words("solana_domains", config.solana_domains)
    out["solana_domains"] = tuple(domain.lower() for domain in domains)
    out["webauthn_rp_id"] = (config.webauthn_rp_id or "").strip().lower() or None
    out["webauthn_rp_name"] = config.webauthn_rp_name.strip()
    out["webauthn_origins"] = _words("webauthn_origins", config.webauthn_origins)
    out["webauthn_related_origins"] = _words("webauthn_related_origins", config.webauthn_related_origins)
    network = (config.solana_network or "").strip().lower()
    out["solana_network"] = _NETWORKS.get(network, network) or None
    return out


def _words(name: str, value: object) -> tuple[str, ...]:
    """Return a list of strings without repeats; a blank entry or a bare string is a mistake."""
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        raise ConfigError(f"{name} must be a list of strings, not {type(value).__name__}.")
    words = [word.strip() for word in value]
    if not all(words):
        raise ConfigError(f"{name} has a blank entry: remove it.")
    return tuple(dict.fromkeys(words))
