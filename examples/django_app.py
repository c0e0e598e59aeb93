"""Django: the middleware from the settings, guards on views.

Run it: uvicorn examples.django_app:app --port 9000
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from authkit_verify import IssuerAccept, require_role, require_scope
from authkit_verify.django import check, principal_of, require

ISSUER = "http://127.0.0.1:8000"

SETTINGS: dict[str, Any] = {  # those of settings.py
    "ALLOWED_HOSTS": ["*"],
    "ROOT_URLCONF": __name__,
    "MIDDLEWARE": ["authkit_verify.django.AuthMiddleware"],
    "AUTHKIT": {
        "ISSUERS": [IssuerAccept(issuer=ISSUER, audiences=["authkit"], allow_http_loopback=True)],
    },
}


def me(request: HttpRequest) -> JsonResponse:
    caller = check(request)
    return JsonResponse({"user_id": caller.identity, "roles": caller.roles})


@require(require_scope("orders:read"))
def orders(request: HttpRequest) -> JsonResponse:
    caller = principal_of(request)
    return JsonResponse({"orders_of": caller and caller.identity})


@require(require_role("staff"))
async def reports(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"reports": []})


urlpatterns = [path("me", me), path("orders", orders), path("reports", reports)]

if not settings.configured:
    settings.configure(**SETTINGS)
app = get_asgi_application()
