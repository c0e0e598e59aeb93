"""A PostgreSQL of its own for a benchmark, migrated, and gone afterwards."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from authkit_issuer import Config, KeySet, SigningKey, StaticKeys
from authkit_issuer.embedded import EmbeddedPostgres
from authkit_issuer.store.migrate import migrate


@asynccontextmanager
async def fresh_database() -> AsyncGenerator[str]:
    """Yield the address of an empty, migrated database."""
    with tempfile.TemporaryDirectory(prefix="authkit-bench-", ignore_cleanup_errors=True) as folder:
        # The PostgreSQL of root runs as another user, which must enter.
        await asyncio.to_thread(Path(folder).chmod, 0o711)
        postgres = await asyncio.to_thread(EmbeddedPostgres.start, Path(folder))
        try:
            await migrate(postgres.dsn)
            yield postgres.dsn
        finally:
            await asyncio.to_thread(postgres.stop)


def private_key(algorithm: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    """Return a new key that signs with RS256, ES256 or EdDSA."""
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def config_for(dsn: str, private: Any) -> Config:
    """Return the configuration of a service that signs with this key."""
    keys = KeySet(
        signing=SigningKey(kid="bench", private_key=private),
        public={"bench": private.public_key()},
        refresh_secrets={1: os.urandom(32)},
        active_secret=1,
    )
    return Config(
        issuer="https://issuer.example.test",
        issued_audiences=("bench",),
        environment="test",
        database_url=dsn,
        keys=StaticKeys(keys),
        session_max_per_user=None,
    )
