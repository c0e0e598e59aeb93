"""``authkit webhooks``: the URLs that receive events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from authkit_issuer.cli import output
from authkit_issuer.cli.opening import ACTOR, run
from authkit_issuer.cli.output import AsJson, Yes
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
    as_json: AsJson = False,
) -> None:
    """Add an endpoint and print its id and its secret, which is shown only now."""
    made = run(lambda service: service.webhooks.add(url, event or (), personal=personal, actor=ACTOR))
    document = {"done": "added", "id": made.id, "secret": made.secret}
    output.say(document, f"{made.id}\t{made.secret}", as_json=as_json)


@app.command("list")
def list_endpoints(*, as_json: AsJson = False) -> None:
    """Print the endpoints: id, state, waiting and given-up events, last outcome, events, URL."""
    found = run(lambda service: service.webhooks.list(), reads=True)
    output.show("webhooks", [_row(endpoint, as_json=as_json) for endpoint in found], as_json=as_json)


def _row(endpoint: WebhookEndpoint, *, as_json: bool) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "state": "enabled" if endpoint.enabled else "disabled",
        "waiting": endpoint.waiting if as_json else f"{endpoint.waiting} waiting",
        "given_up": endpoint.dead if as_json else f"{endpoint.dead} given up",
        "last_outcome": endpoint.last_outcome,
        "events": list(endpoint.events) if as_json else ",".join(endpoint.events) or "*",
        "url": endpoint.url,
    }


@app.command("test")
def send_test(which: Which, *, as_json: AsJson = False) -> None:
    """Send a test message and print the answer."""
    outcome = run(lambda service: service.webhooks.test(which))
    output.say({"ok": outcome.ok, "outcome": outcome.text}, outcome.text, as_json=as_json)
    if not outcome.ok:
        raise typer.Exit(1)


@app.command("rotate")
def rotate(which: Which, *, as_json: AsJson = False) -> None:
    """Print a new secret; for a day the former one signs as well."""
    secret = run(lambda service: service.webhooks.rotate(which, actor=ACTOR)).secret
    output.say({"done": "rotated", "id": which, "secret": secret}, secret, as_json=as_json)


@app.command("replay")
def replay(
    which: Which,
    since: Annotated[
        datetime | None, typer.Option(help="Every event since this time, in UTC; default what was given up.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Send events again."""
    start = since.replace(tzinfo=UTC) if since else None
    queued = run(lambda service: service.webhooks.replay(which, since=start, actor=ACTOR))
    output.say({"done": "queued", "id": which, "events": queued}, f"queued {queued}", as_json=as_json)


@app.command("disable")
def disable(which: Which, *, as_json: AsJson = False) -> None:
    """Send nothing more to an endpoint."""
    run(lambda service: service.webhooks.disable(which, actor=ACTOR))
    output.say({"done": "disabled", "id": which}, "disabled", as_json=as_json)


@app.command("enable")
def enable(which: Which, *, as_json: AsJson = False) -> None:
    """Send to an endpoint again."""
    run(lambda service: service.webhooks.enable(which, actor=ACTOR))
    output.say({"done": "enabled", "id": which}, "enabled", as_json=as_json)


@app.command("remove")
def remove(which: Which, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Forget an endpoint and what waits for it."""
    output.confirm(f"Remove {which} and what waits for it?", yes=yes)
    run(lambda service: service.webhooks.remove(which, actor=ACTOR))
    output.say({"done": "removed", "id": which}, "removed", as_json=as_json)
