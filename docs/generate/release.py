"""What a reader asks first: version, maturity, license, Python; and the list of examples."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_OTHERS = {
    "examples/passkeys/index.html": "A page with passkeys, alone and beside a password.",
    "examples/spa/index.html": "A single-page app without a framework: every form, in one file.",
    "examples/react/App.tsx": "A single-page app in React; `auth.ts` and `main.tsx` are beside it.",
}


def release() -> str:
    """Return a line with version, maturity, license and the versions of Python."""
    versions = [_last(text) for text in _PROJECT["classifiers"] if "Python :: 3." in text]
    (maturity,) = (_last(text) for text in _PROJECT["classifiers"] if "Development Status" in text)
    return (
        f"Version {_PROJECT['version']} ({maturity.partition(' - ')[2].lower()}), "
        f"[{_PROJECT['license']} license](../LICENSE), Python {versions[0]} to {versions[-1]}. "
        "[The changelog](changelog.md) says what changed. Before 1.0 a minor version may change public names."
    )


def examples() -> str:
    """Return the table of the programs in ``examples/``, from their docstrings."""
    rows = {path.relative_to(_ROOT).as_posix(): _about(path) for path in (_ROOT / "examples").glob("*.py")}
    lines = [f"| [`{name}`](../{name}) | {about} |" for name, about in sorted((rows | _OTHERS).items())]
    return "\n".join(["| Program | What it shows |", "|---|---|", *lines])


def _about(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ").replace("``", "`")


def _last(classifier: str) -> str:
    return classifier.rpartition(" :: ")[2]


REGIONS: dict[str, Callable[[], str]] = {"release": release, "examples": examples}
