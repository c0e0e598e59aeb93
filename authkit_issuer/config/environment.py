"""The environment of the process and its settings; the only module that touches ``os.environ``.

``settings`` has the names of the settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from authkit_issuer.errors import ConfigError

DEVELOPMENT = frozenset({"", "dev", "development", "local", "test"})
LOOKUP_THREADS = 64
"""The threads of libuv, of which half look names up; more than one provider and the webhooks can hold."""
_ENVIRONMENT_NAMES = ("AUTHKIT_ENVIRONMENT", "ENV", "APP_ENV", "ENVIRONMENT")


def process_environment() -> Mapping[str, str]:
    """Return a copy of the environment of this process."""
    return dict(os.environ)


def allow_lookups() -> None:
    """Have the loop look up many names at once, unless ``UV_THREADPOOL_SIZE`` says how many.

    uvloop looks up two by default: two name servers that do not answer would hold up every connection by
    name, to the database too. To be called before the first look-up.
    """
    os.environ.setdefault("UV_THREADPOOL_SIZE", str(LOOKUP_THREADS))


def environment_name(env: Mapping[str, str] | None = None) -> str:
    """Return the name of the environment, trimmed and lower case; ``""`` if none is set."""
    source = process_environment() if env is None else env
    for name in _ENVIRONMENT_NAMES:
        value = source.get(name, "").strip().lower()
        if value:
            return value
    return ""


def is_dev_environment(env: Mapping[str, str] | None = None) -> bool:
    """True if this is a development environment.

    The first that is set decides: ``AUTHKIT_ENVIRONMENT``, ``ENV``, ``APP_ENV``, ``ENVIRONMENT``. Unset,
    ``dev``, ``development``, ``local`` and ``test`` are development; every other word, typos included, is
    production.
    """
    return environment_name(env) in DEVELOPMENT


def parse(setting: str, text: str, hint: Any) -> Any:
    """Return a setting as its field's type, or raise ``ConfigError``."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - hosts that build Config in code skip it

    value: Any = text.strip()
    if value.lower() == "none" and type(None) in get_args(hint):
        return None
    origin = get_origin(hint)
    if origin in {tuple, frozenset} and value.startswith("["):
        raise ConfigError(
            f"{setting} is a list with commas, such as a,b: write it without brackets and quotes."
        )
    try:
        if origin in {tuple, frozenset}:
            value = [part.strip() for part in value.split(",") if part.strip()]
        elif origin in {dict, Mapping}:
            return TypeAdapter(hint).validate_json(value)
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        # Not chained: the library's text quotes the value, which may be a secret.
        raise ConfigError(f"{setting}: {error.errors()[0]['msg'].lower()}.") from None
