"""The pages of the providers: what a preset takes, from its signature and docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial

from authkit_verify import presets

NAMES = [name for name in presets.__all__ if name != "Settings"]


def preset(name: str) -> str:
    """Return the description of a preset and the table of its arguments."""
    function = getattr(presets, name)
    said = (inspect.getdoc(function) or "").replace("``", "`")
    about, _, rest = said.partition("\nArgs:\n")
    arguments = re.split(r"\n\nRaises:|\n\nReturns:", rest)[0]
    rows = re.findall(r"^    (\w+): (.*(?:\n      .*)*)", arguments, re.MULTILINE)
    table = [f"| `{_shown(function, key)}` | {' '.join(text.split())} |" for key, text in rows]
    return "\n".join([about.strip(), "", "| Argument | Meaning |", "|---|---|", *table])


def _shown(function: Callable[..., object], key: str) -> str:
    parameter = inspect.signature(function).parameters[key]
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"**{key}"
    if parameter.default is not parameter.empty:
        return f"{key}={parameter.default!r}".replace("'", '"')
    return f"{key}=" if parameter.kind is parameter.KEYWORD_ONLY else key


REGIONS: dict[str, Callable[[], str]] = {f"preset {name}": partial(preset, name) for name in NAMES}
