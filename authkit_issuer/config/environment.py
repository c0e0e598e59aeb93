"""Which environment this is; the only module that touches ``os.environ``."""

from __future__ import annotations

import os
from collections.abc import Mapping

DEVELOPMENT = frozenset({"", "dev", "development", "local", "test"})
_ENVIRONMENT_NAMES = ("AUTHKIT_ENVIRONMENT", "ENV", "APP_ENV", "ENVIRONMENT")


def process_environment() -> Mapping[str, str]:
    """Return a copy of the environment of this process."""
    return dict(os.environ)


def environment_name(env: Mapping[str, str] | None = None) -> str:
    """Return the name of the environment, trimmed and lower case; ``""`` when nothing says."""
    source = process_environment() if env is None else env
    for name in _ENVIRONMENT_NAMES:
        value = source.get(name, "").strip().lower()
        if value:
            return value
    return ""


def is_dev_environment(env: Mapping[str, str] | None = None) -> bool:
    """Tell whether this is a development environment.

    Read first to last: ``AUTHKIT_ENVIRONMENT``, ``ENV``, ``APP_ENV``, ``ENVIRONMENT``. Unset, ``dev``,
    ``development``, ``local`` and ``test`` are development; every other word, typos included, is production.
    """
    return environment_name(env) in DEVELOPMENT
