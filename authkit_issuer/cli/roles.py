"""``authkit roles``: the catalog of global roles."""

from __future__ import annotations

from typing import Annotated

import typer

from authkit_issuer.cli.opening import run

app = typer.Typer(no_args_is_help=True, help="The catalog of global roles.")


@app.command("define")
def define(
    slug: Annotated[str, typer.Argument(help="The value in tokens and checks.")],
    name: Annotated[str, typer.Option(help="The name to display.")] = "",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Add a role to the catalog, or change the name and description of one."""
    typer.echo(run(lambda service: service.roles.define(slug, name, description or None)).slug)


@app.command("list")
def list_roles() -> None:
    """Print the catalog: slug, name."""
    for role in run(lambda service: service.roles.list_defined()):
        typer.echo(f"{role.slug}\t{role.name}")
