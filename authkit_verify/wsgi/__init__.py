"""WSGI: the middleware for Flask and every other WSGI application, and guards in their views.

    verifier = SyncVerifier(IssuerAccept(issuer="https://auth.example.com", audiences=["api"]))
    app.wsgi_app = AuthMiddleware(app.wsgi_app, verifier)

``authkit_verify.wsgi.flask`` fits Flask closer. Django has ``authkit_verify.django``.
"""

from __future__ import annotations

from authkit_verify.wsgi.middleware import AuthMiddleware, check, principal_of

__all__ = ["AuthMiddleware", "check", "principal_of"]
