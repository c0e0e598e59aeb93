"""Stores for short-lived records: in this process, or shared through Redis. Both keep ``EphemeralStore``."""

from __future__ import annotations

from authkit_issuer.ephemeral.memory import MemoryStore
from authkit_issuer.ephemeral.redis import RedisStore

__all__ = ["MemoryStore", "RedisStore"]
