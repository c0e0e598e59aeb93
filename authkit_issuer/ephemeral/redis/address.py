"""The forms of ``redis_url``: one server, the master that Sentinel names, a Cluster, a unix socket."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from authkit_issuer.errors import ConfigError

PORT, SENTINEL_PORT = 6379, 26379
Kind = Literal["server", "sentinel", "cluster", "unix"]

_KINDS: dict[str, Kind] = {"": "server", "sentinel": "sentinel", "cluster": "cluster"}
_FORMS = (
    "redis_url must be such as redis://host:6379/0, rediss://host:6379/0 (TLS), unix:///path/to/socket, "
    "redis+sentinel://host1,host2,host3/mymaster or redis+cluster://host1,host2,host3"
)
_OPTIONS = ("db", "username", "password")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_CLUSTER_DATABASE = "redis_url names a database of a Cluster, which has only 0: leave the number out."


@dataclass(frozen=True, slots=True)
class Node:
    """Where one server listens."""

    host: str = ""
    port: int = PORT
    path: str = ""
    """The path of a unix socket, in place of host and port."""

    def __str__(self) -> str:
        """Return the text for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user name, empty for the default user, and a password, empty for none."""

    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What ``redis_url`` says."""

    kind: Kind
    nodes: tuple[Node, ...]
    """The server, the sentinels, or some of the nodes of a Cluster."""
    master: str = ""
    """The name by which the sentinels know the master."""
    database: int = 0
    login: Login
    sentinel_login: Login = Login()
    tls: ssl.SSLContext | None = None


def parse(url: str) -> Address:
    """Read ``redis_url``.

    Raises:
        ConfigError: it is none of the forms; the message repeats nothing of it, for it may hold a password.
    """
    try:
        parts = _split(url.strip())
        options = _options(parts)
        return _address(parts, options)
    except ConfigError:
        raise
    except ValueError:
        raise ConfigError(f"{_FORMS}.") from None


def _split(url: str) -> SplitResult:
    """Split an address whose authority may be a list of hosts.

    Newer releases of Python refuse an IPv6 address behind another host.
    """
    scheme, mark, rest = url.partition("://")
    hosts = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return urlsplit(f"{scheme}{mark}{rest.removeprefix(hosts)}")._replace(netloc=hosts)


def _address(parts: SplitResult, options: Mapping[str, str]) -> Address:
    scheme, _, form = parts.scheme.partition("+")
    encrypted = scheme in {"rediss", "valkeys"}
    if scheme == "unix" and not form:
        kind: Kind = "unix"
    elif scheme in {"redis", "rediss", "valkey", "valkeys"} and form in _KINDS:
        kind = _KINDS[form]
    else:
        raise ValueError(scheme)
    if parts.fragment or (scheme != "unix" and "@" in parts.path):  # a password with # or /
        raise ValueError("userinfo")
    if not encrypted and any(name in options for name in _TLS_OPTIONS):
        raise ConfigError("redis_url has options of TLS without rediss://: write rediss:// or remove them.")
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    path = [unquote(part) for part in parts.path.strip("/").split("/") if part]
    if kind == "sentinel" and not path:
        raise ConfigError("redis_url names no master: write redis+sentinel://host1,host2,host3/mymaster.")
    if kind == "unix" and not path:
        raise ValueError("path")
    return Address(
        kind=kind,
        nodes=(Node(path=unquote(parts.path)),) if kind == "unix" else _nodes(hosts, kind),
        master=path.pop(0) if kind == "sentinel" else "",
        database=_database([] if kind == "unix" else path, options, kind),
        login=Login(
            username=options.get("username", unquote(username)),
            password=options.get("password", unquote(password)),
        ),
        sentinel_login=Login(
            username=options.get("sentinel_username", ""), password=options.get("sentinel_password", "")
        ),
        tls=_tls(options) if encrypted else None,
    )


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    sentinel = parts.scheme.endswith("+sentinel")
    known = (*_OPTIONS, *_TLS_OPTIONS, *(_SENTINEL_OPTIONS if sentinel else ()))
    if not options.keys() <= set(known):
        raise ConfigError(f"redis_url has an unknown option: the known ones are {', '.join(known)}.")
    return options


def _nodes(hosts: str, kind: Kind) -> tuple[Node, ...]:
    if kind == "server" and "," in hosts:
        raise ConfigError(
            "redis_url has several hosts: write redis+sentinel://host1,host2/mymaster for sentinels, "
            "or redis+cluster://host1,host2 for a Cluster."
        )
    port = SENTINEL_PORT if kind == "sentinel" else PORT
    found = [urlsplit(f"//{host}") for host in hosts.split(",")]
    return tuple(
        Node(part.hostname or "localhost", port if part.port is None else part.port) for part in found
    )


def _database(path: list[str], options: Mapping[str, str], kind: Kind) -> int:
    if len(path) > 1:
        raise ValueError("path")
    number = int(options.get("db") or (path[0] if path else 0))
    if number and kind == "cluster":
        raise ConfigError(_CLUSTER_DATABASE)
    return number


def _tls(options: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs") or None)
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile") or None)
    except OSError as error:
        raise ConfigError(
            f"redis_url: the files of ssl_ca_certs, ssl_certfile and ssl_keyfile cannot be used: {error}."
        ) from error
    context.check_hostname = _choice(options, "ssl_check_hostname", "true", "false") == "true"
    if _choice(options, "ssl_cert_reqs", "required", "none") == "none":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _choice(options: Mapping[str, str], name: str, usual: str, other: str) -> str:
    chosen = options.get(name, usual).lower()
    if chosen not in {usual, other}:
        raise ConfigError(f"redis_url: {name} must be {usual} or {other}.")
    return chosen
