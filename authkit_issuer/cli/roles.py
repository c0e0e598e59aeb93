"""``authkit roles``: the catalog of global roles."""

from __future__ import annotations

from typing import Annotated

import typer

from authkit_issuer.cli import output
from authkit_issuer.cli.opening import run
from authkit_issuer.cli.output import AsJson

app = typer.Typer(no_args_is_help=True, help="The catalog of global roles.")


@app.command("define")
def define(
    slug: Annotated[str, typer.Argument(help="The value in tokens and checks.")],
    name: Annotated[str, typer.Option(help="The name to display.")] = "",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Add a role to the catalog, or change the name and description of one."""
    role = run(lambda service: service.roles.define(slug, name, description or None))
    output.say({"done": "defined", "slug": role.slug, "name": role.name}, role.slug, as_json=as_json)


@app.command("list")
def list_roles(*, as_json: AsJson = False) -> None:
    """Print the catalog: slug, name."""
    found = run(lambda service: service.roles.list_defined(), reads=True)
    output.show("roles", [{"slug": role.slug, "name": role.name} for role in found], as_json=as_json)
