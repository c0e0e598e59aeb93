"""The application for other ASGI servers: its lifespan, and what it says when it cannot start."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from authkit_issuer.config import Config
from authkit_issuer.errors import ConfigError, StartupError
from authkit_issuer.server.asgi import Application, create
from fakes.keys import as_settings
from fakes.patience import PATIENCE


class Lifespan:
    """Plays the server's side of the lifespan protocol."""

    def __init__(self, app: Application) -> None:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[Any] = asyncio.Queue()
        self._run = asyncio.create_task(app({"type": "lifespan"}, self._to_app.get, self._from_app.put))

    async def ask(self, what: str) -> dict[str, Any]:
        await self._to_app.put({"type": f"lifespan.{what}"})
        async with asyncio.timeout(PATIENCE):
            return await self._from_app.get()

    async def end(self) -> None:
        await asyncio.wait_for(self._run, PATIENCE)


async def test_it_serves_between_startup_and_shutdown(config: Config) -> None:
    app = Application(config)
    life = Lifespan(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://id.test") as client:
        with pytest.raises(StartupError, match="lifespan"):
            await client.get("/readyz")
        assert await life.ask("startup") == {"type": "lifespan.startup.complete"}
        assert (await client.get("/readyz")).status_code == 200
        assert await life.ask("shutdown") == {"type": "lifespan.shutdown.complete"}
        with pytest.raises(StartupError, match="lifespan"):
            await client.get("/readyz")
    await life.end()


async def test_a_start_that_fails_says_why_in_one_sentence(config: Config, empty_database_url: str) -> None:
    import dataclasses

    life = Lifespan(Application(dataclasses.replace(config, database_url=empty_database_url)))
    answer = await life.ask("startup")
    assert answer["type"] == "lifespan.startup.failed"
    assert "authkit migrate" in answer["message"]
    await life.end()


def test_the_environment_is_checked_as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="AUTHKIT_ISSUER is not set"):
        create()
    settings = {"AUTHKIT_ISSUER": "https://id.test", "AUTHKIT_AUDIENCES": "api"}
    settings |= {"AUTHKIT_DATABASE_URL": "postgresql://127.0.0.1/x", "AUTHKIT_REDIS_URL": "redis://127.0.0.1"}
    for name, value in (settings | as_settings()).items():
        monkeypatch.setenv(name, value)
    config = create()._config
    assert config.is_production
    assert not config.dev
    monkeypatch.setenv("AUTHKIT_DEV", "true")
    with pytest.raises(ConfigError, match="AUTHKIT_DEV is for hosts"):
        create()
