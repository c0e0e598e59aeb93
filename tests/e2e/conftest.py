"""The settings of a command."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> dict[str, str]:
    """What a command needs to work on the database of the test."""
    return {
        "AUTHKIT_ISSUER": "https://i.example",
        "AUTHKIT_AUDIENCES": "a",
        "AUTHKIT_DATABASE_URL": database_url,
        "AUTHKIT_KEYS_DIR": str(tmp_path),
    }
