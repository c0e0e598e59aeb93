"""A site of Django and of its REST framework, served on sockets by Django's own server and by uvicorn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django
import httpx
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.test import override_settings

OURS = "authkit_verify.django.AuthMiddleware"
OF_SESSIONS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
        LOGGING_CONFIG=None,
        SECRET_KEY="of the tests",
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    )
    django.setup()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _wsgi() -> Iterator[int]:
    """Serve the site by the server of ``manage.py runserver``; gives its port."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), _Quiet)
    server.set_app(get_wsgi_application())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _asgi() -> Iterator[int]:
    """Serve the site by uvicorn; gives its port."""
    config = uvicorn.Config(get_asgi_application(), port=0, lifespan="off", log_config=None)
    server, started = uvicorn.Server(config), threading.Event()

    async def serve() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.001)
        started.set()
        await serving

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


SERVERS: dict[str, Callable[[], Any]] = {"wsgi": _wsgi, "asgi": _asgi}


@contextmanager
def served(server: str, urls: list[Any], authkit: dict[str, Any], **changes: Any) -> Iterator[httpx.Client]:
    """Serve these URLs with this setting ``AUTHKIT``; gives a client. ``changes`` are further settings."""
    middleware = changes.pop("MIDDLEWARE", [OURS])
    with (
        override_settings(ROOT_URLCONF=tuple(urls), MIDDLEWARE=middleware, AUTHKIT=authkit, **changes),
        SERVERS[server]() as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client
