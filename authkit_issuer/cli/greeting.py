"""The lines that ``authkit serve`` prints once it answers requests."""

from __future__ import annotations

import json
import secrets
import shlex
from pathlib import Path

from authkit_issuer.config import Config

_JSON = "-H 'content-type: application/json'"
_PASSWORD = "correct horse battery"


def text(config: Config, base: str, data_dir: Path) -> str:
    """Return the addresses and, in development, the first commands; ``base`` is the server's address."""
    if not config.dev:
        return f"authkit is listening on {base}; its issuer is {config.issuer}"
    if config.smtp_url is not None:  # the steps need the inbox, which takes mails only without a server
        return f"""authkit is listening on {base}

  API page      {base}/docs
  Mails         go to the server of AUTHKIT_SMTP_URL; `authkit mail test` sends one
  Keys          {base}/.well-known/jwks.json

Stop with Ctrl-C; the data stays."""
    steps = "\n".join(first_steps(base, config.route_prefix, data_dir / "first-registration.json"))
    return f"""authkit is listening on {base}

  API page      {base}/docs
  Dev inbox     {base}/dev/inbox   (every mail and SMS)
  Keys          {base}/.well-known/jwks.json
  Sessions      at most {config.session_max_per_user} a user; the least recently used one makes room

Register, confirm with the code from the inbox, sign in:

{steps}

Stop with Ctrl-C; the data stays."""


def first_steps(base: str, prefix: str, answer: Path) -> tuple[str, str, str]:
    """Return three lines for any shell, to run one after the other.

    No line needs a variable of another: the first writes the registration's id to the file ``answer``, and
    the second reads it. The user name is new, because the data outlives the server that printed the lines.
    """
    name = f"ada_{secrets.token_hex(3)}"
    email, file = f"{name}@example.com", shlex.quote(str(answer))
    register = json.dumps({"identifier": email, "username": name, "password": _PASSWORD})
    login = json.dumps({"identifier": email, "password": _PASSWORD})
    # The mail is sent after the response, hence the pause.
    code = f"$(sleep 1; curl -s '{base}/dev/inbox?to={email}' | {_member('code')})"
    registration_id = f"$({_member('registration_id')} {file})"
    confirm = (
        rf'"{{\"email\": \"{email}\", \"code\": \"{code}\", \"registration_id\": \"{registration_id}\"}}"'
    )
    return (
        f"curl -s {base}{prefix}/register {_JSON} -d '{register}' | tee {file}",
        f"curl -s {base}{prefix}/email/verify/confirm {_JSON} -d {confirm}",
        f"curl -s {base}{prefix}/password/login {_JSON} -d '{login}'",
    )


def _member(name: str) -> str:
    """Return a command that prints a member of one line of JSON, in which its name is unique."""
    return f"""sed 's/.*"{name}": *"\\([^"]*\\)".*/\\1/'"""
