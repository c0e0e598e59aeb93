"""The service over HTTP: a Starlette application made from one table of typed operations."""

from __future__ import annotations

from authkit_issuer.http.app import create_app

__all__ = ["create_app"]
