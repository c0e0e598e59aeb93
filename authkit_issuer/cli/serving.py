"""``authkit serve``: the issuer as a process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from authkit_issuer.cli import greeting
from authkit_issuer.config import Config, process_environment
from authkit_issuer.server import serve as run
from authkit_issuer.server.options import ServeOptions

DEFAULT_DATA_DIR = Path(".runtime/authkit")
DEFAULT_PORT = 8000


def serve(
    *,
    dev: Annotated[bool, typer.Option("--dev", help="Use built-in PostgreSQL, keys and inbox.")] = False,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 picks a free one.")] = DEFAULT_PORT,
    uds: Annotated[Path | None, typer.Option(help="A unix socket to listen on, in place of a port.")] = None,
    fd: Annotated[
        int | None, typer.Option(help="The number of a listening socket that the parent opened.")
    ] = None,
    workers: Annotated[int, typer.Option(help="How many processes answer requests.")] = 1,
    metrics_port: Annotated[
        int | None, typer.Option(help="A port for operators, with /metrics and a detailed /readyz.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="The address of that port.")] = "127.0.0.1",
    traces: Annotated[
        bool, typer.Option("--traces", help="Send spans to OpenTelemetry, as the OTEL_* variables say.")
    ] = False,
    keep_alive: Annotated[
        float, typer.Option(help="Seconds that an idle connection stays open; longer than the proxy's.")
    ] = 75.0,
    drain_delay: Annotated[
        float, typer.Option(help="Seconds to serve on after the signal to stop, with /readyz at 503.")
    ] = 0.0,
    graceful: Annotated[float, typer.Option(help="Seconds that running requests may take after that.")] = 5.0,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="The folder for the data and keys of --dev.")
    ] = DEFAULT_DATA_DIR,
) -> None:
    """Run the issuer until Ctrl-C. Without --dev it reads AUTHKIT_* settings and checks as in production."""

    def ready(config: Config, address: str) -> None:
        typer.echo(greeting.text(config, address, data_dir.expanduser().resolve()))

    options = ServeOptions(
        host=host,
        port=port,
        uds=uds,
        fd=fd,
        workers=workers,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        traces=traces,
        keep_alive=keep_alive,
        drain_delay=drain_delay,
        graceful=graceful,
    )
    run(dict(process_environment()), options, dev=dev, data_dir=data_dir, ready=ready)
