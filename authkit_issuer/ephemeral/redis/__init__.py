"""The ephemeral store that several processes share: one Redis or Valkey, a group with Sentinel, a Cluster."""

from __future__ import annotations

from authkit_issuer.ephemeral.redis.store import RedisStore

__all__ = ["RedisStore"]
