"""Other people's servers beside the issuer, in environments of their own below ``.runtime``.

Their packages are pinned in ``benchmarks/peers`` and installed when a run needs them. A peer that cannot be
installed or does not start is left out, and the run names it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from beside.accounts import PASSWORD, address
from beside.contenders import CALLERS, LOGIN, OWN_LOGIN, PROTECTED, REFRESH, WHO, Contender, Parts, bearer
from beside.conversation import Asking, Refreshing, Same, ask, http
from beside.stage import Stage

FASTAPI_JWT, FASTAPI_DB = "fastapi-users, JWT", "fastapi-users, database"
BETTER = "better-auth, session"
ALLAUTH, ALLAUTH_JWT = "django-allauth, session", "django-allauth, JWT"
LOGINS = {"fastapi_users": "fastapi-users", "better_auth": "better-auth", "allauth": "django-allauth"}
OWN_CALLERS = 16
"""Users of a server with its own hash, which can take a fifth of a second."""

_PINS = Path(__file__).resolve().parents[1] / "peers"
_RUNTIME = Path(__file__).resolve().parents[2] / ".runtime"
PYTHON, NODE = _RUNTIME / "peers", _RUNTIME / "peers-node"


def installed() -> dict[str, str]:
    """Install what is absent; return the reason for each environment that cannot be used."""
    missing = {}
    for name, install in {"Python": _install_python, "node": _install_node}.items():
        try:
            install()
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            missing[name] = str(said).strip().rpartition("\n")[2][:200]
    return missing


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, timeout=300, capture_output=True, text=True, cwd=cwd)


def _install_python() -> None:
    wanted, mark = _PINS / "requirements.txt", PYTHON / "installed"
    if mark.is_file() and mark.read_bytes() == wanted.read_bytes():
        return
    _run(sys.executable, "-m", "venv", "--clear", str(PYTHON))
    pip = (str(PYTHON / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    _run(*pip, "--no-deps", "--retries", "1", "--requirement", str(wanted))
    shutil.copyfile(wanted, mark)


def _install_node() -> None:
    lock, mark = _PINS / "package-lock.json", NODE / "installed"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise FileNotFoundError("node and npm are not installed")
    if mark.is_file() and mark.read_bytes() == lock.read_bytes():
        return
    NODE.mkdir(parents=True, exist_ok=True)
    for file in (_PINS / "package.json", lock):
        shutil.copyfile(file, NODE / file.name)
    _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", cwd=NODE)
    shutil.copyfile(lock, mark)


def peers(stage: Stage, missing: dict[str, str], hashing: str) -> list[Contender]:
    """Return the peers that are installed; ``hashing`` is "same" for the issuer's parameters, or "own"."""
    made = {
        "fastapi_users": _fastapi_users_parts,
        "better_auth": _better_auth_parts,
        "allauth": _allauth_parts,
    }
    return [
        _peer(stage, name, hashing, parts)
        for name, parts in made.items()
        if ("node" if name == "better_auth" else "Python") not in missing
    ]


def _peer(stage: Stage, name: str, hashing: str, parts: Callable[[int, int], Awaitable[Parts]]) -> Contender:
    node = name == "better_auth"
    database = name if hashing == "same" else f"{name}_own"
    if node:
        # As text: a module in a file would look for packages beside the file.
        program = [
            str(shutil.which("node")),
            "--input-type=module",
            "-e",
            (_PINS / f"{name}.mjs").read_text(),
        ]
    else:
        program = [str(PYTHON / "bin" / "python"), "-W", "ignore", str(_PINS / f"{name}_app.py")]
    return Contender(
        name=LOGINS[name] if hashing == "same" else f"{LOGINS[name]}, own hash",
        command=lambda port: [*program, str(port), hashing, stage.sockets, database],
        ready={"better_auth": "/api/auth/ok", "fastapi_users": "/openapi.json"}.get(name, "/none"),
        parts=partial(_named, parts, CALLERS if hashing == "same" else OWN_CALLERS, hashing),
        env={"NODE_ENV": "production"} if node else {},
        cwd=NODE if node else PYTHON,
    )


async def _named(parts: Callable[[int, int], Awaitable[Parts]], count: int, hashing: str, port: int) -> Parts:
    """Return the parts of a server; one with its own hash is only there for its logins."""
    found = await parts(port, count)
    if hashing == "same":
        return found
    return {(OWN_LOGIN, label): asking for (action, label), asking in found.items() if action == LOGIN}


def _same(requests: list[bytes]) -> list[Asking]:
    return [Same(request) for request in requests]


async def _fastapi_users_parts(port: int, count: int) -> Parts:
    """Return the parts of both strategies; logins use the one that keeps a row, as the issuer does."""
    found: Parts = {}
    for number in range(count):
        body = {"email": address("user", number), "password": PASSWORD}
        await ask(port, http("POST", "/register", number, body=body))
    for label, prefix in {FASTAPI_JWT: "/jwt", FASTAPI_DB: "/db"}.items():
        logins = []
        for number in range(count):
            form = urlencode({"username": address("user", number), "password": PASSWORD})
            logins.append(http("POST", f"{prefix}/login", number, body=form))
        tokens = [(await ask(port, login))[1]["access_token"] for login in logins]
        asking = _same([http("GET", f"{prefix}/me", n, bearer(token)) for n, token in enumerate(tokens)])
        found |= {(LOGIN, FASTAPI_DB): _same(logins), (WHO, label): asking, (PROTECTED, label): asking}
    return found


async def _better_auth_parts(port: int, count: int) -> Parts:
    logins, tokens = [], []
    for number in range(count):
        body = {"email": address("user", number), "password": PASSWORD, "name": "bench"}
        await ask(port, http("POST", "/api/auth/sign-up/email", number, body=body))
        login = http("POST", "/api/auth/sign-in/email", number, body=body)
        logins.append(login)
        tokens.append((await ask(port, login))[1]["token"])
    asking = _same([http("GET", "/api/auth/get-session", n, bearer(token)) for n, token in enumerate(tokens)])
    return {(LOGIN, BETTER): _same(logins), (WHO, BETTER): asking, (PROTECTED, BETTER): asking}


def _allauth_refresh(number: int, token: str) -> bytes:
    return http("POST", "/_allauth/app/v1/tokens/refresh", number, body={"refresh_token": token})


async def _allauth_parts(port: int, count: int) -> Parts:
    logins, found = [], []
    for number in range(count):
        body = {"email": address("user", number), "password": PASSWORD}
        await ask(port, http("POST", "/_allauth/app/v1/auth/signup", number, body=body))
        login = http("POST", "/_allauth/app/v1/auth/login", number, body=body)
        logins.append(login)
        found.append((await ask(port, login))[1]["meta"])

    def session(headers: Callable[[Any], dict[str, str]]) -> list[Asking]:
        path = "/_allauth/app/v1/auth/session"
        return _same([http("GET", path, n, headers(meta)) for n, meta in enumerate(found)])

    return {
        (LOGIN, ALLAUTH): _same(logins),
        (WHO, ALLAUTH): session(lambda meta: {"x-session-token": meta["session_token"]}),
        (WHO, ALLAUTH_JWT): session(lambda meta: bearer(meta["access_token"])),
        (REFRESH, ALLAUTH_JWT): [
            Refreshing(meta["refresh_token"], partial(_allauth_refresh, number), _next_token)
            for number, meta in enumerate(found)
        ],
    }


def _next_token(said: Any) -> str:
    return str(said["data"]["refresh_token"])
