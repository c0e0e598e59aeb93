"""Chromium without a window, and the applications that it opens."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn


@asynccontextmanager
async def chromium(*, blocks_popups: bool = False) -> AsyncIterator[Any]:
    """Run one browser while the block runs, or skip the test.

    The shell has the same engine and opens a page for a quarter of the work, since it draws no window around
    it; what blocks pop-ups is a part of the window.
    """
    shell = None if blocks_popups else shutil.which("chromium-headless-shell")
    program = shell or shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (.ci/run tries to)")
    playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    async with playwright.async_playwright() as play:
        browser = await play.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--no-proxy-server"],
            ignore_default_args=["--disable-popup-blocking"] if blocks_popups else None,
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def listening(app: Any, port: int) -> AsyncIterator[None]:
    """Serve an application on a loopback port while the block runs."""
    config = uvicorn.Config(app, "127.0.0.1", port, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task
