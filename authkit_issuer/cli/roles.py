"""``authkit roles``: the catalogue of global roles."""

from __future__ import annotations

from typing import Annotated

import typer

from authkit_issuer.cli.opening import run

app = typer.Typer(no_args_is_help=True, help="The catalogue of global roles.")


@app.command("define")
def define(
    slug: Annotated[str, typer.Argument(help="The role in tokens and checks.")],
    name: Annotated[str, typer.Option(help="The role for people.")] = "",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Add a role to the catalogue, or give a known one this name and description."""
    typer.echo(run(lambda service: service.roles.define(slug, name, description or None)).slug)


@app.command("list")
def list_roles() -> None:
    """Print the catalogue: slug, name."""
    for role in run(lambda service: service.roles.list_defined()):
        typer.echo(f"{role.slug}\t{role.name}")
