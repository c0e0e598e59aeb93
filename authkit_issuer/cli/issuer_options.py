"""The options of the commands that look at an issuer from outside: ``verify`` and ``doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

Audiences = Annotated[
    list[str] | None, typer.Option("--audience", help="An audience to accept; may be given more than once.")
]
JwksUrl = Annotated[str | None, typer.Option(help="The URL of its keys; default in its metadata.")]
Discovery = Annotated[
    bool | None,
    typer.Option(
        "--discovery/--no-discovery",
        help="Find the keys only in its metadata, or only at the well-known path.",
    ),
]
Algorithms = Annotated[
    list[str] | None, typer.Option("--algorithm", help="An algorithm to accept; default all.")
]
