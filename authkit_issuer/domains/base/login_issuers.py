"""Whose external logins sign in: the issuers of the configured providers, and that of wallets."""

from __future__ import annotations

from urllib.parse import urlsplit

from authkit_issuer.config import Config


def wallet_domains(config: Config) -> tuple[str, ...]:
    """Return the domains where wallets may sign in: those of the configuration, never that of a request."""
    if config.solana_domains or not config.dev:
        return config.solana_domains
    port = urlsplit(config.base_url or config.issuer).port
    return (f"localhost:{port}",) if port else ("localhost",)


def wallet_issuer(config: Config) -> str:
    """Return the issuer of every wallet's login, which names the network."""
    return f"solana:{config.solana_chain}"


def login_issuers(config: Config) -> list[str]:
    """Return every issuer whose logins sign in here.

    A login of a provider that is no longer configured, of its former issuer, or of another network does not
    sign in, whatever it is called: it is no way into an account.
    """
    wallets = {wallet_issuer(config)} if wallet_domains(config) else set()
    return sorted({*config.provider_issuers.values()} | wallets)
