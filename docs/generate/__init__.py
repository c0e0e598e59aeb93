"""The generated parts of the documentation: regions of pages, and the drawings of the architecture.

A region is between ``<!-- generated: NAME -->`` and ``<!-- end -->``. ``PYTHONPATH=docs python -m generate``
writes them all; ``tests/quality/test_site.py`` fails for one that is out of date.
"""

from __future__ import annotations

import re
from pathlib import Path

from generate import (
    architecture,
    capabilities,
    commands,
    errors,
    numbers,
    operations,
    presets,
    release,
    settings,
    words,
)

DOCS = Path(__file__).parents[1]
_REGION = re.compile(r"(<!-- generated: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_REGIONS = {
    **presets.REGIONS,
    **words.REGIONS,
    **operations.REGIONS,
    **commands.REGIONS,
    **capabilities.REGIONS,
    **settings.REGIONS,
    **errors.REGIONS,
    **release.REGIONS,
    **numbers.REGIONS,
}


def outputs() -> dict[Path, str]:
    """Return the text that each file with a generated part should have."""
    found = {
        path: _REGION.sub(
            lambda match: f"{match[1]}\n{_REGIONS[match[2]]()}\n\n{match[3]}", path.read_text("utf-8")
        )
        for path in sorted(DOCS.rglob("*.md"))
        if _REGION.search(path.read_text("utf-8"))
    }
    return found | {DOCS / "images" / name: text for name, text in architecture.drawings().items()}
