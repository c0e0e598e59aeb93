"""PyJWT in two versions side by side: the installed one, and an older one that is laxer and faster.

The older one is installed once into a folder of its own and imported there; every reference its modules hold
is to their own siblings, so the two do not meet.
"""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jwt as installed

OLDER = "2.10.1"
_PIP = (sys.executable, *["-m", "pip", "install", "--quiet", "--no-deps", "--retries", "1", "--target"])
_FOLDER = Path(__file__).resolve().parents[2] / ".runtime" / "benchmarks" / f"pyjwt-{OLDER}"


@functools.cache
def versions(*, install: bool = True) -> dict[str, ModuleType]:
    """Return the modules by name, newest first; prints a line if the older one cannot be installed."""
    found = {f"PyJWT {installed.__version__}": installed}
    if installed.__version__ == OLDER:
        return found
    try:
        if install and not (_FOLDER / "jwt" / "__init__.py").is_file():
            subprocess.run(
                [*_PIP, str(_FOLDER), f"pyjwt=={OLDER}"], check=True, timeout=120, capture_output=True
            )
        found[f"PyJWT {OLDER}"] = _imported_apart()
    except (OSError, subprocess.SubprocessError, ImportError) as error:
        if install:
            print(f"(PyJWT {OLDER} is left out: it cannot be installed here, {type(error).__name__})")
    return found


def _imported_apart() -> ModuleType:
    mine = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "jwt"}
    for name in mine:
        del sys.modules[name]
    sys.path.insert(0, str(_FOLDER))
    try:
        found = importlib.import_module("jwt")
    finally:
        sys.path.remove(str(_FOLDER))
        for name in [name for name in sys.modules if name.split(".")[0] == "jwt"]:
            del sys.modules[name]
        sys.modules.update(mine)
    if found.__version__ != OLDER:
        raise ImportError(f"found {found.__version__}")
    return found
