"""The service over HTTP: a Starlette application made from one table of typed operations."""

from __future__ import annotations

from authkit_issuer.http.app import create_app
from authkit_issuer.http.host_routes import refusal_response

__all__ = ["create_app", "refusal_response"]
