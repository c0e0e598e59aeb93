"""The text of the metrics: written beside the requests, from numbers that no longer change."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from authkit_issuer.server.metrics import Metrics
from authkit_issuer.telemetry import measurements as names
from authkit_issuer.telemetry.tally import Numbers


async def test_the_loop_goes_on_counting_while_one_text_after_the_other_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, go_on = threading.Semaphore(0), threading.Semaphore(0)
    running: list[int] = []
    texts: list[Numbers] = []

    def write(numbers: Numbers) -> bytes:
        running.append(1)
        assert len(running) == 1
        began.release()
        assert go_on.acquire(timeout=20)  # the loop releases it, if it is not this thread that stops it
        running.pop()
        texts.append(numbers)
        return b"text"

    monkeypatch.setattr("authkit_issuer.server.metrics.exposition", write)
    with socket.socket() as listener:
        metrics = Metrics(listener)
        metrics.tally.count(names.REFUSALS.name, status="503", code="server_busy")
        scrapes = [asyncio.create_task(metrics._written()) for _ in range(2)]
        for _ in scrapes:
            assert await asyncio.to_thread(began.acquire, timeout=20)
            metrics.tally.count(names.REFUSALS.name, status="503", code="server_busy")
            go_on.release()
        assert await asyncio.gather(*scrapes) == [b"text", b"text"]
    assert [list(numbers.values()) for numbers in texts] == [[[1.0]], [[2.0]]]
