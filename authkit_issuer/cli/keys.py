"""``authkit keys``: signing keys, refresh secrets and sealing keys in a ``keys.json``.

``security.key_rotation`` says which key signs when.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from authkit_issuer.cli import output
from authkit_issuer.cli.output import AsJson, Yes
from authkit_issuer.config import process_environment
from authkit_issuer.errors import StartupError
from authkit_issuer.security import key_file, key_rotation
from authkit_issuer.security.key_sources import DEFAULT_KEYS_DIR, announced_environment

app = typer.Typer(no_args_is_help=True, help="Signing keys and refresh secrets in a keys.json.")

Folder = Annotated[Path, typer.Option("--dir", envvar="AUTHKIT_KEYS_DIR", help="The folder of keys.json.")]
Alg = Annotated[str, typer.Option("--alg", help="RS256, ES256 or EdDSA.")]
AccessLife = Annotated[
    float,
    typer.Option(
        "--access-life", envvar="AUTHKIT_ACCESS_TOKEN_DURATION", help="Lifetime of access tokens, in seconds."
    ),
]
_FOLDER = Path(DEFAULT_KEYS_DIR)
_LIFE = 900.0


@app.command("generate")
def generate(folder: Folder = _FOLDER, alg: Alg = "RS256", *, as_json: AsJson = False) -> None:
    """Write a new keys.json with one signing key and one refresh secret; never overwrites a file."""
    path = folder / key_file.FILE_NAME
    try:
        created = key_file.create(path, key_file.generate(alg, os.urandom))
    except OSError as error:
        raise _not_written(path, error) from error
    if not created:
        raise StartupError(f"{path} exists already: remove it, or use keys rotate.")
    output.say({"done": "wrote", "path": str(path)}, f"wrote {path}", as_json=as_json)


@app.command("list")
def show(folder: Folder = _FOLDER, access_life: AccessLife = _LIFE, *, as_json: AsJson = False) -> None:
    """Print the published keys: kid, algorithm, the one that signs and the one that will."""
    loaded = key_rotation.read(folder / key_file.FILE_NAME)
    keys = loaded.at(time.time(), access_life)
    signs = keys.signing.kid if keys.signing else ""
    coming = loaded.after.signing.kid if loaded.after and loaded.after.signing else ""
    since = datetime.fromtimestamp(loaded.switch_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    states = {coming: f"signs from {since}", signs: "signs"}
    rows = [
        {"kid": entry["kid"], "alg": entry["alg"], "state": states.get(entry["kid"], "verifies")}
        for entry in keys.jwks["keys"]
    ]
    output.show("keys", rows, as_json=as_json)


@app.command("rotate")
def rotate(
    *,
    folder: Folder = _FOLDER,
    alg: Alg = "RS256",
    now: Annotated[bool, typer.Option("--now", help="Sign with it at once, before caches have it.")] = False,
    sealing: Annotated[
        bool,
        typer.Option("--sealing", help="Add a key that seals the secrets of authenticator apps instead."),
    ] = False,
    leaked: Annotated[
        bool, typer.Option("--leaked", help="Also withdraw all other keys: their tokens are refused.")
    ] = False,
    access_life: AccessLife = _LIFE,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Publish a new signing key; running servers sign with it after six minutes.

    With --sealing, servers seal with the new key as soon as they have it, and what the former keys sealed
    within ten minutes. The former keys stay in the file.
    """
    path = folder / key_file.FILE_NAME
    if sealing:
        _rotate_sealing(path, as_json=as_json)
        return
    if now or leaked:
        effect = "refuse every token of the other keys" if leaked else "refuse new tokens for some minutes"
        output.confirm(f"Sign with a new key at once? Verifiers may {effect}.", yes=yes)
    try:
        if leaked:
            kid = key_rotation.withdraw(path, alg=alg, now=time.time())
        else:
            kid = key_rotation.rotate(path, alg=alg, now=time.time(), access_life=access_life, at_once=now)
    except OSError as error:
        raise _not_written(path, error) from error
    output.say({"done": "published", "kid": kid}, f"published {kid}", as_json=as_json)


@app.command("announce")
def announce(
    *, folder: Folder = _FOLDER, alg: Alg = "RS256", access_life: AccessLife = _LIFE, as_json: AsJson = False
) -> None:
    """Print the next keys for a secret store, private keys included; writes nothing.

    That is the next keys.json, or, with ACTIVE_KEY_ID set, two changes of the environment: make the second
    when every process has had the first for six minutes.
    """
    steps = announced_environment(process_environment(), alg)
    if steps is not None:
        lines = [f"{name}={json.dumps(value)}" for step in steps for name, value in step.items()]
        output.say({"steps": steps}, "\n".join(lines), as_json=as_json)
        return
    path = folder / key_file.FILE_NAME
    kid, file = key_rotation.announced(path, alg=alg, now=time.time(), access_life=access_life)
    text = key_file.text(file)
    output.say({"kid": kid, "keys_json": json.loads(text)}, text, as_json=as_json)


def _rotate_sealing(path: Path, *, as_json: bool) -> None:
    try:
        number = key_rotation.rotate_sealing(path, os.urandom)
    except OSError as error:
        raise _not_written(path, error) from error
    output.say({"done": "added", "sealing_key": number}, f"added sealing key {number}", as_json=as_json)


def _not_written(path: Path, error: OSError) -> StartupError:
    return StartupError(
        f"{path} cannot be written: {error.strerror}; select the folder with --dir or AUTHKIT_KEYS_DIR."
    )
