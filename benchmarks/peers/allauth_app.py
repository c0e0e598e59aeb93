"""django-allauth headless under gunicorn with one worker of 16 threads, with its JWT strategy.

    python allauth_app.py PORT HASH SOCKETS DATABASE

``HASH`` is "same" for the argon2id parameters of the issuer, "own" for the default of Django.
"""

from __future__ import annotations

import sys
from typing import Any

import cryptography.hazmat.primitives.serialization  # noqa: F401 - allauth uses it without an import
import django
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import include, path
from gunicorn.app.base import BaseApplication

HIGH = "1000000000/m/ip"
THREADS = 16
URLS = {"_allauth": "allauth.headless", "accounts": "allauth"}


class SameArgon2(Argon2PasswordHasher):  # type: ignore[misc]
    """Argon2id with the parameters of the issuer."""

    time_cost, memory_cost, parallelism = 2, 19456, 1


def signing_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def configure(hashing: str, sockets: str, database: str) -> None:
    """Apply the settings of a production server; rates are high, but counted."""
    hashers = {"PASSWORD_HASHERS": [f"{__name__}.SameArgon2"]} if hashing == "same" else {}
    settings.configure(
        SECRET_KEY="a secret of at least 32 characters",
        ALLOWED_HOSTS=["127.0.0.1"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql", "HOST": sockets, "PORT": 5432,
                "USER": "postgres", "NAME": database, "CONN_MAX_AGE": None,
            }
        },
        INSTALLED_APPS=[
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
            "django.contrib.messages", "allauth", "allauth.account", "allauth.headless",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
        ACCOUNT_LOGIN_METHODS={"email"},
        ACCOUNT_SIGNUP_FIELDS=["email*", "password1*"],
        ACCOUNT_EMAIL_VERIFICATION="none",
        ACCOUNT_RATE_LIMITS=dict.fromkeys(("login", "login_failed", "signup"), HIGH),
        HEADLESS_ONLY=True,
        HEADLESS_CLIENTS=("app",),
        HEADLESS_TOKEN_STRATEGY="allauth.headless.tokens.strategies.jwt.JWTTokenStrategy",
        HEADLESS_JWT_PRIVATE_KEY=signing_key(),
        HEADLESS_JWT_ACCESS_TOKEN_EXPIRES_IN=86_400,
        **hashers,
    )  # fmt: skip


class Gunicorn(BaseApplication):  # type: ignore[misc]
    """Serves an application that this process has made."""

    def __init__(self, app: Any, options: dict[str, Any]) -> None:
        self._app, self._options = app, options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._app


def main() -> None:
    port, hashing, sockets, database = sys.argv[1:]
    configure(hashing, sockets, database)
    django.setup()
    # Only now: the views import models.
    settings.ROOT_URLCONF = tuple(path(f"{url}/", include(f"{name}.urls")) for url, name in URLS.items())
    call_command("migrate", verbosity=0)
    options = {
        "bind": f"127.0.0.1:{port}", "workers": 1, "worker_class": "gthread", "threads": THREADS,
        "keepalive": 75, "loglevel": "error", "control_socket_disable": True,
    }  # fmt: skip
    Gunicorn(get_wsgi_application(), options).run()


if __name__ == "__main__":
    sys.modules["allauth_app"] = sys.modules["__main__"]
    main()
