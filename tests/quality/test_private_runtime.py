"""The Runtime is private to the domains and the service: HTTP goes through capabilities."""

from __future__ import annotations

import re

from fakes.repository import name, sources


def test_http_never_touches_the_runtime() -> None:
    found = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in sources("authkit_issuer/http")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\.rt\b", line)
    ]
    assert found == []
