"""A signal at any moment of the start ends it without an error."""

from __future__ import annotations

import asyncio
import socket

import pytest

from authkit_issuer.config import Config
from authkit_issuer.server import process
from authkit_issuer.server.options import ServeOptions
from authkit_issuer.server.signals import Signals


def test_a_signal_before_the_first_step_in_the_loop_ends_it_in_order(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, Signals() as signals:

        class Loop(asyncio.SelectorEventLoop):
            def run_forever(self) -> None:
                # uvloop, which is left between two callbacks by an exception, cannot be closed any more.
                signals.to(1)
                super().run_forever()

        monkeypatch.setattr(process, "_loop_factory", lambda: Loop)
        process.run(
            config, ServeOptions(), listener, signals,
            begin=lambda: begun.append("begun"), ready=lambda: begun.append("ready"),
        )  # fmt: skip
    assert begun == ["begun"]


def test_a_signal_while_the_loop_is_made_leaves_no_open_loop(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[asyncio.AbstractEventLoop] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, Signals() as signals:

        def interrupted() -> asyncio.AbstractEventLoop:
            made.append(asyncio.SelectorEventLoop())
            signals.to(1)
            return made[0]

        monkeypatch.setattr(process, "_loop_factory", lambda: interrupted)
        process.run(config, ServeOptions(), listener, signals, ready=lambda: None)
    (loop,) = made
    left_open = not loop.is_closed()
    loop.close()
    assert not left_open
