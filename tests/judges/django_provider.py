"""A project of Django with Django OAuth Toolkit as its OpenID Connect provider. Argument: port.

Its one user is ann, whom ``/sign-in`` signs in. ID tokens for the clients ``app`` and ``other`` are signed
with RS256, those for ``shared`` with the secret of that client.
"""

import os
import sys
import threading
from wsgiref.simple_server import make_server

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import include, path

PORT = int(sys.argv[1])
SECRET = "the long enough secret of the client {}"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)

settings.configure(
    SECRET_KEY="a secret of this process",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": KEY.decode(),
        "SCOPES": {"openid": "sign in", "read": "read"},
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http"],
    },
)
django.setup()

from django.contrib.auth import get_user_model, login  # noqa: E402 - these need the settings
from oauth2_provider.models import Application  # noqa: E402


def sign_in(request):
    login(request, get_user_model().objects.get(username="ann"))
    return HttpResponse()


urlpatterns = [
    path("sign-in", sign_in),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
]


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


call_command("migrate", verbosity=0)
get_user_model().objects.create_user("ann")
for name, algorithm in (("app", "RS256"), ("other", "RS256"), ("shared", "HS256")):
    Application.objects.create(
        client_id=name, client_secret=SECRET.format(name), hash_client_secret=False,
        client_type="confidential", authorization_grant_type="authorization-code", algorithm=algorithm,
        redirect_uris="http://127.0.0.1/callback", skip_authorization=True,
    )  # fmt: skip
threading.Thread(target=end_with_input, daemon=True).start()
server = make_server("127.0.0.1", PORT, get_wsgi_application())
print("ready", flush=True)  # noqa: T201 - the test waits for it
server.serve_forever()
