"""The settings of Sphinx, which `make docs` runs: every warning is an error."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

_PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]

project = "authkit"
author = copyright = "The authkit authors"  # noqa: A001 - the name that Sphinx reads
release = version = _PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["generate"]
suppress_warnings = ["misc.highlighting_failure"]  # addresses with <placeholders> are no JSON

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False

smartquotes = False  # options begin with two hyphens

html_theme = "furo"
html_title = f"authkit {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False


def setup(app: Any) -> None:
    """Keep Napoleon away from fields and properties: it takes what is before a colon for their type."""
    kept: dict[str, list[str]] = {}

    def keep(_app: Any, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
        if what in {"attribute", "property"}:
            kept[name] = list(lines)

    def restore(_app: Any, _what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
        lines[:] = kept.pop(name, lines)

    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
