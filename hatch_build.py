"""The description of the package on an index: the README, with links that work outside of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?://|#)(?P<path>[^)\s]+)\)")


class DescriptionHook(MetadataHookInterface):
    """Fills in ``project.readme``, which pyproject.toml declares as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the description of this project."""
        source = metadata.get("urls", {}).get("Source", "").rstrip("/")
        text = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text, source)}


def description(text: str, source: str) -> str:
    """Return the README with the files of the repository at ``source``.

    An index has none of these files. Without ``source``, because no repository is published, a link is its
    text alone and an image is left out.
    """

    def there(link: re.Match[str]) -> str:
        if not source:
            return "" if link["image"] else link["text"]
        kind = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({source}/{kind}/main/{link['path']})"

    return _LINK.sub(there, text)
