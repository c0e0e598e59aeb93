"""``authkit webhooks``: the URLs that receive events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from authkit_issuer.cli.opening import run
from authkit_issuer.domains.webhooks.service import WebhookEndpoint

app = typer.Typer(no_args_is_help=True, help="The URLs that receive events.")

Which = Annotated[str, typer.Argument(help="The id of the endpoint.")]


@app.command("add")
def add(
    url: Annotated[str, typer.Argument(help="The receiver, by https.")],
    event: Annotated[list[str] | None, typer.Option(help="A type of events; repeat it for more.")] = None,
    *,
    personal: Annotated[
        bool, typer.Option("--personal", help="Send IP addresses, agents and details, too.")
    ] = False,
) -> None:
    """Add an endpoint and print its id and its secret, which is shown only now."""
    made = run(lambda service: service.webhooks.add(url, event or (), personal=personal))
    typer.echo(f"{made.id}\t{made.secret}")


@app.command("list")
def list_endpoints() -> None:
    """Print the endpoints: id, state, waiting and given-up events, last outcome, events, URL."""
    for endpoint in run(lambda service: service.webhooks.list()):
        typer.echo(_line(endpoint))


def _line(endpoint: WebhookEndpoint) -> str:
    state = "enabled" if endpoint.enabled else "disabled"
    events = ",".join(endpoint.events) or "*"
    counts = f"{endpoint.waiting} waiting\t{endpoint.dead} given up"
    return f"{endpoint.id}\t{state}\t{counts}\t{endpoint.last_outcome or '-'}\t{events}\t{endpoint.url}"


@app.command("test")
def test(which: Which) -> None:
    """Send a test message and print the answer."""
    outcome = run(lambda service: service.webhooks.test(which))
    typer.echo(outcome.text)
    if not outcome.ok:
        raise typer.Exit(1)


@app.command("rotate")
def rotate(which: Which) -> None:
    """Print a new secret; for a day the former one signs as well."""
    typer.echo(run(lambda service: service.webhooks.rotate(which)).secret)


@app.command("replay")
def replay(
    which: Which,
    since: Annotated[
        datetime | None, typer.Option(help="Every event since this time, in UTC; default what was given up.")
    ] = None,
) -> None:
    """Send events again."""
    start = since.replace(tzinfo=UTC) if since else None
    typer.echo(f"queued {run(lambda service: service.webhooks.replay(which, since=start))}")


@app.command("disable")
def disable(which: Which) -> None:
    """Send nothing more to an endpoint."""
    run(lambda service: service.webhooks.disable(which))
    typer.echo("disabled")


@app.command("enable")
def enable(which: Which) -> None:
    """Send to an endpoint again."""
    run(lambda service: service.webhooks.enable(which))
    typer.echo("enabled")


@app.command("remove")
def remove(which: Which) -> None:
    """Forget an endpoint and what waits for it."""
    run(lambda service: service.webhooks.remove(which))
    typer.echo("removed")
