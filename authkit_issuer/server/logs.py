"""The log of a server process: one line per record on standard error."""

from __future__ import annotations

import logging

import structlog
from structlog.processors import CallsiteParameter

from authkit_issuer.server.access_log import AccessLines


def configure(*, dev: bool, several: bool = False, traces: bool = False) -> None:
    """Log this package from INFO on, and libraries from WARNING on.

    Readable in development, JSON elsewhere. With ``several`` processes each line has the id of its own, with
    ``traces`` that of the trace it belongs to.
    """
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if several:
        shared.append(structlog.processors.CallsiteParameterAdder([CallsiteParameter.PROCESS]))
    if traces:
        from authkit_issuer.server.traces import add_trace  # noqa: PLC0415 - an extra brings its libraries

        shared.append(add_trace)
    last: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(colors=False) if dev else structlog.processors.JSONRenderer()
    )
    formatter: logging.Formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            last,
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter if dev else AccessLines(formatter, several=several))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("authkit", "authkit_verify"):
        logging.getLogger(ours).setLevel(logging.INFO)
