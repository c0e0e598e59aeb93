"""Django: a middleware from the settings, and guards on views, synchronous and asynchronous.

::

    MIDDLEWARE = [..., "authkit_verify.django.AuthMiddleware"]
    AUTHKIT = {"ISSUERS": [IssuerAccept(issuer="https://auth.example.com", audiences=["api"])]}

    @require(require_scope("orders:read"))
    def orders(request):
        return HttpResponse(f"The orders of {request.auth.identity}")

``authkit_verify.django.rest_framework`` has the classes for Django REST framework.
"""

from __future__ import annotations

from authkit_verify.django.middleware import AuthMiddleware
from authkit_verify.django.views import acheck, check, principal_of, require

__all__ = ["AuthMiddleware", "acheck", "check", "principal_of", "require"]
