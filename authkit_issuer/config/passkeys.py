"""The settings of passkeys (Web Authentication Level 3): the relying party, and the origins it accepts."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authkit_issuer.errors import ConfigError

if TYPE_CHECKING:
    from authkit_issuer.config import Config

LOCALHOST = "localhost"
ANY_LOCALHOST = "http://localhost:*"
"""The origin that stands for every port of this machine, in development."""
MAX_PASSKEYS = 100

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_WEB = re.compile(rf"https://(?P<host>{_LABEL}(?:\.{_LABEL})*)(?::\d{{1,5}})?")
_LOCAL = re.compile(r"http://localhost(?::\d{1,5})?")
_ANDROID = re.compile(r"android:apk-key-hash:[A-Za-z0-9_-]{20,90}")


def default_origins(config: Config) -> tuple[str, ...]:
    """Return the origins of a configuration that names none."""
    if config.webauthn_rp_id is None:
        return ()
    return (ANY_LOCALHOST,) if config.webauthn_rp_id == LOCALHOST else (f"https://{config.webauthn_rp_id}",)


def default_rp_name(config: Config) -> str:
    """Return the name of a configuration that names none: the host of the issuer."""
    return urlsplit(config.issuer).hostname or config.issuer


def is_accepted_origin(config: Config, origin: str) -> bool:
    """True if a ceremony may take place on this origin."""
    if origin in config.webauthn_origins or origin in config.webauthn_related_origins:
        return True
    return ANY_LOCALHOST in config.webauthn_origins and _LOCAL.fullmatch(origin) is not None


def check_passkeys(config: Config) -> None:
    """Raise ``ConfigError`` for settings of passkeys that contradict each other."""
    if not 1 <= config.passkeys_max_per_user <= MAX_PASSKEYS:
        raise ConfigError(
            f"passkeys_max_per_user is {config.passkeys_max_per_user}: it must be 1 to {MAX_PASSKEYS}."
        )
    rp_id = config.webauthn_rp_id
    if rp_id is None:
        for name in ("webauthn_origins", "webauthn_related_origins"):
            if getattr(config, name):
                raise ConfigError(
                    f"{name} is {getattr(config, name)[0]!r} and webauthn_rp_id is None: set the domain of"
                    " the passkeys as webauthn_rp_id."
                )
        return
    _check_rp_id(config, rp_id)
    for origin in config.webauthn_origins:
        _check_origin(config, rp_id, origin)
    for origin in config.webauthn_related_origins:
        _check_related(rp_id, origin)


def _check_rp_id(config: Config, rp_id: str) -> None:
    if rp_id == LOCALHOST:
        if not config.dev:
            raise ConfigError("webauthn_rp_id is 'localhost' and dev is False: set your own domain.")
        return
    if not _DOMAIN.fullmatch(rp_id) or _is_address(rp_id):
        raise ConfigError(
            f"webauthn_rp_id is {rp_id!r}: set a domain such as example.com, without scheme and port."
        )


def _check_origin(config: Config, rp_id: str, origin: str) -> None:
    if _ANDROID.fullmatch(origin):
        return
    if origin == ANY_LOCALHOST or _LOCAL.fullmatch(origin):
        if not config.dev:
            raise ConfigError(f"webauthn_origins: {origin!r} needs dev, and dev is False: use https.")
        if rp_id != LOCALHOST:
            raise ConfigError(
                f"webauthn_origins: {origin!r} is not below webauthn_rp_id, which is {rp_id!r}: change one."
            )
        return
    found = _WEB.fullmatch(origin)
    if found is None:
        raise ConfigError(
            f"webauthn_origins: {origin!r} is not an origin such as https://app.example.com, nor"
            " android:apk-key-hash:... of an app."
        )
    if not _is_below(rp_id, found["host"]):
        raise ConfigError(
            f"webauthn_origins: {origin!r} is not below webauthn_rp_id, which is {rp_id!r}: name other"
            " domains in webauthn_related_origins."
        )


def _check_related(rp_id: str, origin: str) -> None:
    found = _WEB.fullmatch(origin)
    if found is None:
        raise ConfigError(
            f"webauthn_related_origins: {origin!r} is not an origin such as https://app.example.org."
        )
    if _is_below(rp_id, found["host"]):
        raise ConfigError(
            f"webauthn_related_origins: {origin!r} is below webauthn_rp_id, which is {rp_id!r}: name it in"
            " webauthn_origins."
        )


def _is_below(rp_id: str, host: str) -> bool:
    return host == rp_id or host.endswith(f".{rp_id}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
