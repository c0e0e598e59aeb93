"""The settings of Sphinx, which `make docs` runs: every warning is an error."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference

_ROOT = Path(__file__).parents[1]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_SOURCE = _PROJECT.get("urls", {}).get("Source", "").rstrip("/")
"""Where the repository is. Until a publisher says it in ``[project.urls]``, the site has a copy of each file
that a page links to."""

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
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = (
    {
        "top_of_page_buttons": ["view"],
        "source_view_link": f"{_SOURCE}/blob/main/docs/{{filename}}",
    }
    if _SOURCE
    else {}
)
html_static_path = ["_static"]


def setup(app: Any) -> None:
    """Keep Napoleon away from fields and properties, and link to files of the repository.

    Napoleon takes what is before a colon for the type of a field.
    """
    kept: dict[str, list[str]] = {}

    def keep(_app: Any, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
        if what in {"attribute", "property"}:
            kept[name] = list(lines)

    def restore(_app: Any, _what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
        lines[:] = kept.pop(name, lines)

    def to_the_repository(app: Any, tree: nodes.document) -> None:
        page = Path(app.srcdir, app.env.docname).parent
        for node in list(tree.findall(download_reference)):
            path = (page / node["reftarget"]).resolve().relative_to(_ROOT).as_posix()
            node.replace_self(nodes.reference("", "", *node.children, refuri=f"{_SOURCE}/blob/main/{path}"))

    if _SOURCE:
        app.connect("doctree-read", to_the_repository, priority=100)
    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
