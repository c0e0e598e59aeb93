"""Key material as a deployment sets it."""

from __future__ import annotations

import os

from authkit_issuer.security import key_file


def as_settings() -> dict[str, str]:
    """Return a fresh signing key and refresh secret as environment variables."""
    made = key_file.generate("ES256", os.urandom)
    return {
        "ACTIVE_KEY_ID": "k1",
        "ACTIVE_PRIVATE_KEY_PEM": made.active_private_key_pem,
        "REFRESH_SECRETS": '{"1": "' + made.refresh_secrets["0"] + '"}',
        "REFRESH_SECRET_ACTIVE": "1",
    }
