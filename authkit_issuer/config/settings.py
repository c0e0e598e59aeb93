"""The settings of an environment: the value of each field, where it comes from, and every problem at once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from authkit_issuer.config.environment import environment_name, parse
from authkit_issuer.errors import ConfigError

PREFIX = "AUTHKIT_"
ALIASES = {
    "AUTHKIT_AUDIENCES": "AUTHKIT_ISSUED_AUDIENCES",
    "SOLANA_NETWORK": "AUTHKIT_SOLANA_NETWORK",
}
"""Other names of settings."""
EXAMPLES = {
    "issuer": "AUTHKIT_ISSUER=https://auth.example.com",
    "issued_audiences": "AUTHKIT_AUDIENCES=api",
    "database_url": "AUTHKIT_DATABASE_URL=postgresql://authkit:PASSWORD@127.0.0.1/authkit",
    "redis_url": "AUTHKIT_REDIS_URL=redis://127.0.0.1:6379/0",
}
"""A setting to copy, for every field that some program requires."""
REQUIRED = ("issuer", "issued_audiences")
"""The fields without a default."""
_OF_A_SERVICE = re.compile(
    r"AUTHKIT_(?:\w+_)?(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)"
)
"""What Kubernetes sets in every pod beside a Service named ``authkit`` or ``authkit-...``."""
_IN_CODE = frozenset({"keys"})
"""Fields that are objects, and no settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an environment says about the fields of ``Config``."""

    values: Mapping[str, Any]
    """The values of the fields that are set."""
    origins: Mapping[str, str]
    """The name of the setting that each of them comes from."""
    problems: tuple[str, ...]
    """A sentence about every setting that is unknown, unreadable or missing."""


def setting_of(field: str) -> str:
    """Return the usual name of a field's setting."""
    return "AUTHKIT_AUDIENCES" if field == "issued_audiences" else f"{PREFIX}{field.upper()}"


def read(
    env: Mapping[str, str], config: type[Any], *, given: Iterable[str] = (), required: Iterable[str] = ()
) -> Settings:
    """Read the settings of ``config``'s fields; fields that are ``given`` may be missing."""
    source = dict(env)
    spelled = {name: name for name in source}
    for alias, name in ALIASES.items():
        if alias in source and name not in source:
            source[name], spelled[name] = source[alias], alias
    values: dict[str, Any] = {"environment": environment_name(env)}
    origins: dict[str, str] = {}
    problems = list(_unknown(env, _names(config)))
    hints = get_type_hints(config)
    for entry in dataclasses.fields(config):
        setting = f"{PREFIX}{entry.name.upper()}"
        if entry.name in _IN_CODE or entry.name == "environment" or setting not in source:
            continue
        origins[entry.name] = spelled[setting]
        try:
            values[entry.name] = parse(spelled[setting], source[setting], hints[entry.name])
        except ConfigError as error:
            problems.append(_with_example(str(error), entry.default))
    present = origins.keys() | set(given)
    problems += [missing(name) for name in required if name not in present]
    return Settings(values=values, origins=origins, problems=tuple(problems))


def missing(field: str) -> str:
    """Return the sentence about a field that must be set, with a setting to copy."""
    return f"{setting_of(field)} is not set: set it, such as {EXAMPLES[field]}."


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the question for the name that is most alike, or nothing."""
    # Without the prefix, which makes every pair alike.
    bare = {candidate.removeprefix(PREFIX): candidate for candidate in sorted(names)}
    found = get_close_matches(name.removeprefix(PREFIX), bare, 1)
    return f"; did you mean {bare[found[0]]}?" if found else ""


def number(value: float) -> str:
    """Return a number as people write it."""
    return str(int(value)) if value == int(value) else str(value)


def check_names(config: type[Any], given: Iterable[str]) -> None:
    """Raise ``ConfigError`` for a name that is no field."""
    fields = {entry.name for entry in dataclasses.fields(config)}
    for name in given:
        if name not in fields:
            raise ConfigError(f"{name} is not a field of Config{nearest(name, fields) or '.'}")


def _names(config: type[Any]) -> frozenset[str]:
    fields = {entry.name for entry in dataclasses.fields(config)} - _IN_CODE
    return frozenset({f"{PREFIX}{name.upper()}" for name in fields} | ALIASES.keys())


def _unknown(env: Mapping[str, str], names: frozenset[str]) -> Iterator[str]:
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in names and not _OF_A_SERVICE.fullmatch(name):
            yield f"{name} is not a setting{nearest(name, names) or ': unset it.'}"


def _with_example(problem: str, default: object) -> str:
    if isinstance(default, bool):
        return f"{problem[:-1]}; write true or false."
    if isinstance(default, float) and default >= 1:
        return f"{problem[:-1]}; write seconds, such as {number(default)}."
    if isinstance(default, int | float):
        return f"{problem[:-1]}; write a number, such as {number(default)}."
    return problem
