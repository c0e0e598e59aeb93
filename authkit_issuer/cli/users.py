"""``authkit users``: users of the configured database."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from authkit_issuer.capabilities.users import User
from authkit_issuer.config import Config, process_environment
from authkit_issuer.service import Service

app = typer.Typer(no_args_is_help=True, help="Users of the configured database.")


@app.callback()
def group() -> None:
    """Keep the name of the command, although there is but one."""


@app.command("create")
def create(
    email: Annotated[str, typer.Option(help="Mail address.")] = "",
    username: Annotated[str, typer.Option(help="User name.")] = "",
) -> None:
    """Create an account without a password and print its id."""
    typer.echo(asyncio.run(_create(email or None, username or None)).id)


async def _create(email: str | None, username: str | None) -> User:
    async with await Service.open(Config.from_env(process_environment())) as service:
        return await service.users.create(email, username)
